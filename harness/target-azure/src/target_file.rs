//! A target file with what it refers to: paths, variables, the cluster's place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wi_images as images;
use wi_model::located::Located;
use wi_model::secret::Secret;
use wi_model::target::file::{self, Azure, Endpoints, ManagedCluster, Pods, Reference, TargetFile};
use wi_model::target::{AzureTarget, ClusterTarget, Credential, Marks, Target};
use wi_serve::input;
use wi_serve::private_files::write_private;

/// A target file, and where it lies.
#[derive(Debug, Clone)]
pub struct Options {
    /// What it says.
    pub file: TargetFile,
    /// Paths in it are relative to this.
    pub folder: PathBuf,
    /// The context that the command line names.
    pub context: Option<String>,
    /// Whether a cluster that looks like production may be used.
    pub confirmed: bool,
    /// What the environment offers: variables, by name.
    pub variables: BTreeMap<String, String>,
}

impl Options {
    pub(crate) fn azure(&self) -> Option<&Azure> {
        self.file.azure.as_ref().map(|azure| &azure.value)
    }

    /// What reports call it.
    pub(super) fn name(&self) -> String {
        let managed = self.file.managed_cluster.as_ref().map(|managed| managed.value.name.clone());
        self.file.name.clone().or(managed).or_else(|| self.context()).unwrap_or_else(|| "cluster".to_owned())
    }

    pub(super) fn context(&self) -> Option<String> {
        self.context.clone().or_else(|| self.file.context.clone())
    }

    /// The text of a file that the target names.
    pub(super) fn text(&self, path: &str) -> Result<String, String> {
        let path = self.folder.join(path);
        input::read_text(&path, input::DOCUMENT).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The kubeconfig, where a file holds it.
    pub(super) fn kubeconfig(&self) -> Option<Result<Secret, String>> {
        self.file.kubeconfig.as_ref().map(|path| self.text(&path.value).map(Secret::new))
    }

    /// Where images come from, by their name without tag and digest.
    pub(super) fn images(&self) -> BTreeMap<String, String> {
        let pods = &self.file.pods;
        let mut images = BTreeMap::new();
        if let Some(registry) = &pods.registry {
            let ours = wi_images::ours();
            images.extend(ours.map(|(name, _)| (name.to_owned(), images::in_registry(registry, name))));
        }
        images.extend(pods.images.clone());
        images
    }

    /// The Azure as the engine sees it, with every reference looked up.
    pub(super) fn azure_target(&self) -> Result<AzureTarget, String> {
        let azure = self.azure().ok_or("the target file has no `azure`")?;
        let usual = azure.cloud.addresses();
        let named = |named: &Option<String>, usual: &str| named.clone().unwrap_or_else(|| usual.to_owned());
        let Endpoints { authority, resource_manager, graph, vault_domain } = &azure.endpoints;
        let marks = Marks::default();
        Ok(AzureTarget {
            authority: named(authority, usual.authority),
            resource_manager: named(resource_manager, usual.resource_manager),
            graph: named(graph, usual.graph),
            vault_domain: named(vault_domain, usual.vault_domain),
            tenant_id: azure.tenant.value.clone(),
            subscription_id: azure.subscription.value.clone(),
            location: azure.location.clone(),
            credential: self.credential(&azure.credential)?,
            trust_roots: azure.trust_roots.as_ref().map(|path| self.text(path)).transpose()?,
            connect: azure.connect,
            journal: azure.journal.clone(),
            journal_token: azure.journal_token.as_ref().map(|reference| self.secret(reference)).transpose()?,
            marks: Marks {
                prefix: azure.name_prefix.as_ref().map_or(marks.prefix, |prefix| prefix.value.clone()),
                expires_after: azure.expires_after.map_or(marks.expires_after, |after| after.0),
            },
            transient: false,
        })
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).filter(|value| !value.is_empty()).cloned()
    }

    fn needed(&self, name: &str) -> Result<String, String> {
        self.variable(name)
            .ok_or_else(|| format!("the target's credential needs the variable {name}, which is not set"))
    }

    fn client(&self, named: Option<&String>) -> Result<String, String> {
        named.map_or_else(|| self.needed("AZURE_CLIENT_ID"), |named| Ok(named.clone()))
    }

    fn secret(&self, reference: &Reference) -> Result<Secret, String> {
        match reference {
            Reference::Env(name) => self.needed(name).map(Secret::new),
            Reference::File(path) => self.text(path).map(|text| Secret::new(text.trim_end())),
            Reference::Hidden => Err("the secret is held in memory only".to_owned()),
        }
    }

