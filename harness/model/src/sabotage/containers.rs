//! Mutants of single containers: a scenario whose expectation holds for one container because of another one must not pass.

use serde_json::{Value, json};

use crate::manifest::pod_spec;
use crate::parse;
use crate::scenario::expectation::{Asks, Subject};
use crate::scenario::{Scenario, Step};

/// The mutant of a container: it asks as somebody whom nobody knows.
pub const MISLEADS_CONTAINER: &str = "setup/misleads-container";

const CLIENT_ID: &str = "AZURE_CLIENT_ID";
/// A client id that nobody has.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// A pod that an expectation wants to see succeed, and the container that it speaks of, where it names one.
type Spoken = (String, Option<String>);

/// The pods of which a scenario expects that a token was granted or a secret read.
fn spoken_of(scenario: &Scenario) -> Vec<Spoken> {
    let succeeding = parse::expectations(scenario).filter(|expectation| expectation.value.asks() == Asks::Success);
    let named = succeeding.filter_map(|expectation| match expectation.value.subject() {
        Subject::Pod(name, _) => Some((name.to_owned(), expectation.value.container().map(str::to_owned))),
        Subject::Cluster => None,
    });
    named.collect()
}

/// Whether an expectation of success speaks of a pod with several containers: then each of them could be the one that it holds
/// for.
pub fn has_several_candidates(scenario: &Scenario) -> bool {
    let spoken = spoken_of(scenario);
    let applied = scenario.when.iter().filter_map(|step| match &step.value {
        Step::Apply(manifests) => Some(manifests),
        _ => None,
    });
    let mut objects = applied.flat_map(|manifests| {
        manifests.loaded.iter().map(|l| &l.object).chain(manifests.objects.iter().map(|o| &o.value))
    });
    objects.any(|object| {
        let count = |list: &str| {
            pod_spec(object)
                .map_or(0, |path| object.pointer(path).map_or(0, |spec| spec[list].as_array().map_or(0, Vec::len)))
        };
        let pod = parse::pods_name(object);
        spoken.iter().any(|(name, _)| pod.as_ref() == Some(name)) && count("containers") + count("initContainers") > 1
    })
}

/// Has the container that an expectation speaks of ask as nobody: the one that it names, or the pod's first.
pub(super) fn mislead(scenario: &mut Scenario) {
    let spoken = spoken_of(scenario);
    for step in &mut scenario.when {
        match &mut step.value {
            Step::CreatePod(pod) if spoken.iter().any(|(name, _)| *name == pod.name.value) => {
                pod.env.insert(CLIENT_ID.to_owned(), NOBODY.into());
            }
            Step::Apply(manifests) => {
                let written = manifests.objects.iter_mut().map(|object| &mut object.value);
                for object in manifests.loaded.iter_mut().map(|loaded| &mut loaded.object).chain(written) {
                    let Some(pod) = parse::pods_name(object) else { continue };
                    for (_, container) in spoken.iter().filter(|(name, _)| *name == pod) {
                        if let Some(spec) = pod_spec(object).and_then(|path| object.pointer_mut(path)) {
                            mislead_one(spec, container.as_deref());
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

/// Takes variables from every container that a step brings.
pub(super) fn without_variables(scenario: &mut Scenario, names: &[&str]) {
    let named = |name: &str| names.contains(&name);
    for step in &mut scenario.when {
        match &mut step.value {
            Step::CreatePod(pod) => pod.env.retain(|name, _| !named(name)),
            Step::Apply(manifests) => {
                let written = manifests.objects.iter_mut().map(|object| &mut object.value);
                for object in manifests.loaded.iter_mut().map(|loaded| &mut loaded.object).chain(written) {
                    let Some(spec) = pod_spec(object).and_then(|path| object.pointer_mut(path)) else { continue };
                    for list in ["initContainers", "containers"] {
                        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                            if let Some(env) = container.get_mut("env").and_then(Value::as_array_mut) {
                                env.retain(|entry| !entry["name"].as_str().is_some_and(named));
                            }
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

fn mislead_one(spec: &mut Value, wanted: Option<&str>) {
    for list in ["containers", "initContainers"] {
        let mut all = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        let found = all.find(|container| wanted.is_none_or(|wanted| container["name"] == wanted));
        let Some(container) = found else { continue };
        if !container["env"].is_array() {
            container["env"] = json!([]);
        }
        if let Some(env) = container["env"].as_array_mut() {
            env.retain(|entry| entry["name"] != CLIENT_ID);
            env.push(json!({ "name": CLIENT_ID, "value": NOBODY }));
        }
        return;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "title: t\ngiven:\n  azure:\n    identities: { a: {} }\nwhen:\n  - apply: { objects: [ { apiVersion: apps/v1, kind: Deployment, metadata: { name: web }, spec: { template: { spec: { initContainers: [ { name: first, image: i } ], containers: [ { name: web, image: i, env: [ { name: AZURE_CLIENT_ID, value: x } ] }, { name: side, image: i } ] } } } } ] }\nthen:\n  - exchange: { by: deployment/web, as: a, outcome: granted }\n";

    #[test]
    fn the_container_that_is_spoken_of_asks_as_nobody_and_no_other_does() {
        let mut scenario = parse::scenario("s.yaml", TWO.as_bytes()).unwrap_or_else(|faults| panic!("{faults:?}"));
        assert!(has_several_candidates(&scenario));
        super::super::apply(&mut scenario, MISLEADS_CONTAINER);
        let Step::Apply(manifests) = &scenario.when[0].value else { panic!("a step that applies") };
        let spec = &manifests.objects[0].value["spec"]["template"]["spec"];
        assert_eq!(spec["containers"][0]["env"], json!([{ "name": CLIENT_ID, "value": NOBODY }]));
        assert!(spec["containers"][1].get("env").is_none() && spec["initContainers"][0].get("env").is_none());
        let alone = TWO
            .replace(", { name: side, image: i }", "")
            .replace("initContainers: [ { name: first, image: i } ], ", "");
        assert!(!has_several_candidates(&parse::scenario("s.yaml", alone.as_bytes()).unwrap()));
    }
}
