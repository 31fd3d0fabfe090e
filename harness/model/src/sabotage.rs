//! Mutants of the setup: a scenario that is set up wrongly must fail.
//!
//! Mutants of the product, of Azure and of the cluster are in their crates; these change the scenario itself.

mod containers;

use serde_json::Value;

pub use containers::{MISLEADS_CONTAINER, has_several_candidates};

use crate::located::{Located, Text};
use crate::scenario::{
    AccessModel, AccessPolicy, ClusterState, FederatedCredential, Manifests, Scenario, SecretRight,
    ServiceAccountState, Step, StoredSecret, WebhookState,
};

/// Every mutant of the set-up, with a sentence.
pub const SETUP_DEFECTS: &[(&str, &str)] = &[
    ("setup/forgets-access-policy", "no principal gets a permission on any vault"),
    ("setup/grants-every-principal", "every principal gets every permission on each vault"),
    ("setup/forgets-federated-credential", "no identity gets a federated credential"),
    ("setup/trusts-this-pod", "every identity trusts the pods' real issuer, subject and audience"),
    ("setup/forgets-client-id", "no ServiceAccount has the client-id annotation"),
    ("setup/adds-client-id", "every ServiceAccount has the client-id annotation"),
    ("setup/forgets-pod-label", "no pod has the label"),
    ("setup/adds-pod-label", "every pod has the label"),
    ("setup/keeps-webhook", "the webhook stays installed and reachable"),
    ("setup/forgets-skip-annotation", "no pod names containers to skip"),
    ("setup/forgets-account-annotations", "no ServiceAccount has annotations"),
    ("setup/forgets-pod-annotations", "no pod and no pod template has annotations"),
    ("setup/widens-rights", "the webhook's ServiceAccount has all permissions"),
    ("setup/asks-for-proxy", "every pod requests the proxy sidecar"),
    ("setup/stores-a-credential", "a Secret in the case's namespace contains a private key"),
    ("setup/creates-accounts", "every ServiceAccount that a pod names exists"),
    ("setup/forgets-policy", "no admission policy exists"),
    ("setup/forgets-namespace-labels", "the case's namespace has no labels"),
    ("setup/forgets-settings", "the webhook has its default settings"),
    ("setup/reads-everything", "every secret is enabled and none is deleted"),
    ("setup/swaps-access-model", "each vault uses the other access model"),
    ("setup/skips-patch", "no step changes an object"),
    ("setup/skips-delete", "no step deletes anything"),
    ("setup/skips-time", "no step advances the time"),
    ("setup/skips-issuer", "no step changes the issuer"),
    ("setup/skips-webhook", "no step changes the webhook's installation"),
    ("setup/skips-secret", "no step writes a secret"),
    ("setup/skips-trust", "no step adds or removes a federated credential"),
    ("setup/skips-grant", "no step grants a permission"),
    ("setup/skips-fault", "no step injects a fault"),
    ("setup/forgets-proxy-variables", "no container has HTTPS_PROXY or NO_PROXY"),
    ("setup/asks-in-order", "ask-token steps always use a valid token"),
    ("setup/stores-another-secret", "the vault stores other values"),
    (MISLEADS_CONTAINER, "only the container of an expectation uses an unknown client id"),
];

const LABEL: &str = "azure.workload.identity/use";
const CLIENT_ID: &str = "azure.workload.identity/client-id";
const PROXY: &str = "azure.workload.identity/inject-proxy-sidecar";
const SKIP: &str = "azure.workload.identity/skip-containers";

/// Whether this is a mutant of the set-up.
pub fn is_setup_defect(name: &str) -> bool {
    SETUP_DEFECTS.iter().any(|(known, _)| *known == name)
}

