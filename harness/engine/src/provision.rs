//! A plan into a state of Azure and the cluster: through their own interfaces, everything in the lease before it is made.

mod group;
mod policy;
mod vaults;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wi_model::evidence::{Credential, Facts, Principal, RefusalEvidence, Right, RightKind};
use wi_model::injection::AUDIENCE;
use wi_model::located::{Located, Text};
use wi_model::plan::Case;
use wi_model::scenario::{AskToken, ClusterState, Given, Manifests, Scenario, Step};
use wi_model::secret::Secret;
use wi_model::target::PodAdditions;
use wi_model::target::file::Cloud;
use wi_model::template::Bindings;

use crate::azure::{Azure, Chosen};
use crate::bindings::{Names, resolve};
use crate::cluster::{self, Cluster, Created, ObjectRef, sentence};
use crate::existing::{change_existing, somebody_elses};
use crate::lease::Lease;
use crate::ledger::{Ledger, Owned};
use crate::webhook;

/// On every namespace that a run makes.
pub const RUN_LABEL: &str = "wi-conformance/run";
/// On a case's own namespace.
pub(crate) const CASE_LABEL: &str = "wi-conformance/case";

pub(crate) use group::Group;
pub(crate) use policy::foreign_authority;

/// What is ready for a case.
pub(crate) struct Provisioned {
    /// The scenario with every name filled in.
    pub(crate) scenario: Scenario,
    /// The case's own namespace.
    pub(crate) namespace: String,
    /// What we know because we made it.
    pub(crate) facts: Facts,
    /// Values that must never be shown.
    pub(crate) secrets: Vec<Secret>,
    /// Objects of the given state, as sent and as stored.
    pub(crate) objects: Vec<(Value, Value)>,
    /// Resource group and name of each identity, by handle.
    pub(crate) identities: BTreeMap<String, (String, String)>,
    /// Resource group and name of each vault, by handle.
    pub(crate) vaults: BTreeMap<String, (String, String)>,
    /// Object id of each application, by the handle of its service principal.
    pub(crate) applications: BTreeMap<String, String>,
    /// A value in the environment of each pod, which nobody has any business to write down.
    pub(crate) canary: String,
    /// Name of a Service that leads nowhere.
    pub(crate) nobody: String,
    /// Exchanges of our own, by name.
    pub(crate) asks: BTreeMap<String, AskToken>,
    /// Tokens that exchanges of our own presented, by the names of those.
    pub(crate) tokens: BTreeMap<String, Secret>,
}

/// What provisioning works with.
pub(crate) struct Ground<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) azure: &'a Azure,
    pub(crate) pods: &'a PodAdditions,
    pub(crate) facts: Facts,
    pub(crate) run_id: &'a str,
    pub(crate) ledger: &'a Ledger,
    /// The run's own resource group, made when the first case needs it.
    pub(crate) group: &'a Group,
    pub(crate) registration: Option<&'a str>,
    /// Whether exchanges are in the journal, so that one of the harness could be attributed to a pod.
    pub(crate) exchanges_are_seen: bool,
    pub(crate) cancel: &'a CancellationToken,
}

