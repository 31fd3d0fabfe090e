//! Objects and resources that a scenario names itself: which of them are its own, which belong to another user, and which another
//! scenario names too.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::located::{Position, Text};
use crate::manifest::cluster_scoped;
use crate::plan::Case;
use crate::scenario::{ClusterState, Manifests, Scenario, Step};

/// What stands for the case's own namespace in a scenario.
const OWN: &str = "{{namespace}}";

/// A Kubernetes object as a scenario names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedObject {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Its namespace; `None` where it lives in none.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl NamedObject {
    fn new(api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Self {
        let namespace = (!cluster_scoped(kind)).then(|| namespace.unwrap_or(OWN).to_owned());
        NamedObject { api_version: api_version.to_owned(), kind: kind.to_owned(), namespace, name: name.to_owned() }
    }

    fn of(object: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let namespace = object["metadata"]["namespace"].as_str();
        Self::new(&text(&object["apiVersion"]), &text(&object["kind"]), namespace, &text(&object["metadata"]["name"]))
    }

    /// Whether the name is the same in every run.
    fn is_fixed(&self) -> bool {
        let fixed = |text: &str| !text.contains("{{") && !text.contains("${");
        fixed(&self.name) && self.namespace.as_deref().is_none_or(fixed)
    }

    fn is_same(&self, other: &Self) -> bool {
        let group = |text: &str| text.split_once('/').map_or("", |(group, _)| group).to_owned();
        (&self.kind, &self.namespace, &self.name) == (&other.kind, &other.namespace, &other.name)
            && group(&self.api_version) == group(&other.api_version)
    }
}

impl std::fmt::Display for NamedObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) if namespace != OWN => write!(f, "{} {namespace}/{}", self.kind, self.name),
            _ => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// An object that a step changes or takes away though the scenario does not make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// Which.
    pub object: NamedObject,
    /// Where the step is.
    pub at: Position,
    /// Whether the scenario says that another user's object is meant.
    pub said: bool,
}

/// Every object that a scenario brings, and whether one that is there already may be changed instead.
fn brought(scenario: &Scenario) -> Vec<(NamedObject, bool, Position)> {
    let mut all = Vec::new();
    let own = |text: &Option<Text>| text.as_ref().map(|text| text.value.clone());
    for state in &scenario.given.cluster {
        match &state.value {
            ClusterState::Namespace(wanted) => {
                all.push((NamedObject::new("v1", "Namespace", None, &wanted.name.value), false, state.at));
            }
            ClusterState::ServiceAccount(wanted) => {
                let namespace = own(&wanted.namespace);
                let named = NamedObject::new("v1", "ServiceAccount", namespace.as_deref(), &wanted.name.value);
                all.push((named, false, state.at));
            }
            ClusterState::Manifests(manifests) => all.extend(of_manifests(manifests, state.at)),
            ClusterState::Policy(_) => {}
        }
    }
    for step in &scenario.when {
        match &step.value {
            Step::CreatePod(pod) => {
                let namespace = own(&pod.namespace);
                all.push((NamedObject::new("v1", "Pod", namespace.as_deref(), &pod.name.value), false, step.at));
            }
            Step::Apply(manifests) => all.extend(of_manifests(manifests, step.at)),
            _ => {}
        }
    }
    all
}

fn of_manifests(manifests: &Manifests, at: Position) -> Vec<(NamedObject, bool, Position)> {
    let loaded = manifests.loaded.iter().map(|loaded| &loaded.object);
    let all = loaded.chain(manifests.objects.iter().map(|object| &object.value));
    all.map(|object| (NamedObject::of(object), manifests.existing, at)).collect()
}

/// Names of namespaces that the scenario makes: everything in them is its own.
fn own_namespaces(scenario: &Scenario, brought: &[(NamedObject, bool, Position)]) -> BTreeSet<String> {
    let mut own: BTreeSet<String> = [OWN.to_owned()].into();
    own.extend(scenario.given.namespace.as_ref().map(|name| name.value.clone()));
    let namespaces = brought.iter().filter(|(object, existing, _)| object.kind == "Namespace" && !existing);
    own.extend(namespaces.map(|(object, ..)| object.name.clone()));
    own
}