/// Sets the scenario up wrongly. A name that is not a mutant of the set-up changes nothing.
pub fn apply(scenario: &mut Scenario, name: &str) {
    match name {
        "setup/forgets-access-policy" => {
            for vault in scenario.given.azure.vaults.values_mut() {
                vault.access.clear();
                vault.secrets_user.clear();
                vault.roles.clear();
            }
        }
        "setup/grants-every-principal" => grant_everyone(scenario),
        "setup/forgets-federated-credential" => {
            scenario.given.azure.identities.values_mut().for_each(|identity| identity.federated.clear());
        }
        "setup/trusts-this-pod" => trust_this_pod(scenario),
        "setup/forgets-client-id" => each_account(scenario, &mut |annotations| annotations.remove(CLIENT_ID)),
        "setup/adds-client-id" => {
            if let Some(handle) = scenario.given.azure.identities.keys().next().cloned() {
                let id = format!("{{{{{handle}.client-id}}}}");
                each_account(scenario, &mut |annotations| annotations.set(CLIENT_ID, &id));
            }
        }
        "setup/forgets-pod-label" => each_pod(scenario, "labels", &mut |labels| labels.remove(LABEL)),
        "setup/adds-pod-label" => each_pod(scenario, "labels", &mut |labels| labels.set(LABEL, "true")),
        "setup/keeps-webhook" => scenario.given.webhook = WebhookState::Installed,
        "setup/forgets-skip-annotation" => {
            each_pod(scenario, "annotations", &mut |annotations| annotations.remove(SKIP))
        }
        "setup/forgets-account-annotations" => each_account(scenario, &mut |annotations| annotations.clear()),
        "setup/forgets-pod-annotations" => each_pod(scenario, "annotations", &mut |annotations| annotations.clear()),
        "setup/forgets-policy" => {
            scenario.given.cluster.retain(|state| !matches!(state.value, ClusterState::Policy(_)));
            scenario.given.cluster.iter_mut().for_each(|state| {
                if let ClusterState::Manifests(manifests) = &mut state.value {
                    let policy = |object: &Value| {
                        object["kind"].as_str().is_some_and(|kind| kind.starts_with("ValidatingAdmission"))
                    };
                    manifests.objects.retain(|object| !policy(&object.value));
                    manifests.loaded.retain(|loaded| !policy(&loaded.object));
                }
            });
        }
        "setup/asks-for-proxy" => {
            each_pod(scenario, "annotations", &mut |annotations| annotations.set(PROXY, "true"));
        }
        "setup/forgets-proxy-variables" => containers::without_variables(scenario, &["HTTPS_PROXY", "NO_PROXY"]),
        "setup/widens-rights" => {
            let binding = serde_json::json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
                "metadata": { "name": "too-much-{{namespace}}" },
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
                "subjects": [{ "kind": "ServiceAccount", "name": "azure-wi-webhook-admin",
                    "namespace": "azure-workload-identity-system" }],
            });
            let manifests = Manifests { objects: vec![Located::nowhere(binding)], ..Manifests::default() };
            scenario.given.cluster.push(Located::nowhere(ClusterState::Manifests(manifests)));
        }
        "setup/stores-a-credential" => {
            let secret = serde_json::json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "forgotten" },
                "stringData": { "key": "-----BEGIN PRIVATE KEY-----" },
            });
            let manifests = Manifests { objects: vec![Located::nowhere(secret)], ..Manifests::default() };
            scenario.given.cluster.push(Located::nowhere(ClusterState::Manifests(manifests)));
        }
        "setup/creates-accounts" => {
            let named: Vec<Text> = scenario
                .when
                .iter()
                .filter_map(|step| match &step.value {
                    Step::CreatePod(pod) => pod.service_account.clone(),
                    _ => None,
                })
                .collect();
            scenario.given.cluster.extend(named.into_iter().map(|name| {
                Located::nowhere(ClusterState::ServiceAccount(ServiceAccountState {
                    name,
                    ..ServiceAccountState::default()
                }))
            }));
        }
        "setup/forgets-namespace-labels" => scenario.given.namespace_labels.clear(),
        "setup/forgets-settings" => scenario.given.webhook_settings.clear(),
        "setup/reads-everything" => {
            for vault in scenario.given.azure.vaults.values_mut() {
                for secret in vault.secrets.values_mut() {
                    *secret = StoredSecret::Value(secret.value().clone());
                }
            }
        }
        "setup/swaps-access-model" => {
            for vault in scenario.given.azure.vaults.values_mut() {
                vault.access_model = match vault.access_model {
                    AccessModel::Policies => AccessModel::Roles,
                    AccessModel::Roles | AccessModel::Unstated => AccessModel::Policies,
                };
            }
        }
        "setup/asks-in-order" => {
            for step in &mut scenario.when {
                if let Step::AskToken(asked) = &mut step.value {
                    (asked.forged, asked.audience, asked.scope, asked.tenant_id) = (false, None, None, None);
                }
            }
        }
        "setup/stores-another-secret" => {
            // The expectation keeps the value that was asked for; see `Vault::decoy`.
            scenario.given.azure.vaults.values_mut().for_each(|vault| vault.decoy = true);
        }
        MISLEADS_CONTAINER => containers::mislead(scenario),
        _ => skip_steps(scenario, name),
    }
}

/// The mutants under which a scenario must fail: those that it names, and where an expectation could hold for another container than
/// the one that is meant, the one that tells.
pub fn mutants(scenario: &Scenario) -> Vec<String> {
    let mut mutants: Vec<String> = scenario.saboteurs.iter().map(|name| name.value.clone()).collect();
    if has_several_candidates(scenario) && !mutants.iter().any(|name| name == MISLEADS_CONTAINER) {
        mutants.push(MISLEADS_CONTAINER.to_owned());
    }
    mutants
}

