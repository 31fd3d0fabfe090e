//! A target as a file: what its user writes down about a cluster and an Azure.
//!
//! Paths in it are relative to it. A secret is never in it: it is named by the file or the variable that holds it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::capability::Capability;
use crate::located::Located;
use crate::parse::{self, InvalidScenario, Reason};
use crate::scenario::Patience;

/// One target file.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TargetFile {
    /// The name in reports; by default the name of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Path of a kubeconfig.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<Located<String>>,
    /// The context in it; by default the current one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The cluster in Azure, which then provides its kubeconfig and its issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_cluster: Option<Located<ManagedCluster>>,
    /// A path on the API server that returns the admission journal, for clusters that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admission_journal: Option<String>,
    /// The Azure that scenarios use; by default one is started for the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azure: Option<Located<Azure>>,
    /// Settings of pods in addition to those of scenarios.
    #[serde(default)]
    pub pods: Pods,
    /// The installed webhook.
    #[serde(default)]
    pub webhook: Webhook,
    /// Capabilities of the target. Left out: pods run, and in them the proxy that is injected; a webhook is installed and is not
    /// ours to take away, the issuer can be reached, and Azure keeps no journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<Capability>>,
    /// Whether a case may change or delete existing objects that it did not create, if its scenario says
    /// so. They are restored when it ends. By default not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub existing_objects: bool,
    /// Default time limit of expectations; by default `90s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<Patience>,
    /// Time limit of a run, after which it is interrupted and cleaned up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_limit: Option<Patience>,
    /// When a cluster looks like production and needs `--yes`.
    #[serde(default)]
    pub production: Production,
}

/// A cluster in Azure.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ManagedCluster {
    /// Its subscription; by default the one that scenarios use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// Its resource group.
    pub resource_group: String,
    /// Its name.
    pub name: String,
}

/// The Azure that scenarios use.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Azure {
    /// Tenant id.
    pub tenant: Located<String>,
    /// Subscription id.
    pub subscription: Located<String>,
    /// The location of resources, such as `westeurope`.
    pub location: String,
    /// The cloud.
    #[serde(default)]
    pub cloud: Cloud,
    /// Addresses that differ from the cloud's.
    #[serde(default, skip_serializing_if = "Endpoints::is_empty")]
    pub endpoints: Endpoints,
    /// The credential for the setup.
    #[serde(default)]
    pub credential: Credential,
    /// The address that serves all these names, as `IP:PORT`; by default DNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<SocketAddr>,
    /// Path of certificates to trust (PEM) besides the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust_roots: Option<String>,
    /// Address of the journal, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<String>,
    /// The bearer token of this address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_token: Option<Reference>,
    /// Prefix of the names of resource groups and applications; by default `wi-conformance`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_prefix: Option<Located<String>>,
    /// The age after which a sweep treats resources of a run as leftovers; by default `6h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_after: Option<Patience>,
}

/// A cloud, with its addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cloud {
    /// The public cloud.
    #[default]
    Public,
    /// Azure operated by 21Vianet.
    China,
    /// Azure US Government.
    UsGovernment,
}

/// Addresses of an Azure, each the cloud's own when left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Endpoints {
    /// The identity provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// Azure Resource Manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_manager: Option<String>,
    /// Microsoft Graph.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph: Option<String>,
    /// The domain of vaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vault_domain: Option<String>,
}

/// Addresses of a cloud: identity provider, Resource Manager, Graph, and the domain of vaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The identity provider.
    pub authority: &'static str,
    /// Azure Resource Manager.
    pub resource_manager: &'static str,
    /// Microsoft Graph.
    pub graph: &'static str,
    /// The domain of vaults.
    pub vault_domain: &'static str,
}

impl Cloud {
    /// The cloud that a webhook's setting `AZURE_ENVIRONMENT` names, written in any case; `None` for one that is none of
    /// these.
    pub fn of_environment(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().as_str() {
            "AZURECLOUD" | "AZUREPUBLICCLOUD" => Some(Cloud::Public),
            "AZURECHINACLOUD" => Some(Cloud::China),
            "AZUREUSGOVERNMENT" | "AZUREUSGOVERNMENTCLOUD" => Some(Cloud::UsGovernment),
            _ => None,
        }
    }