/// Objects that steps change or take away though the scenario does not make them.
pub fn foreign(scenario: &Scenario) -> Vec<Foreign> {
    let brought = brought(scenario);
    let own = own_namespaces(scenario, &brought);
    let inside = |object: &NamedObject| object.namespace.as_ref().is_some_and(|namespace| own.contains(namespace));
    let mut foreign = Vec::new();
    let existing = brought.iter().filter(|(object, existing, _)| *existing && !inside(object));
    foreign.extend(existing.map(|(object, _, at)| Foreign { object: object.clone(), at: *at, said: true }));
    for step in &scenario.when {
        let (api_version, kind, namespace, name, said) = match &step.value {
            Step::Patch(change) => {
                (&change.api_version, &change.kind, &change.namespace, &change.name, change.existing)
            }
            Step::Delete(gone) => (&gone.api_version, &gone.kind, &gone.namespace, &gone.name, gone.existing),
            _ => continue,
        };
        let api_version = api_version.as_ref().map_or("v1", |text| text.value.as_str());
        let namespace = namespace.as_ref().map(|text| text.value.as_str());
        let object = NamedObject::new(api_version, &kind.value, namespace, &name.value);
        let made = brought.iter().any(|(other, existing, _)| !existing && other.is_same(&object));
        if !made && !inside(&object) {
            foreign.push(Foreign { object, at: step.at, said });
        }
    }
    foreign
}

impl Case {
    /// Objects of names that are the same in every run, outside the namespaces that are the case's alone, and whether one that
    /// is there may be changed.
    pub fn fixed_objects(&self) -> Vec<(NamedObject, bool)> {
        let brought = brought(&self.scenario);
        let own = own_namespaces(&self.scenario, &brought);
        let inside = |object: &NamedObject| object.namespace.as_ref().is_some_and(|namespace| own.contains(namespace));
        let foreign = foreign(&self.scenario).into_iter().map(|foreign| (foreign.object, foreign.said));
        let all = brought.iter().map(|(object, existing, _)| (object.clone(), *existing)).chain(foreign);
        let namespace = self.scenario.given.namespace.as_ref();
        let namespace = namespace.map(|name| (NamedObject::new("v1", "Namespace", None, &name.value), false));
        let mut fixed: Vec<_> = namespace.into_iter().chain(all).collect();
        fixed.retain(|(object, _)| object.is_fixed() && !inside(object));
        fixed.sort();
        fixed.dedup();
        fixed
    }

    /// Everything of a name that is the same in every run: two cases that share one run one after the other.
    pub fn fixed_names(&self) -> BTreeSet<String> {
        let azure = &self.scenario.given.azure;
        let identities = azure.identities.values().filter_map(|identity| Some(("identity", identity.name.as_ref()?)));
        let principals = azure.service_principals.values();
        let principals = principals.filter_map(|principal| Some(("application", principal.name.as_ref()?)));
        let vaults = azure.vaults.values().filter_map(|vault| Some(("vault", vault.name.as_ref()?)));
        let resources = identities.chain(principals).chain(vaults).filter(|(_, name)| !name.value.contains("{{"));
        let resources = resources.map(|(kind, name)| format!("{kind} {}", name.value));
        self.fixed_objects().into_iter().map(|(object, _)| object.to_string()).chain(resources).collect()
    }
}

/// For each case that shares a fixed name with one before it, which that is and what they share.
pub fn turns<'a>(cases: impl IntoIterator<Item = &'a Case>) -> BTreeMap<&'a str, (&'a str, String)> {
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    let mut turns = BTreeMap::new();
    for case in cases {
        for name in case.fixed_names() {
            if let Some(before) = taken.insert(name.clone(), &case.id) {
                turns.entry(case.id.as_str()).or_insert((before, name));
            }
        }
    }
    turns
}

