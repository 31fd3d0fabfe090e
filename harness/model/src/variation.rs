//! Variations of a scenario: other names, other counts and orders of containers, another API server and other
//! settings of the webhook that decide nothing here. All of it follows from a seed.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::injection;
use crate::located::Text;
use crate::parse;
use crate::plan::Case;
use crate::scenario::{ClusterState, Scenario, Step};
use crate::texts::Texts;

/// Versions that an API server may state: the last before native sidecars, the first with them, and the target's own.
const VERSIONS: [Option<&str>; 3] = [Some("1.31"), Some("1.32"), None];
/// What a container that is put beside others is called.
const BYSTANDER: &str = "bystander";

/// What a seed makes of everything that a run shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// The version that the API server states; its own when `None`.
    pub kubernetes: Option<&'static str>,
    /// Settings of the webhook, none of which may show in what it makes of a pod that does not ask for it.
    pub webhook_settings: Vec<(&'static str, &'static str)>,
}

/// A sequence of numbers that follows from a seed: SplitMix64.
#[derive(Debug, Clone)]
pub struct Numbers(u64);

impl Numbers {
    /// The sequence of a seed for a purpose: no two purposes share one.
    pub fn of(seed: u64, purpose: &str) -> Self {
        let hash = crate::secret::sha256_hex(format!("{seed}\n{purpose}").as_bytes());
        Numbers(u64::from_str_radix(&hash[..16], 16).unwrap_or(seed))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a bound.
    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(1);
        usize::try_from(self.next() % bound).unwrap_or_default()
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }
}

/// What a seed makes of the API server and the webhook.
pub fn shared(seed: u64) -> Shared {
    let mut numbers = Numbers::of(seed, "shared");
    let kubernetes = numbers.pick(&VERSIONS).copied().flatten();
    let mut webhook_settings = Vec::new();
    let levels = ["", "info", "debug", "trace", "all"];
    webhook_settings.extend(numbers.pick(&levels).filter(|level| !level.is_empty()).map(|level| ("log-level", *level)));
    let clouds = ["AzurePublicCloud", "AzureCloud", "azurepubliccloud"];
    webhook_settings.extend(numbers.pick(&clouds).map(|cloud| ("AZURE_ENVIRONMENT", *cloud)));
    if numbers.below(2) == 0 {
        webhook_settings.push(("audience", injection::AUDIENCE));
    }
    Shared { kubernetes, webhook_settings }
}

/// Tells a case otherwise. Gives back what was changed, in words; nothing where the case speaks of what would change.
pub fn vary(case: &mut Case, seed: u64) -> Vec<String> {
    let mut numbers = Numbers::of(seed, &case.id);
    let mut told = rename(&mut case.scenario, &mut numbers);
    told.extend(add_bystanders(&mut case.scenario, &mut numbers));
    case.variation.clone_from(&told);
    told
}

/// Gives pods and accounts other names, wherever the scenario speaks of them.
fn rename(scenario: &mut Scenario, numbers: &mut Numbers) -> Vec<String> {
    // Names in manifest files, and what is computed from a name, are not ours to change.
    let files = parse::manifests(scenario).any(|manifests| !manifests.files.is_empty());
    if files {
        return Vec::new();
    }
    let mut told = Vec::new();
    for name in names(scenario) {
        let new = format!("{name}-{:x}", 0x100 + numbers.below(0xe00));
        let computed = injection::RESERVED_VOLUME;
        let mut mentions_it = false;
        let mut renamed = scenario.clone();
        let done = renamed.each_text(&mut |text: &mut Text| {
            // A name in other letters is written so on purpose: the scenario is about the difference.
            let in_any_case = text.value.to_lowercase().matches(&name.to_lowercase()).count();
            mentions_it |= text.value.contains(computed) || in_any_case != text.value.matches(&name).count();
            text.value = replaced(&text.value, &name, &new);
            Ok::<(), std::convert::Infallible>(())
        });
        let keys_mention_it = format!("{:?}", scenario.then).contains(computed);
        if done.is_ok() && !mentions_it && !keys_mention_it {
            *scenario = renamed;
            told.push(format!("{name} is renamed to {new}"));
        }
    }
    told
}