    /// Its default addresses.
    pub fn addresses(self) -> Addresses {
        match self {
            Cloud::Public => Addresses {
                authority: "https://login.microsoftonline.com/",
                resource_manager: "https://management.azure.com/",
                graph: "https://graph.microsoft.com/",
                vault_domain: "vault.azure.net",
            },
            Cloud::China => Addresses {
                authority: "https://login.chinacloudapi.cn/",
                resource_manager: "https://management.chinacloudapi.cn/",
                graph: "https://microsoftgraph.chinacloudapi.cn/",
                vault_domain: "vault.azure.cn",
            },
            Cloud::UsGovernment => Addresses {
                authority: "https://login.microsoftonline.us/",
                resource_manager: "https://management.usgovcloudapi.net/",
                graph: "https://graph.microsoft.us/",
                vault_domain: "vault.usgovcloudapi.net",
            },
        }
    }
}

impl Endpoints {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The credential. `any` tries, in this order, what the environment provides: `workload-identity`, `ci-token`,
/// `client-secret`, `client-certificate`, `azure-cli`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Credential {
    /// The first that the environment provides and that works.
    #[default]
    Any,
    /// The user signed in to the Azure CLI.
    AzureCli,
    /// A token file that the identity provider trusts, as a pod with workload identity has one.
    WorkloadIdentity(TokenFile),
    /// The token of a CI job (GitHub: `permissions: id-token: write`).
    CiToken(Client),
    /// An application with a client secret.
    ClientSecret(ClientSecret),
    /// An application with a certificate.
    ClientCertificate(ClientCertificate),
}

/// An application.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Client {
    /// Its client id; by default `$AZURE_CLIENT_ID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

/// An application that trusts a token in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TokenFile {
    /// Its client id; by default `$AZURE_CLIENT_ID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Path of the token; by default `$AZURE_FEDERATED_TOKEN_FILE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<String>,
}

/// An application with a client secret.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClientSecret {
    /// Its client id; by default `$AZURE_CLIENT_ID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The location of the secret.
    pub secret: Reference,
}

/// An application with a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClientCertificate {
    /// Its client id; by default `$AZURE_CLIENT_ID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The location of the certificate and its private key, as PEM.
    pub certificate: Reference,
}

/// The location of a secret, never its value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reference {
    /// The name of an environment variable.
    Env(String),
    /// The path of a file.
    File(String),
    /// Held in memory by the program that made this target; cannot be read back from a file.
    #[serde(skip_deserializing)]
    #[schemars(skip)]
    Hidden,
}

/// Settings of pods in addition to those of scenarios.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Pods {
    /// The address that serves every name of Azure, for `hostAliases`; by default DNS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azure_address: Option<IpAddr>,
    /// Path of certificates (PEM) that every runtime in a pod trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<String>,
    /// Prefix of every built-in image: `registry.example/team` makes `quickstart/rust` into
    /// `registry.example/team/quickstart/rust`. Names that begin with a registry stay as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// Single images, by their name without tag and digest.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// The image pull policy; by default that of the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
}

/// Kubernetes' words for when a node pulls an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ImagePullPolicy {
    /// Before each start.
    Always,
    /// Where it is not there yet.
    IfNotPresent,
    /// It is there already.
    Never,
}

impl ImagePullPolicy {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// The installed webhook.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Webhook {
    /// The name in reports; by default its image's tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its profile, `1.5` or `1.6`; by default detected from its behaviour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The MutatingWebhookConfiguration that registers it; by default every one that names the webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration: Option<String>,
}

/// When a cluster looks like production.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Production {
    /// More nodes than this; by default 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u32>,
}

/// Reads a target file and checks everything that the file alone can tell.
///
/// # Errors
/// The first fault, with its place.
pub fn read(path: &str, bytes: &[u8]) -> Result<TargetFile, InvalidScenario> {
    let text = parse::text(path, bytes)?;
    let file: TargetFile = serde_saphyr::from_str(text).map_err(|error| InvalidScenario::yaml(path, &error))?;
    check(&file).map_err(|(at, why)| InvalidScenario::new(path, at, Reason::Yaml(why.to_owned())))?;
    Ok(file)
}

