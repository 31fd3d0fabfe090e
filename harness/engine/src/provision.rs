//! A plan into a state of Azure and the cluster: through their own interfaces, everything in the lease before it is made.

mod policy;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wi_model::evidence::{Facts, Principal};
use wi_model::injection::AUDIENCE;
use wi_model::located::{Located, Text};
use wi_model::plan::Case;
use wi_model::scenario::{AccessModel, ClusterState, Identity, Manifests, Scenario, Step};
use wi_model::secret::Secret;
use wi_model::target::PodAdditions;
use wi_model::template::Bindings;

use crate::act;
use crate::azure::Azure;
use crate::bindings::{Names, resolve};
use crate::cluster::{self, Cluster, Created, sentence};
use crate::lease::Lease;
use crate::ledger::Owned;
use crate::webhook;

/// On every namespace that a run makes.
pub const RUN_LABEL: &str = "wi-conformance/run";
/// On a case's own namespace.
pub(crate) const CASE_LABEL: &str = "wi-conformance/case";

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
    /// Name of a Service that leads nowhere.
    pub(crate) nobody: String,
}

/// What provisioning works with.
pub(crate) struct Ground<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) azure: &'a Azure,
    pub(crate) pods: &'a PodAdditions,
    pub(crate) facts: Facts,
    pub(crate) run_id: &'a str,
    pub(crate) registration: Option<&'a str>,
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
        bindings.insert("azure.tenant-id".to_owned(), self.facts.tenant_id.clone());
        bindings.insert("azure.authority".to_owned(), self.facts.authority.clone());

        let mut facts = self.facts.clone();
        self.principals(case, &names, &mut bindings, &mut facts, lease).await?;
        self.vaults(case, &names, &mut bindings, &mut facts, lease).await?;
        let scenario = resolve(&case.scenario, &bindings).map_err(|error| error.to_string())?;
        self.trust(&scenario, &names, &bindings).await?;
        let secrets = self.secrets(&scenario, &mut facts).await?;

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
            for object in objects_of(state, &namespace) {
                objects.push(self.create(object, &namespace, lease).await?);
            }
        }
        let azure = &case.scenario.given.azure;
        let identities = azure.identities.iter().map(|(handle, identity)| {
            (handle.clone(), (names.group_of(identity.other_group), identity_name(handle, identity).to_owned()))
        });
        let vaults = azure.vaults.keys().map(|handle| (handle.clone(), (names.group(), names.vault(handle))));
        let (identities, vaults) = (identities.collect(), vaults.collect());
        let nobody = names.service();
        Ok(Provisioned { scenario, namespace, facts, secrets, objects, identities, vaults, nobody })
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
        if !azure.identities.is_empty() || !azure.vaults.is_empty() {
            lease.take(Owned::ResourceGroup { name: names.group() }).map_err(|error| sentence(&error))?;
            self.azure.arm().put_group(&names.group(), self.run_id).await.map_err(|error| error.to_string())?;
        }
        if azure.identities.values().any(|identity| identity.other_group) {
            let other = names.group_of(true);
            lease.take(Owned::ResourceGroup { name: other.clone() }).map_err(|error| sentence(&error))?;
            self.azure.arm().put_group(&other, self.run_id).await.map_err(|error| error.to_string())?;
        }
        for (handle, identity) in &azure.identities {
            let name = identity_name(handle, identity);
            let group = names.group_of(identity.other_group);
            let principal = self.azure.arm().put_identity(&group, name).await.map_err(|error| error.to_string())?;
            bind(bindings, facts, handle, name, principal);
        }
        for (handle, wanted) in &azure.service_principals {
            let name = wanted.name.as_ref().map_or_else(|| names.application(handle), |name| name.value.clone());
            let (object_id, app_id) = self.azure.graph().register(&name).await.map_err(|error| error.to_string())?;
            lease.take(Owned::Application { object_id: object_id.clone() }).map_err(|error| sentence(&error))?;
            let made =
                self.azure.graph().add_service_principal(object_id, app_id).await.map_err(|error| error.to_string())?;
            bindings.insert(format!("{handle}.object-id"), made.object_id);
            bind(bindings, facts, handle, &name, made.principal);
        }
        Ok(())
    }

    async fn vaults(
        &self,
        case: &Case,
        names: &Names,
        bindings: &mut Bindings,
        facts: &mut Facts,
        lease: &mut Lease,
    ) -> Result<(), String> {
        let azure = &case.scenario.given.azure;
        if azure.vaults.is_empty() {
            return Ok(());
        }
        let own = self.azure.own_object_id().await.map_err(|error| error.to_string())?;
        for (handle, vault) in &azure.vaults {
            let name = names.vault(handle);
            let location = self.azure.target().location.clone();
            // Deleted with its group, a vault stays behind in deleted state; so the purge is undone after the group.
            lease.take_first(Owned::DeletedVault { name: name.clone(), location }).map_err(|error| sentence(&error))?;
            let mut policies =
                vec![crate::azure::Policy { object_id: own.clone(), secrets: vec!["get", "list", "set", "delete"] }];
            for policy in &vault.access {
                let principal = facts
                    .principals
                    .get(&policy.to.value)
                    .ok_or_else(|| format!("no principal {}", policy.to.value))?;
                let secrets = policy.secrets.iter().map(|right| right.word()).collect();
                policies.push(crate::azure::Policy { object_id: principal.principal_id.clone(), secrets });
            }
            let by_roles = vault.access_model == AccessModel::Roles;
            let (arm, group) = (self.azure.arm(), names.group());
            let url = arm.put_vault(&group, &name, by_roles, &policies).await.map_err(|error| error.to_string())?;
            if by_roles {
                arm.make_secrets_officer(&group, &name, &own).await.map_err(|error| error.to_string())?;
            }
            for user in &vault.secrets_user {
                let principal =
                    facts.principals.get(&user.value).ok_or_else(|| format!("no principal {}", user.value))?;
                let assigned = arm.make_secrets_user(&group, &name, &principal.principal_id).await;
                assigned.map_err(|error| error.to_string())?;
            }
            bindings.insert(format!("{handle}.url"), url.clone());
            bindings.insert(format!("{handle}.name"), name);
            facts.vaults.insert(handle.clone(), url);
        }
        Ok(())
    }

    /// Federated credentials, one at a time.
    async fn trust(&self, scenario: &Scenario, names: &Names, bindings: &Bindings) -> Result<(), String> {
        let azure = &scenario.given.azure;
        for (handle, identity) in &azure.identities {
            let name = identity_name(handle, identity);
            let group = names.group_of(identity.other_group);
            for credential in self.credentials(&identity.federated) {
                self.azure.arm().put_federated(&group, name, &credential).await.map_err(|error| error.to_string())?;
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
                subject: credential.subject.value.clone(),
                audience: credential
                    .audience
                    .as_ref()
                    .map_or_else(|| AUDIENCE.to_owned(), |audience| audience.value.clone()),
            })
            .collect()
    }

    async fn secrets(&self, scenario: &Scenario, facts: &mut Facts) -> Result<Vec<Secret>, String> {
        let mut all = Vec::new();
        for (handle, vault) in &scenario.given.azure.vaults {
            let url = facts.vaults.get(handle).cloned().unwrap_or_default();
            for (name, value) in &vault.secrets {
                let wanted = Secret::new(value.value().value.clone());
                facts.secret_sha256.insert((handle.clone(), name.clone()), wanted.sha256());
                let decoy = || Secret::new(format!("{}-decoy", value.value().value));
                let stored = if vault.decoy { decoy() } else { wanted.clone() };
                self.azure.vault(&url).set(name, &stored).await.map_err(|error| error.to_string())?;
                if !value.enabled() {
                    self.azure.vault(&url).disable(name).await.map_err(|error| error.to_string())?;
                }
                if value.deleted() {
                    self.azure.vault(&url).delete(name).await.map_err(|error| error.to_string())?;
                }
                all.extend([wanted, stored]);
            }
        }
        Ok(all)
    }

    async fn own_namespace(
        &self,
        name: &str,
        case_id: &str,
        more: &BTreeMap<String, Text>,
        lease: &mut Lease,
    ) -> Result<(), String> {
        if self.cluster.wait_for_namespace(name, RUN_LABEL, self.cancel).await? {
            return Err(format!(
                "namespace {name} is there already; it must be the case's own: delete it, or run `sweep` if a killed run left it"
            ));
        }
        let mut labels = json!({ CASE_LABEL: label(case_id) });
        for (key, value) in more {
            labels[key] = value.value.clone().into();
        }
        self.create(cluster::namespace(name, labels), name, lease).await.map(|_| ())
    }

    /// Creates one object of the given state; a refusal blocks the case.
    async fn create(&self, mut object: Value, own: &str, lease: &mut Lease) -> Result<(Value, Value), String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if object["kind"] == "Namespace" {
            // By this label a webhook that was installed for one run leaves other runs' pods alone.
            object["metadata"]["labels"][RUN_LABEL] = label(self.run_id).into();
        }
        let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
        if kind == "Namespace"
            && name == own
            && self.cluster.has_namespace(own).await.map_err(|error| sentence(&error))?
        {
            // The case's own namespace, handed in as a manifest: what it adds is merged in.
            self.cluster
                .merge(&object, &json!({ "metadata": object["metadata"] }))
                .await
                .map_err(|error| sentence(&error))?;
            return Ok((object.clone(), object));
        }
        let namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
        let owned = Owned::Object {
            api_version: text(&object["apiVersion"]),
            kind: kind.clone(),
            namespace,
            name: name.clone(),
        };
        lease.take(owned).map_err(|error| sentence(&error))?;
        let stored = match self.cluster.create(&object).await? {
            Created::Stored(stored) => stored,
            Created::Refused(refused) => {
                return Err(format!("{kind} {name} was refused: {} {}", refused.status, refused.message));
            }
        };
        if kind == "Namespace" {
            let waited = self.cluster.wait_for_default_account(&name, self.cancel).await;
            waited.map_err(|error| format!("namespace {name} got no default ServiceAccount: {error}"))?;
            if let Some(trust) = act::trust_config_map(&name, self.pods)
                && let Created::Refused(refused) = self.cluster.create(&trust).await?
            {
                return Err(format!("the CA bundle of namespace {name} was refused: {}", refused.message));
            }
        }
        Ok((object, stored))
    }
}

fn identity_name<'a>(handle: &'a str, identity: &'a Identity) -> &'a str {
    identity.name.as_ref().map_or(handle, |name| name.value.as_str())
}

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
                "name": wanted.name.value, "namespace": home, "annotations": map(&wanted.annotations), "labels": map(&wanted.labels),
            } });
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