/// Leaves out the steps of a kind.
fn skip_steps(scenario: &mut Scenario, name: &str) {
    let skipped = |step: &Step| {
        matches!(
            (name, step),
            ("setup/skips-patch", Step::Patch(_))
                | ("setup/skips-delete", Step::Delete(_))
                | ("setup/skips-time", Step::AdvanceTime(_) | Step::AdvanceClusterTime(_))
                | ("setup/skips-issuer", Step::SetIssuer(_))
                | ("setup/skips-webhook", Step::SetWebhook(_))
                | ("setup/skips-secret", Step::SetSecret(_))
                | ("setup/skips-trust", Step::Trust(_) | Step::Distrust(_))
                | ("setup/skips-grant", Step::Grant(_))
                | ("setup/skips-fault", Step::Break(_))
        )
    };
    scenario.when.retain(|step| !skipped(&step.value));
}

fn grant_everyone(scenario: &mut Scenario) {
    let azure = &mut scenario.given.azure;
    let principals: Vec<String> = azure.identities.keys().chain(azure.service_principals.keys()).cloned().collect();
    for vault in azure.vaults.values_mut() {
        vault.access = principals
            .iter()
            .map(|handle| {
                Located::nowhere(AccessPolicy {
                    to: handle.as_str().into(),
                    secrets: vec![SecretRight::Get, SecretRight::List],
                    keys: Vec::new(),
                    certificates: Vec::new(),
                })
            })
            .collect();
    }
}

/// Subjects are guessed from the pods: their namespace and account. Pods of inline objects and manifests count too.
fn trust_this_pod(scenario: &mut Scenario) {
    let mut subjects: Vec<String> = Vec::new();
    let own = "{{namespace}}".to_owned();
    for step in &scenario.when {
        match &step.value {
            Step::CreatePod(pod) => {
                let namespace = pod.namespace.as_ref().map_or(&own, |text| &text.value);
                let account = pod.service_account.as_ref().map_or("default", |text| text.value.as_str());
                subjects.push(format!("system:serviceaccount:{namespace}:{account}"));
            }
            Step::Apply(manifests) => {
                let objects =
                    manifests.objects.iter().map(|o| &o.value).chain(manifests.loaded.iter().map(|l| &l.object));
                for pod in objects.filter(|object| object["kind"] == "Pod") {
                    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or(&own);
                    let account = pod["spec"]["serviceAccountName"].as_str().unwrap_or("default");
                    subjects.push(format!("system:serviceaccount:{namespace}:{account}"));
                }
            }
            Step::AskToken(asked) => {
                let namespace = asked.namespace.as_ref().map_or(&own, |text| &text.value);
                subjects.push(format!("system:serviceaccount:{namespace}:{}", asked.account.value));
            }
            _ => {}
        }
    }
    subjects.sort();
    subjects.dedup();
    for identity in scenario.given.azure.identities.values_mut() {
        identity.federated = subjects
            .iter()
            .map(|subject| {
                Located::nowhere(FederatedCredential {
                    subject: Some(subject.as_str().into()),
                    ..FederatedCredential::default()
                })
            })
            .collect();
    }
}

/// Labels or annotations, written in a scenario or in an object.
enum Entries<'a> {
    Written(&'a mut std::collections::BTreeMap<String, Text>),
    Object(&'a mut Value),
}

impl Entries<'_> {
    fn remove(&mut self, key: &str) {
        match self {
            Entries::Written(map) => _ = map.remove(key),
            Entries::Object(value) => {
                if let Some(map) = value.as_object_mut() {
                    map.remove(key);
                }
            }
        }
    }

    fn clear(&mut self) {
        match self {
            Entries::Written(map) => map.clear(),
            Entries::Object(value) => **value = Value::Object(serde_json::Map::new()),
        }
    }

    fn set(&mut self, key: &str, to: &str) {
        match self {
            Entries::Written(map) => _ = map.insert(key.to_owned(), to.into()),
            Entries::Object(value) => value[key] = to.into(),
        }
    }
}