fn check(file: &TargetFile) -> Result<(), (crate::located::Position, &'static str)> {
    match (&file.kubeconfig, &file.managed_cluster) {
        (None, None) => {
            return Err((
                crate::located::Position { line: 1, column: 1 },
                "name a `kubeconfig` or a `managed-cluster`",
            ));
        }
        (Some(_), Some(managed)) => {
            return Err((managed.at, "`kubeconfig` and `managed-cluster` both name the cluster; keep one of them"));
        }
        (None, Some(managed)) if file.azure.is_none() => {
            return Err((managed.at, "`managed-cluster` needs `azure`"));
        }
        _ => {}
    }
    let Some(azure) = &file.azure else { return Ok(()) };
    for (id, what) in [
        (&azure.value.tenant, "`tenant` is not an id; `az account show --query tenantId` prints it"),
        (&azure.value.subscription, "`subscription` is not an id; `az account show --query id` prints it"),
    ] {
        if !is_id(&id.value) {
            return Err((id.at, what));
        }
    }
    if let Some(prefix) = &azure.value.name_prefix
        && !legal_prefix(&prefix.value)
    {
        return Err((
            prefix.at,
            "`name-prefix` must be 1 to 40 lower-case letters, digits and hyphens, a letter first",
        ));
    }
    Ok(())
}

fn is_id(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn legal_prefix(text: &str) -> bool {
    (1..=40).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const AZURE: &str = "azure:\n  tenant: 00000000-0000-0000-0000-000000000001\n  subscription: 00000000-0000-0000-0000-000000000002\n  location: westeurope\n";

    fn read(text: &str) -> Result<TargetFile, String> {
        super::read("t.yaml", text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_target_is_a_kubeconfig_or_a_place_in_azure_and_the_rest_has_defaults() {
        let file =
            read(&format!("managed-cluster: {{ resource-group: rg, name: one }}\n{AZURE}  credential: azure-cli\n"));
        let azure = file.unwrap().azure.unwrap().value;
        assert_eq!((azure.cloud, azure.credential), (Cloud::Public, Credential::AzureCli));
        assert!(read("kubeconfig: k\n").unwrap().azure.is_none());
        let secret = "  credential: { client-secret: { client-id: c, secret: { env: THE_SECRET } } }\n";
        let azure = read(&format!("kubeconfig: k\n{AZURE}{secret}")).unwrap().azure.unwrap().value;
        let Credential::ClientSecret(credential) = azure.credential else { panic!("{:?}", azure.credential) };
        assert_eq!(credential.secret, Reference::Env("THE_SECRET".into()));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let both = format!("kubeconfig: k\nmanaged-cluster: {{ resource-group: rg, name: one }}\n{AZURE}");
        for (text, expected) in [
            ("kubeconfig: k\ncontxt: x\n".to_owned(), "t.yaml:2:1: "),
            (both, "t.yaml:2:18: `kubeconfig` and `managed-cluster` both"),
            ("context: x\n".to_owned(), "t.yaml:1:1: name a `kubeconfig`"),
            (
                format!("kubeconfig: k\n{}", AZURE.replace("00000000-0000-0000-0000-000000000001", "contoso")),
                "t.yaml:3:11: `tenant` is not an id",
            ),
            (format!("kubeconfig: k\n{AZURE}  name-prefix: Under_score\n"), "t.yaml:6:16: `name-prefix` must be"),
            (
                format!("kubeconfig: k\n{AZURE}  credential: {{ client-secret: {{ secret: in-the-clear }} }}\n"),
                "t.yaml:6:",
            ),
            (format!("kubeconfig: k\n{AZURE}  credential: {{ client-secret: {{ secret: hidden }} }}\n"), "t.yaml:6:"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.starts_with(expected), "{text}\n{error}");
        }
    }

    #[test]
    fn a_file_that_is_printed_is_read_again() {
        let text =
            format!("name: n\nkubeconfig: k\npatience: 20s\n{AZURE}  credential: {{ ci-token: {{ client-id: c }} }}\n");
        let printed = serde_saphyr::to_string(&read(&text).unwrap()).unwrap();
        let again = read(&printed).unwrap();
        assert_eq!(again.patience, Some(Patience(std::time::Duration::from_secs(20))), "{printed}");
        assert_eq!(serde_saphyr::to_string(&again).unwrap(), printed);
    }
}