/// What must be said in a scenario before its steps may touch what it does not make; a line each.
pub(crate) fn unsaid(scenario: &Scenario) -> Vec<String> {
    let unsaid = foreign(scenario).into_iter().filter(|foreign| !foreign.said);
    unsaid
        .map(|foreign| {
            format!(
                "the step at line {} refers to {}, which the scenario does not create; write `existing: true` for an existing object",
                foreign.at.line, foreign.object
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn case(id: &str, text: &str) -> Case {
        let text = format!("title: t\nrequirements: [R-1]\nmutants: [a/b]\n{text}");
        let scenario = parse::scenario("s.yaml", text.as_bytes()).unwrap_or_else(|error| panic!("{error:?}"));
        Case { id: id.into(), file: "s.yaml".into(), scenario, sabotage: None, variation: Vec::new() }
    }

    const PATCH: &str = "when:\n  - patch: { kind: ConfigMap, name: settings, namespace: NS, with: { data: { a: b } } }\nthen:\n  - object: { kind: ConfigMap, name: settings, absent: true }\n";

    #[test]
    fn an_object_in_a_namespace_of_the_case_or_made_by_it_is_its_own_and_any_other_is_somebody_elses() {
        let other = "given: { cluster: [ { namespace: { name: other } } ] }\n";
        let made = "given: { cluster: [ { manifests: { objects: [ { apiVersion: v1, kind: ConfigMap, metadata: { name: settings, namespace: default } } ] } } ] }\n";
        let table = [
            ("its own namespace", PATCH.replace(", namespace: NS", ""), false),
            ("its own namespace by name", PATCH.replace("NS", "\"{{namespace}}\""), false),
            (
                "a namespace that it names its own",
                format!("given: {{ namespace: shop }}\n{}", PATCH.replace("NS", "shop")),
                false,
            ),
            ("a namespace that it makes", format!("{other}{}", PATCH.replace("NS", "other")), false),
            ("an object that it makes", format!("{made}{}", PATCH.replace("NS", "default")), false),
            ("an object of somebody else", PATCH.replace("NS", "default"), true),
            ("one in no namespace", PATCH.replace(", namespace: NS", "").replace("ConfigMap", "ClusterRole"), true),
        ];
        for (what, text, expected) in table {
            let found = foreign(&case("a", &text).scenario);
            assert_eq!(!found.is_empty(), expected, "{what}: {found:?}");
        }
    }

    #[test]
    fn cases_that_name_the_same_take_turns_and_others_do_not() {
        let shop = "given: { namespace: shop }\n";
        let role = "given: { cluster: [ { manifests: { objects: [ { apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: { name: r } } ] } } ] }\n";
        let identity = "given: { azure: { identities: { app: { name: fixed, federated: [] } } } }\n";
        let free = "given: { cluster: [ { namespace: { name: \"{{namespace}}-other\" } }, { service-account: { name: reader } } ] }\n";
        let then = "when:\n  - apply: { objects: [ { apiVersion: v1, kind: ConfigMap, metadata: { name: own } } ] }\nthen:\n  - object: { kind: ConfigMap, name: settings, absent: true }\n";
        let cases: Vec<Case> = [
            ("a", shop),
            ("b", role),
            ("c", shop),
            ("d", role),
            ("e", shop),
            ("f", free),
            ("g", free),
            ("h", identity),
            ("i", identity),
        ]
        .map(|(id, text)| case(id, &format!("{text}{then}")))
        .into();
        let told: Vec<String> =
            turns(&cases).iter().map(|(id, (before, what))| format!("{id} after {before}: {what}")).collect();
        assert_eq!(
            told,
            [
                "c after a: Namespace shop",
                "d after b: ClusterRole r",
                "e after c: Namespace shop",
                "i after h: identity fixed"
            ]
        );
    }
}