fn each_account(scenario: &mut Scenario, change: &mut dyn FnMut(&mut Entries<'_>)) {
    for state in &mut scenario.given.cluster {
        match &mut state.value {
            ClusterState::ServiceAccount(account) => change(&mut Entries::Written(&mut account.annotations)),
            ClusterState::Manifests(manifests) => each_object(manifests, "ServiceAccount", "annotations", change),
            ClusterState::Namespace(_) | ClusterState::Policy(_) => {}
        }
    }
}

fn each_pod(scenario: &mut Scenario, field: &str, change: &mut dyn FnMut(&mut Entries<'_>)) {
    for step in &mut scenario.when {
        match &mut step.value {
            Step::CreatePod(pod) => {
                change(&mut Entries::Written(if field == "labels" { &mut pod.labels } else { &mut pod.annotations }));
            }
            Step::Apply(manifests) => each_object(manifests, "Pod", field, change),
            _ => {}
        }
    }
}

fn each_object(manifests: &mut Manifests, kind: &str, field: &str, change: &mut dyn FnMut(&mut Entries<'_>)) {
    let objects =
        manifests.objects.iter_mut().map(|o| &mut o.value).chain(manifests.loaded.iter_mut().map(|l| &mut l.object));
    for object in objects {
        if object["kind"] == kind {
            change(&mut Entries::Object(&mut object["metadata"][field]));
        }
        // A template is a pod to be.
        for path in ["/spec/template", "/spec/jobTemplate/spec/template"] {
            if kind == "Pod"
                && let Some(template) = object.pointer_mut(path)
            {
                change(&mut Entries::Object(&mut template["metadata"][field]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCENARIO: &str = "title: t\nrequirements: [A]\nmutants: [s]\ngiven:\n  azure:\n    identities: { app1: { federated: [ { subject: other } ] } }\n    vaults: { kv1: { access: [ { to: app1, secrets: [get] } ] } }\n  cluster:\n    - service-account: { name: sa, annotations: { azure.workload.identity/client-id: x } }\nwhen:\n  - apply: { objects: [ { apiVersion: v1, kind: Pod, metadata: { name: p, labels: { azure.workload.identity/use: 'true' }, annotations: { azure.workload.identity/skip-containers: a } }, spec: { serviceAccountName: sa, containers: [ { name: c, image: i } ] } } ] }\nthen:\n  - admission: { of: p, outcome: mutated }\n  - exchange: { by: p, as: app1, outcome: granted }\n";

    /// Mutants that affect parts which the plain scenario lacks.
    const OTHERWISE: [&str; 8] = [
        "setup/forgets-proxy-variables",
        "setup/creates-accounts",
        "setup/forgets-policy",
        "setup/forgets-namespace-labels",
        "setup/forgets-settings",
        "setup/reads-everything",
        "setup/swaps-access-model",
        "setup/asks-in-order",
    ];
    const RICHER: &str = "title: t\nrequirements: [A]\nmutants: [s]\ngiven:\n  namespace-labels: { a: b }\n  webhook-settings: { audience: x }\n  azure:\n    identities: { app1: {} }\n    vaults: { kv1: { secrets: { s: { value: v, enabled: false } } } }\n  cluster:\n    - policy: { name: p, on: pods }\nwhen:\n  - create-pod: { name: p, image: i, service-account: a, env: { HTTPS_PROXY: x } }\n  - patch: { kind: Pod, name: p, with: {} }\n  - delete: { kind: Pod, name: p }\n  - advance-time: 1h\n  - set-issuer: new-key\n  - set-webhook: absent\n  - set-secret: { vault: kv1, secret: s, value: w }\n  - trust: { identity: app1, federated: { subject: s } }\n  - grant: { vault: kv1, to: app1, secrets: [get] }\n  - break: { of: app1, how: throttled }\n  - ask-token: { name: a, account: default, client-id: c, forged: true }\nthen:\n  - object: { kind: Pod, name: p, absent: true }\n";

    #[test]
    fn every_defect_of_the_set_up_changes_a_scenario_that_it_can_bite() {
        let original = crate::parse::scenario("s.yaml", SCENARIO.as_bytes()).unwrap();
        for (name, sentence) in SETUP_DEFECTS {
            let mut changed = original.clone();
            if *name == "setup/keeps-webhook" {
                changed.given.webhook = WebhookState::Absent;
            }
            if name.starts_with("setup/skips-") || OTHERWISE.contains(name) {
                let richer = crate::parse::scenario("s.yaml", RICHER.as_bytes()).unwrap();
                changed = richer;
            }
            if *name == "setup/adds-pod-label" {
                apply(&mut changed, "setup/forgets-pod-label");
            }
            let before = format!("{changed:?}");
            apply(&mut changed, name);
            assert_ne!(before, format!("{changed:?}"), "{name}: {sentence}");
            assert!(is_setup_defect(name));
        }
    }

    #[test]
    fn trusting_this_pod_names_its_own_account() {
        let mut scenario = crate::parse::scenario("s.yaml", SCENARIO.as_bytes()).unwrap();
        apply(&mut scenario, "setup/trusts-this-pod");
        let trusted = &scenario.given.azure.identities["app1"].federated[0].subject.as_ref().unwrap().value;
        assert_eq!(trusted, "system:serviceaccount:{{namespace}}:sa");
    }
}