/// Names of pods and of accounts that the scenario makes, where no other thing could be meant.
fn names(scenario: &Scenario) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for state in &scenario.given.cluster {
        if let ClusterState::ServiceAccount(account) = &state.value {
            names.insert(account.name.value.clone());
        }
    }
    for step in &scenario.when {
        if let Step::CreatePod(pod) = &step.value {
            names.insert(pod.name.value.clone());
        }
        if let Step::Apply(manifests) = &step.value {
            let pods = manifests.objects.iter().map(|object| &object.value).filter(|object| object["kind"] == "Pod");
            names.extend(pods.filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned)));
        }
    }
    // `default` is the cluster's; what is also said elsewhere may mean something else there.
    let azure = &scenario.given.azure;
    let handles = azure.identities.keys().chain(azure.vaults.keys()).chain(azure.service_principals.keys());
    let taken: BTreeSet<&str> = handles.map(String::as_str).chain(["default", "app", "true"]).collect();
    names.retain(|name| !taken.contains(name.as_str()) && !name.contains("{{") && name.len() > 3);
    names
}

/// Puts a name in the place of another where that stands as a word of its own, outside of braces.
fn replaced(text: &str, name: &str, new: &str) -> String {
    let part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let mut result = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        let (before, after) = (&rest[..at], &rest[at + name.len()..]);
        let braced = result.matches("{{").count() + before.matches("{{").count()
            > result.matches("}}").count() + before.matches("}}").count();
        let alone = !before.chars().next_back().or(result.chars().next_back()).is_some_and(part)
            && !after.chars().next().is_some_and(part);
        result.push_str(before);
        result.push_str(if alone && !braced { new } else { name });
        rest = after;
    }
    result.push_str(rest);
    result
}

/// Puts a container beside those of each labelled pod, before or after them, and one among the skipped ones where all are
/// skipped.
fn add_bystanders(scenario: &mut Scenario, numbers: &mut Numbers) -> Vec<String> {
    if counts_containers(scenario) {
        return Vec::new();
    }
    let mut told = Vec::new();
    for step in &mut scenario.when {
        let Step::Apply(manifests) = &mut step.value else { continue };
        if manifests.refused.is_some() {
            continue;
        }
        for object in &mut manifests.objects {
            let kind = object.value["kind"].as_str().unwrap_or_default().to_owned();
            let path = match kind.as_str() {
                "Pod" => "",
                "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => "/spec/template",
                _ => continue,
            };
            let Some(pod) = object.value.pointer_mut(path) else { continue };
            let place = numbers.below(3);
            if let Some(where_) = add_bystander(pod, place) {
                let name = pod["metadata"]["name"].as_str().unwrap_or(&kind).to_owned();
                told.push(format!("{name} has an extra container {where_}"));
            }
        }
    }
    told
}

/// Whether a scenario speaks of containers by their number, or of the log of whichever is the first.
fn counts_containers(scenario: &Scenario) -> bool {
    let said = format!("{:?} {:?}", scenario.then, scenario.when);
    let numbered = ["ontainers[0", "ontainers[1", "ontainers[2", "ontainers[3"].iter().any(|word| said.contains(word));
    numbered || said.contains("Log(") || said.contains("Containers\": Array [Object {\"name\": String(\"azwi-proxy\")")
}