impl Ground<'_> {
    /// Makes everything that the case needs.
    ///
    /// # Errors
    /// What could not be made, and why.
    pub(crate) async fn provision(self, case: &Case, lease: &mut Lease) -> Result<Provisioned, String> {
        let names = Names::new(self.run_id, &case.id);
        let mut bindings = Bindings::new();
        let given = &case.scenario.given;
        let namespace = given.namespace.as_ref().map_or_else(|| names.namespace(), |name| name.value.clone());
        bindings.insert("namespace".to_owned(), namespace.clone());
        bindings.insert("random".to_owned(), uuid::Uuid::new_v4().simple().to_string());
        bindings.insert("cluster.issuer".to_owned(), self.facts.issuer.clone());
        let without_slash = self.facts.issuer.trim_end_matches('/').to_owned();
        bindings.insert("cluster.issuer.without-slash".to_owned(), without_slash);
        bindings.insert("azure.tenant-id".to_owned(), self.facts.tenant_id.clone());
        let mut facts = self.facts.clone();
        self.choose_cloud(given, &mut facts);
        bindings.insert("azure.authority".to_owned(), facts.authority.clone());
        self.principals(case, &names, &mut bindings, &mut facts, lease).await?;
        self.vaults(case, &names, &mut bindings, &mut facts, lease).await?;
        for (handle, tenant) in &given.azure.tenants {
            let id = uuid::Uuid::new_v4().to_string();
            let known = tenant.knows.iter().filter_map(|handle| facts.principals.get(&handle.value));
            let clients: Vec<&str> = known.map(|principal| principal.client_id.as_str()).collect();
            let made = self.azure.control(&format!("tenants/{id}"), &json!({ "clients": clients })).await;
            made.map_err(|error| format!("tenant {handle}: {error}"))?;
            facts.tenants.insert(handle.clone(), id.clone());
            bindings.insert(format!("{handle}.tenant-id"), id);
        }
        let scenario = resolve(&case.scenario, &bindings).map_err(|error| error.to_string())?;
        let asked = scenario.given.webhook_settings.iter();
        facts.webhook_settings = asked.map(|(name, value)| (name.clone(), value.value.clone())).collect();
        self.trust(&scenario, &names, &bindings).await?;
        let secrets = self.secrets(&scenario, &mut facts).await?;
        self.note_given(&scenario, &namespace, &mut facts);

        let later = scenario.when.iter().filter_map(|step| match &step.value {
            Step::SetSecret(secret) => Some(Secret::new(secret.value.value.clone())),
            _ => None,
        });
        let secrets = secrets.into_iter().chain(later).collect();

        let mut objects = Vec::new();
        let labels = &scenario.given.namespace_labels;
        self.own_namespace(&namespace, &case.id, labels, lease).await?;
        let installation = webhook::Installation {
            registration: self.registration,
            cluster: self.cluster,
            namespace: &namespace,
            name: &names.service(),
            upgrade: None,
            cancel: self.cancel,
        };
        let set = installation.set(scenario.given.webhook, lease).await;
        set.map_err(|why| format!("the webhook's state: {why}"))?;
        for state in &scenario.given.cluster {
            if let ClusterState::Policy(policy) = &state.value {
                self.policy(policy, &namespace, &case.id, lease).await?;
            }
            let existing = matches!(&state.value, ClusterState::Manifests(manifests) if manifests.existing);
            for object in objects_of(state, &namespace) {
                match self.create(object, &namespace, existing, lease).await? {
                    Made::Stored(pair) => objects.push(*pair),
                    // A refusal blocks the case.
                    Made::Refused(what, refused) => return Err(refused_line(&what, &refused)),
                }
            }
        }
        if !self.exchanges_are_seen {
            self.wait_trusted(&scenario, &facts).await?;
        }
        let azure = &case.scenario.given.azure;
        let placed = |handle: &String| {
            let get = |field: &str| bindings.get(&format!("{handle}.{field}")).cloned().unwrap_or_default();
            (handle.clone(), (get("group"), get("name")))
        };
        let identities = azure.identities.keys().map(placed).collect();
        let vaults = azure.vaults.keys().map(placed).collect();
        let application =
            |handle: &String| Some((handle.clone(), bindings.get(&format!("{handle}.object-id"))?.clone()));
        let applications = azure.service_principals.keys().filter_map(application).collect();
        let (nobody, asks, tokens) = (names.service(), BTreeMap::new(), BTreeMap::new());
        Ok(Provisioned {
            scenario,
            namespace,
            facts,
            secrets,
            objects,
            identities,
            vaults,
            applications,
            canary: format!("canary-{}", uuid::Uuid::new_v4().simple()),
            nobody,
            asks,
            tokens,
        })
    }

    /// The cloud that pods of the case live in: where one address stands for every cloud, that of the webhook's setting.
    fn choose_cloud(&self, given: &Given, facts: &mut Facts) {
        let target = self.azure.target();
        facts.authorities = vec![facts.authority.clone()];
        facts.vault_domain.clone_from(&target.vault_domain);
        let named = given.webhook_settings.get("AZURE_ENVIRONMENT");
        let Some(cloud) = named.and_then(|name| Cloud::of_environment(&name.value)) else { return };
        let addresses = cloud.addresses();
        if target.connect.is_none() || addresses.authority == facts.authority || cloud == Cloud::Public {
            return;
        }
        addresses.authority.clone_into(&mut facts.authority);
        addresses.vault_domain.clone_into(&mut facts.vault_domain);
        facts.authorities.push(facts.authority.clone());
    }

    /// Identities and service principals, without what they trust: that may name any of them.
    async fn principals(
        &self,
        case: &Case,
        names: &Names,
        bindings: &mut Bindings,
        facts: &mut Facts,
        lease: &mut Lease,
    ) -> Result<(), String> {
        let azure = &case.scenario.given.azure;
        for (handle, identity) in &azure.identities {
            let named = identity.name.as_ref().map(|name| name.value.clone());
            // A name of the scenario's own may be another case's too, so such an identity has a group to itself.
            let group = match &named {
                None if !identity.other_group => self.group.made(self).await?,
                _ => self.group.beside(self, names.suffix(), lease).await?,
            };
            let name = named.unwrap_or_else(|| names.identity(handle));
            let made = jiff::Timestamp::now().to_string();
            let owned = Owned::Identity { group: group.clone(), name: name.clone(), made: Some(made.clone()) };
            lease.take(owned).map_err(|error| sentence(&error))?;
            let chosen = Chosen::of(identity.client_id.as_ref(), identity.principal_id.as_ref());
            let principal = self.azure.arm().make_identity(&group, &name, self.run_id, &made, &chosen).await;
            let Some(principal) = principal.map_err(|error| error.to_string())? else {
                lease.forget().map_err(|error| sentence(&error))?;
                return Err(format!(
                    "identity {name} exists already and belongs to another user, so it is not changed"
                ));
            };
            lease.made(&principal.principal_id).map_err(|error| sentence(&error))?;
            let confirmed = self.azure.arm().confirm_identity(&group, &name, &made).await;
            confirmed.map_err(|error| error.to_string())?;
            chosen.check(handle, &principal)?;
            bindings.insert(format!("{handle}.group"), group);
            bind(bindings, facts, handle, &name, principal);
        }
        for (handle, wanted) in &azure.service_principals {
            let prefix = &self.azure.target().marks.prefix;
            let name =
                wanted.name.as_ref().map_or_else(|| names.application(prefix, handle), |name| name.value.clone());
            let made_at = jiff::Timestamp::now().to_string();
            let owned = Owned::Application { name: name.clone(), made: Some(made_at.clone()) };
            lease.take(owned).map_err(|error| sentence(&error))?;
            let chosen = Chosen::of(wanted.client_id.as_ref(), wanted.principal_id.as_ref());
            let registered = self.azure.graph().register(&name, self.run_id, &made_at, &chosen).await;
            let (object_id, app_id) = registered.map_err(|error| error.to_string())?;
            lease.made(&object_id).map_err(|error| sentence(&error))?;
            let made = self.azure.graph().add_service_principal(object_id, app_id, &chosen).await;
            let made = made.map_err(|error| error.to_string())?;
            chosen.check(handle, &made.principal)?;
            bindings.insert(format!("{handle}.object-id"), made.object_id);
            bind(bindings, facts, handle, &name, made.principal);
        }
        Ok(())
    }

    /// Federated credentials, one at a time.
    async fn trust(&self, scenario: &Scenario, names: &Names, bindings: &Bindings) -> Result<(), String> {
        let azure = &scenario.given.azure;
        for (handle, identity) in &azure.identities {
            let name = identity.name.as_ref().map_or_else(|| names.identity(handle), |name| name.value.clone());
            let group = bindings.get(&format!("{handle}.group")).map_or("", String::as_str);
            if identity.federated.len() > MOST_FEDERATED {
                return Err(format!(
                    "identity {handle} has {} federated credentials; Azure takes at most {MOST_FEDERATED} on one",
                    identity.federated.len()
                ));
            }
            for credential in self.credentials(&identity.federated) {
                self.azure.arm().put_federated(group, &name, &credential).await.map_err(|error| error.to_string())?;
            }
        }
        for (handle, principal) in &azure.service_principals {
            let Some(object_id) = bindings.get(&format!("{handle}.object-id")) else { continue };
            for credential in self.credentials(&principal.federated) {
                self.azure.graph().add_federated(object_id, &credential).await.map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// What was given, for messages that name it.
    fn note_given(&self, scenario: &Scenario, namespace: &str, facts: &mut Facts) {
        let azure = &scenario.given.azure;
        let identities = azure.identities.iter().map(|(handle, identity)| (handle, &identity.federated));
        let principals = azure.service_principals.iter().map(|(handle, principal)| (handle, &principal.federated));
        for (holder, federated) in identities.chain(principals) {
            facts.credentials.extend(self.credentials(federated).into_iter().map(|credential| Credential {
                holder: holder.clone(),
                issuer: credential.issuer,
                subject: credential.subject.unwrap_or_default(),
                audience: credential.audience,
            }));
        }
        for (handle, vault) in &azure.vaults {
            facts.access_models.insert(handle.clone(), vault.access_model);
            let right = |to: &Text, kind| Right { vault: handle.clone(), holder: to.value.clone(), kind };
            let on_secrets = vault.access.iter().filter(|policy| !policy.secrets.is_empty());
            facts.rights.extend(on_secrets.map(|policy| {
                right(&policy.to, RightKind::Policy(policy.secrets.iter().map(|word| word.word()).collect()))
            }));
            facts
                .rights
                .extend(vault.secrets_user.iter().map(|to| right(to, RightKind::Role(SECRETS_USER.to_owned()))));
            facts
                .rights
                .extend(vault.roles.iter().map(|given| right(&given.to, RightKind::Role(given.role.value.clone()))));
        }
        let objects = scenario.given.cluster.iter().flat_map(|state| objects_of(state, namespace));
        facts.accounts = objects.filter(|object| object["kind"] == "ServiceAccount").collect();
    }

    /// Waits until the identity provider knows the federated credentials: by asking, as the account that each trusts.
    /// What it then says to a pod is judged, not this.
    async fn wait_trusted(&self, scenario: &Scenario, facts: &Facts) -> Result<(), String> {
        let azure = &scenario.given.azure;
        let identities = azure.identities.iter().map(|(handle, identity)| (handle, &identity.federated));
        let principals = azure.service_principals.iter().map(|(handle, principal)| (handle, &principal.federated));
        for (handle, federated) in identities.chain(principals) {
            let Some(principal) = facts.principals.get(handle) else { continue };
            for credential in self.credentials(federated) {
                let account = credential.subject.as_deref().and_then(|of| of.strip_prefix("system:serviceaccount:"));
                let Some((namespace, account)) = account.and_then(|rest| rest.split_once(':')) else { continue };
                if credential.issuer != self.facts.issuer || credential.audience != AUDIENCE {
                    continue;
                }
                let token = self.cluster.token_of(namespace, account, AUDIENCE).await;
                let Some(token) = token.map_err(|error| format!("a token of {account}: {}", sentence(&error)))? else {
                    continue;
                };
                let known = self.azure.wait_trusted(&principal.client_id, &token).await;
                known.map_err(|error| format!("the federated credential for {account}: {error}"))?;
            }
        }
        Ok(())
    }

    fn credentials(
        &self,
        written: &[Located<wi_model::scenario::FederatedCredential>],
    ) -> Vec<crate::azure::FederatedCredential> {
        written
            .iter()
            .enumerate()
            .map(|(index, credential)| crate::azure::FederatedCredential {
                name: credential
                    .name
                    .as_ref()
                    .map_or_else(|| format!("federated-{}", index + 1), |name| name.value.clone()),
                issuer: credential
                    .issuer
                    .as_ref()
                    .map_or_else(|| self.facts.issuer.clone(), |issuer| issuer.value.clone()),
                subject: credential.subject.as_ref().map(|subject| subject.value.clone()),
                expression: credential.claims_matching_expression.as_ref().map(|text| text.value.clone()),
                audience: credential
                    .audience
                    .as_ref()
                    .map_or_else(|| AUDIENCE.to_owned(), |audience| audience.value.clone()),
            })
            .collect()
    }

    async fn own_namespace(
        &self,
        name: &str,
        case_id: &str,
        more: &BTreeMap<String, Text>,
        lease: &mut Lease,
    ) -> Result<(), String> {
        let mut labels = json!({ CASE_LABEL: label(case_id) });
        for (key, value) in more {
            labels[key] = value.value.clone().into();
        }
        let namespace = cluster::namespace(name, labels);
        // Another run may want the same name at the same moment; it has it until its case is over.
        for _ in 0..TURNS {
            if self.cluster.wait_for_namespace(name, RUN_LABEL, self.cancel).await? {
                break;
            }
            match self.create(namespace.clone(), name, false, lease).await? {
                Made::Stored(_) => return Ok(()),
                Made::Refused(_, refused) if refused.status == 409 => {}
                Made::Refused(what, refused) => return Err(refused_line(&what, &refused)),
            }
        }
        Err(format!(
            "namespace {name} exists already, but the case must create it: delete it, or run `sweep` if a killed run left it"
        ))
    }

    /// Creates one object of the given state, and brings what it needs. One that belongs to another user is changed only where the
    /// scenario says that it may be there.
    async fn create(&self, mut object: Value, own: &str, existing: bool, lease: &mut Lease) -> Result<Made, String> {
        let named = ObjectRef::of(&object);
        let is_namespace = named.kind == "Namespace";
        if is_namespace && named.name == own && lease.owns_namespace(own) {
            // The case's own namespace, handed in as a manifest: what it adds is merged in.
            object["metadata"]["labels"][RUN_LABEL] = label(self.run_id).into();
            self.cluster.adopt_namespace(&object).await?;
            return Ok(Made::Stored(Box::new((object.clone(), object))));
        }
        if existing && let Some(found) = somebody_elses(self.cluster, &named, lease).await? {
            let stored = change_existing(self.cluster, &found, &object, lease).await?;
            return Ok(Made::Stored(Box::new((object, stored))));
        }
        lease.mark(self.cluster, &mut object).await;
        let stored = match lease.create(self.cluster, &object).await? {
            Created::Stored(stored) => stored,
            Created::Refused(refused) => return Ok(Made::Refused(named.to_string(), refused)),
        };
        if is_namespace {
            self.cluster.furnish(&named.name, self.pods, self.cancel).await?;
        }
        Ok(Made::Stored(Box::new((object, stored))))
    }
}

/// What became of an object of the given state.
enum Made {
    /// As sent and as stored.
    Stored(Box<(Value, Value)>),
    /// Which it is, and what the API server said.
    Refused(String, RefusalEvidence),
}

fn refused_line(what: &str, refused: &RefusalEvidence) -> String {
    format!("{what} was refused: {} {}", refused.status, refused.message)
}

/// The role that `secrets-user` gives.
const SECRETS_USER: &str = "Key Vault Secrets User";
/// How often a namespace is waited for that another run has, and got again before us.
const TURNS: u32 = 20;
/// How many federated credentials Azure takes on one identity.
const MOST_FEDERATED: usize = 20;

fn bind(bindings: &mut Bindings, facts: &mut Facts, handle: &str, name: &str, principal: Principal) {
    bindings.insert(format!("{handle}.name"), name.to_owned());
    bindings.insert(format!("{handle}.client-id"), principal.client_id.clone());
    bindings.insert(format!("{handle}.principal-id"), principal.principal_id.clone());
    facts.principals.insert(handle.to_owned(), principal);
}

/// A label's value: 63 letters, digits, dots, hyphens.
pub fn label(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '.' }).collect();
    clean.chars().take(63).collect::<String>().trim_matches(['.', '-']).to_owned()
}