    fn credential(&self, wanted: &file::Credential) -> Result<Credential, String> {
        Ok(match wanted {
            file::Credential::Any => Credential::FirstOf(self.offered()),
            file::Credential::AzureCli => Credential::AzureCli,
            file::Credential::WorkloadIdentity(named) => Credential::TokenFile {
                client_id: self.client(named.client_id.as_ref())?,
                path: match &named.token_file {
                    Some(path) => self.folder.join(path),
                    None => self.needed("AZURE_FEDERATED_TOKEN_FILE")?.into(),
                },
            },
            file::Credential::CiToken(named) => Credential::CiToken {
                client_id: self.client(named.client_id.as_ref())?,
                url: self.needed(CI_URL)?,
                bearer: Secret::new(self.needed(CI_BEARER)?),
            },
            file::Credential::ClientSecret(named) => Credential::ClientSecret {
                client_id: self.client(named.client_id.as_ref())?,
                secret: self.secret(&named.secret)?,
            },
            file::Credential::ClientCertificate(named) => Credential::ClientCertificate {
                client_id: self.client(named.client_id.as_ref())?,
                pem: self.secret(&named.certificate)?,
            },
        })
    }

    /// What the environment offers, in the documented order.
    fn offered(&self) -> Vec<Credential> {
        let mut all = Vec::new();
        if let Some(client_id) = self.variable("AZURE_CLIENT_ID") {
            if let Some(path) = self.variable("AZURE_FEDERATED_TOKEN_FILE") {
                all.push(Credential::TokenFile { client_id: client_id.clone(), path: path.into() });
            }
            if let (Some(url), Some(bearer)) = (self.variable(CI_URL), self.variable(CI_BEARER)) {
                all.push(Credential::CiToken { client_id: client_id.clone(), url, bearer: Secret::new(bearer) });
            }
            if let Some(secret) = self.variable("AZURE_CLIENT_SECRET") {
                let secret = Secret::new(secret);
                all.push(Credential::ClientSecret { client_id: client_id.clone(), secret });
            }
            let certificate = self.variable("AZURE_CLIENT_CERTIFICATE_PATH");
            if let Some(Ok(pem)) = certificate.map(std::fs::read_to_string) {
                all.push(Credential::ClientCertificate { client_id, pem: Secret::new(pem) });
            }
        }
        all.push(Credential::AzureCli);
        all
    }
}

/// GitHub's variables for a job's own token.
const CI_URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const CI_BEARER: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";

/// A target as its user would have written it; no secret is in it.
pub fn print(target: &Target) -> Result<String, String> {
    serde_saphyr::to_string(&file_of(target, &|_| Reference::Hidden, None)).map_err(|error| error.to_string())
}

/// Writes a target as a file, as a user of AKS writes one: the cluster by its place in Azure, nothing that only our own
/// parts can do. What it refers to is beside it, readable by its owner alone. Gives back what was written.
///
/// # Errors
/// A file cannot be written.
pub fn write(target: &Target, managed: &ManagedCluster, path: &Path) -> Result<Vec<PathBuf>, String> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let beside = |ending: &str| format!("{stem}.{ending}");
    let mut written = Vec::new();
    let mut keep = |name: &str, text: &str| {
        let path = path.with_file_name(name);
        write_private(&path, text).map_err(|error| format!("{}: cannot be written: {error}", path.display()))?;
        written.push(path);
        Ok::<(), String>(())
    };
    if let Some(roots) = &target.azure.trust_roots {
        keep(&beside("azure.pem"), roots)?;
    }
    if let Some(bundle) = &target.pods.ca_bundle {
        keep(&beside("pods.pem"), bundle)?;
    }
    if let [secret] = target.azure.credential.secrets().as_slice() {
        keep(&beside("secret"), secret.expose())?;
    }
    let mut file = file_of(target, &|_| Reference::File(beside("secret")), Some(&beside));
    (file.kubeconfig, file.admission_journal, file.capabilities) = (None, None, None);
    file.managed_cluster = Some(Located::nowhere(managed.clone()));
    if let Some(azure) = &mut file.azure {
        (azure.value.journal, azure.value.journal_token) = (None, None);
    }
    let text = serde_saphyr::to_string(&file).map_err(|error| error.to_string())?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    keep(&name, &text)?;
    Ok(written)
}

fn file_of(
    target: &Target,
    secret: &dyn Fn(&Secret) -> Reference,
    beside: Option<&dyn Fn(&str) -> String>,
) -> TargetFile {
    let path = |ending: &str| beside.map_or_else(|| "<hidden>".to_owned(), |beside| beside(ending));
    let Target { cluster, azure, .. } = target;
    let ClusterTarget { context, admission_journal, .. } = cluster;
    let usual = file::Cloud::Public.addresses();
    let unusual = |named: &String, usual: &str| (named != usual).then(|| named.clone());
    TargetFile {
        name: Some(target.name.clone()),
        kubeconfig: Some(Located::nowhere(path("kubeconfig"))),
        context: context.clone(),
        admission_journal: admission_journal.clone(),
        azure: Some(Located::nowhere(Azure {
            tenant: azure.tenant_id.as_str().into(),
            subscription: azure.subscription_id.as_str().into(),
            location: azure.location.clone(),
            cloud: file::Cloud::Public,
            endpoints: Endpoints {
                authority: unusual(&azure.authority, usual.authority),
                resource_manager: unusual(&azure.resource_manager, usual.resource_manager),
                graph: unusual(&azure.graph, usual.graph),
                vault_domain: unusual(&azure.vault_domain, usual.vault_domain),
            },
            credential: credential_of(&azure.credential, secret),
            connect: azure.connect,
            trust_roots: azure.trust_roots.as_ref().map(|_| path("azure.pem")),
            journal: azure.journal.clone(),
            journal_token: azure.journal_token.as_ref().map(secret),
            name_prefix: (azure.marks.prefix != Marks::default().prefix).then(|| azure.marks.prefix.as_str().into()),
            expires_after: None,
        })),
        pods: Pods {
            azure_address: target.pods.azure_address,
            ca_bundle: target.pods.ca_bundle.as_ref().map(|_| path("pods.pem")),
            registry: None,
            images: target.pods.images.clone(),
            image_pull_policy: target.pods.image_pull_policy,
        },
        webhook: file::Webhook {
            name: Some(target.webhook.name.clone()),
            profile: target.webhook.profile.clone(),
            registration: target.webhook.registration.clone(),
        },
        capabilities: Some(target.capabilities.iter().copied().collect()),
        patience: Some(wi_model::scenario::Patience(target.patience)),
        ..TargetFile::default()
    }
}