fn add_bystander(pod: &mut Value, place: usize) -> Option<&'static str> {
    if pod["metadata"]["labels"]["azure.workload.identity/use"] != "true" {
        return None;
    }
    let containers = pod["spec"]["containers"].as_array()?;
    let first = containers.first()?;
    if containers.iter().any(|container| container["name"] == BYSTANDER) {
        return None;
    }
    let mut bystander = json!({ "name": BYSTANDER, "image": "quickstart/pause" });
    if first["securityContext"].is_object() {
        bystander["securityContext"] = first["securityContext"].clone();
    }
    let skipped: BTreeSet<&str> = injection::skipped(pod).into_iter().collect();
    let all = containers.iter().all(|container| container["name"].as_str().is_some_and(|name| skipped.contains(name)));
    let list = all.then(|| pod["metadata"]["annotations"]["azure.workload.identity/skip-containers"].clone());
    let containers = pod["spec"]["containers"].as_array_mut()?;
    let (at, said) = match place {
        0 => (0, "before the others"),
        1 => (containers.len() / 2, "among the others"),
        _ => (containers.len(), "after the others"),
    };
    containers.insert(at, bystander);
    if let Some(list) = list.as_ref().and_then(Value::as_str) {
        pod["metadata"]["annotations"]["azure.workload.identity/skip-containers"] =
            format!("{list};{BYSTANDER}").into();
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(text: &str) -> Case {
        let scenario = parse::scenario("s.yaml", text.as_bytes()).unwrap();
        Case { id: "a/b".to_owned(), file: "s.yaml".to_owned(), scenario, sabotage: None, variation: Vec::new() }
    }

    const SCENARIO: &str = "title: t\nrequirements: [A]\nmutants: [s]\ngiven:\n  azure:\n    identities: { app1: { federated: [ { subject: 'system:serviceaccount:{{namespace}}:reader' } ] } }\n  cluster:\n    - service-account: { name: reader }\nwhen:\n  - create-pod: { name: quick-start, image: quickstart/rust, service-account: reader, env: { URL: '{{app1.client-id}}' } }\n  - apply: { objects: [ { apiVersion: v1, kind: Pod, metadata: { name: other, labels: { azure.workload.identity/use: 'true' }, annotations: { azure.workload.identity/skip-containers: app } }, spec: { serviceAccountName: reader, containers: [ { name: app, image: quickstart/pause } ] } } ] }\nthen:\n  - admission: { of: quick-start, outcome: unchanged }\n  - exchange: { by: other, outcome: granted }\n";

    #[test]
    fn a_seed_says_the_same_each_time_and_another_says_something_else() {
        let told = |seed: u64| {
            let mut case = case(SCENARIO);
            (vary(&mut case, seed), format!("{:?}", case.scenario))
        };
        assert_eq!(told(1), told(1));
        assert_ne!(told(1), told(2));
        assert_ne!(shared(1), shared(3));
        let versions: BTreeSet<_> = (0..20).map(|seed| shared(seed).kubernetes).collect();
        assert_eq!(versions.len(), VERSIONS.len());
    }

    #[test]
    fn a_name_is_changed_wherever_it_is_meant_and_nowhere_else() {
        let mut case = case(SCENARIO);
        let told = vary(&mut case, 7);
        assert!(told.iter().any(|change| change.starts_with("reader is renamed to reader-")), "{told:?}");
        let said = format!("{:?}", case.scenario);
        assert!(
            !said.contains("\"reader\"") && !said.contains(":reader\"") && !said.contains("\"quick-start\""),
            "{said}"
        );
        assert!(said.contains("quickstart/rust") && said.contains("{{app1.client-id}}"), "{said}");
        assert_eq!(
            replaced("a reader, a reader-x and {{reader.url}}", "reader", "r"),
            "a r, a reader-x and {{reader.url}}"
        );
    }

    #[test]
    fn a_pod_that_skips_all_its_containers_skips_the_new_one_too() {
        let mut case = case(SCENARIO);
        vary(&mut case, 7);
        let said = format!("{:?}", case.scenario.when);
        assert!(said.contains("app;bystander") && said.contains("\"bystander\""), "{said}");
    }
}