/// The objects of one piece of state, with the case's namespace where none is named.
fn objects_of(state: &Located<ClusterState>, namespace: &str) -> Vec<Value> {
    let map = |entries: &BTreeMap<String, Text>| -> Value {
        entries
            .iter()
            .map(|(key, value)| (key.clone(), Value::from(value.value.clone())))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    match &state.value {
        ClusterState::Namespace(wanted) => vec![cluster::namespace(&wanted.name.value, map(&wanted.labels))],
        ClusterState::ServiceAccount(wanted) => {
            let home = wanted.namespace.as_ref().map_or(namespace, |namespace| namespace.value.as_str());
            let mut object = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {
                "name": wanted.name.value, "namespace": home,
            } });
            // As people write it: an account that is given none says nothing of them.
            for (field, entries) in [("annotations", &wanted.annotations), ("labels", &wanted.labels)] {
                if !entries.is_empty() {
                    object["metadata"][field] = map(entries);
                }
            }
            if let Some(automount) = wanted.automount {
                object["automountServiceAccountToken"] = automount.into();
            }
            vec![object]
        }
        ClusterState::Manifests(manifests) => objects_of_manifests(manifests, namespace),
        ClusterState::Policy(_) => Vec::new(),
    }
}

/// The objects of manifests, files first, with the case's namespace where none is named.
pub(crate) fn objects_of_manifests(manifests: &Manifests, namespace: &str) -> Vec<Value> {
    let all = manifests
        .loaded
        .iter()
        .map(|loaded| &loaded.object)
        .chain(manifests.objects.iter().map(|object| &object.value));
    all.cloned()
        .map(|mut object| {
            let kind = object["kind"].as_str().unwrap_or_default();
            if !cluster::cluster_scoped(kind) && object["metadata"]["namespace"].is_null() {
                object["metadata"]["namespace"] = namespace.into();
            }
            object
        })
        .collect()
}