fn credential_of(credential: &Credential, secret: &dyn Fn(&Secret) -> Reference) -> file::Credential {
    match credential {
        Credential::FirstOf(_) => file::Credential::Any,
        Credential::AzureCli => file::Credential::AzureCli,
        Credential::TokenFile { client_id, path } => file::Credential::WorkloadIdentity(file::TokenFile {
            client_id: Some(client_id.clone()),
            token_file: Some(path.display().to_string()),
        }),
        Credential::CiToken { client_id, .. } => {
            file::Credential::CiToken(file::Client { client_id: Some(client_id.clone()) })
        }
        Credential::ClientSecret { client_id, secret: value } => file::Credential::ClientSecret(file::ClientSecret {
            client_id: Some(client_id.clone()),
            secret: secret(value),
        }),
        Credential::ClientCertificate { client_id, pem } => {
            let certificate = secret(pem);
            file::Credential::ClientCertificate(file::ClientCertificate {
                client_id: Some(client_id.clone()),
                certificate,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str, variables: &[(&str, &str)]) -> Options {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let file = file::read("t.yaml", text.as_bytes()).unwrap();
        Options { file, folder: PathBuf::from("/nowhere"), context: None, confirmed: false, variables }
    }

    const TARGET: &str = "kubeconfig: k\nazure:\n  tenant: 00000000-0000-0000-0000-000000000001\n  subscription: 00000000-0000-0000-0000-000000000002\n  location: westeurope\n";

    #[test]
    fn the_chain_holds_what_the_environment_offers_in_the_documented_order() {
        let words = |variables: &[(&str, &str)]| match options(TARGET, variables).azure_target().unwrap().credential {
            Credential::FirstOf(all) => all.iter().map(Credential::word).collect::<Vec<_>>(),
            other => vec![other.word()],
        };
        assert_eq!(words(&[]), ["azure-cli"]);
        let all = [
            ("AZURE_CLIENT_ID", "c"),
            ("AZURE_CLIENT_SECRET", "s"),
            ("AZURE_FEDERATED_TOKEN_FILE", "/t"),
            (CI_URL, "https://ci"),
            (CI_BEARER, "b"),
        ];
        assert_eq!(words(&all), ["workload-identity", "ci-token", "client-secret", "azure-cli"]);
        // Without a client id the rest is of no use.
        assert_eq!(words(&all[1..]), ["azure-cli"]);
    }

    #[test]
    fn a_reference_that_leads_nowhere_is_named_and_a_secret_is_never_printed() {
        let text =
            format!("{TARGET}  credential: {{ client-secret: {{ client-id: c, secret: {{ env: CANARY }} }} }}\n");
        let error = options(&text, &[]).azure_target().unwrap_err();
        assert_eq!(error, "the target's credential needs the variable CANARY, which is not set");
        let ready = options(&text, &[("CANARY", "canary-value")]);
        let azure = ready.azure_target().unwrap();
        let target = ready.assemble(azure, Secret::new("canary-kubeconfig"), None);
        let printed = print(&target).unwrap();
        assert!(printed.contains("secret: hidden") && !printed.contains("canary"), "{printed}");
    }

    #[test]
    fn a_target_that_is_written_is_read_again_with_what_it_refers_to() {
        let text = format!("{TARGET}  credential: {{ client-secret: {{ client-id: c, secret: {{ env: S }} }} }}\n");
        let ready = options(&text, &[("S", "the-secret")]);
        let target = ready.assemble(ready.azure_target().unwrap(), Secret::new("the-kubeconfig"), None);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.yaml");
        let managed = ManagedCluster { subscription: None, resource_group: "rg".into(), name: "one".into() };
        write(&target, &managed, &path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("the-secret") && !text.contains("the-kubeconfig"), "{text}");
        let again = Options { folder: folder.path().to_owned(), ..options(&text, &[]) };
        assert_eq!(again.file.managed_cluster.as_ref().unwrap().value.name, "one");
        let secrets = again.azure_target().unwrap().credential.secrets();
        assert_eq!(secrets, [Secret::new("the-secret")]);
    }
}
