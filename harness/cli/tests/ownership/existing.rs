//! Another user's objects that a scenario means: what they were is put back, also after `kill -9`, and nobody else's change is
//! lost.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gate::{Gate, Side};
use crate::held;
use crate::things::pattern;
use crate::world::World;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const MAP: &str = "/api/v1/namespaces/default/configmaps/settings";
const THEN: &str = "then:\n  - object: { kind: ConfigMap, name: nothing, absent: true }\n";

/// What a step does to another user's object, and the request by which it does.
const STEPS: [(&str, &str, &str); 3] = [
    (
        "patch",
        "  - patch: { kind: ConfigMap, name: settings, namespace: default, existing: true, with: { data: { a: ours, c: ours } } }\n",
        "PATCH",
    ),
    ("delete", "  - delete: { kind: ConfigMap, name: settings, namespace: default, existing: true }\n", "DELETE"),
    (
        "apply",
        "  - apply: { existing: true, objects: [ { apiVersion: v1, kind: ConfigMap, metadata: { name: settings, namespace: default }, data: { a: ours } } ] }\n",
        "PATCH",
    ),
];

async fn theirs(world: &World) {
    world.kube(Method::DELETE, MAP, None).await;
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings", "labels": { "team": "a" } },
        "data": { "a": "theirs", "b": "theirs" } });
    let made = world.kube(Method::POST, MAPS, Some(&map)).await;
    assert_eq!(made.0, StatusCode::CREATED, "{made:?}");
}

async fn data(world: &World) -> Value {
    let (status, found) = world.kube(Method::GET, MAP, None).await;
    if status == StatusCode::OK { found["data"].clone() } else { Value::Null }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_case_changes_of_somebody_elses_is_put_back_also_after_a_kill_and_their_changes_stay() {
    let Some(world) = World::up().await else { return };
    let was = json!({ "a": "theirs", "b": "theirs" });
    for (what, step, method) in STEPS {
        world.scenario(&format!("when:\n{step}{THEN}"));
        for (side, kills, changes) in [
            (Side::After, false, false),
            (Side::Before, true, false),
            (Side::After, true, false),
            (Side::After, false, true),
            (Side::After, true, true),
        ] {
            let row = format!("{what}, {side:?}, killed {kills}, changed {changes}");
            theirs(&world).await;
            let path = pattern(r"/namespaces/default/configmaps/settings(\?|$)");
            let mut heard = world.doors.arm(Gate {
                method,
                path,
                nth: 1,
                sides: if side == Side::Before { &[Side::Before] } else { &[Side::After] },
            });
            let mut run = world.run();
            let stands = held(&mut heard, &row).await;
            if side == Side::After {
                assert_ne!(data(&world).await, was, "{row}: the step did nothing");
            }
            let mut expected = was.clone();
            if changes && what == "delete" {
                // Somebody makes another one in its place.
                let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" }, "data": { "d": "later" } });
                assert_eq!(world.kube(Method::POST, MAPS, Some(&map)).await.0, StatusCode::CREATED);
                expected = json!({ "d": "later" });
            } else if changes {
                let later = json!({ "data": { "b": "later", "d": "later" } });
                assert_eq!(world.kube(Method::PATCH, MAP, Some(&later)).await.0, StatusCode::OK);
                expected = json!({ "a": "theirs", "b": "later", "d": "later" });
            }
            let told = if kills {
                run.kill().unwrap();
                run.wait().unwrap();
                drop(stands);
                world.doors.disarm();
                world.sweep()
            } else {
                drop(stands);
                tokio::task::spawn_blocking(move || run.wait_with_output().unwrap()).await.unwrap()
            };
            assert_eq!(data(&world).await, expected, "{row}: {told:?}");
            let clean = told.status.code() == Some(0);
            assert_eq!(clean, !(changes && what == "delete"), "{row}: {told:?}");
            world.doors.disarm();
            world.forget_state();
            world.clean().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_scenarios_word_or_the_targets_leave_a_case_is_not_applicable_and_nothing_is_touched() {
    let Some(world) = World::up().await else { return };
    theirs(&world).await;
    for (what, step, _) in STEPS {
        let word = step.replace("existing: true, ", "").replace(", existing: true", "");
        for (step, target, expected) in [
            (step, "forbids", "the target lacks existing-objects"),
            (&*word, "permits", "write `existing: true` for an existing object"),
        ] {
            if what == "apply" && target == "permits" {
                // Without the word, what is there is a conflict.
                continue;
            }
            world.permit(target == "permits");
            world.scenario(&format!("when:\n{step}{THEN}"));
            let run = world.run();
            let ran = tokio::task::spawn_blocking(move || run.wait_with_output().unwrap()).await.unwrap();
            let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
            assert!(ran.status.code() == Some(3) && out.contains("not-applicable"), "{what}, {target}: {out}{err}");
            let planned = world.plan();
            let planned = String::from_utf8_lossy(&planned.stdout).into_owned();
            assert!(planned.contains(expected), "{what}, {target}: {planned}");
            assert_eq!(data(&world).await, json!({ "a": "theirs", "b": "theirs" }), "{what}, {target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_says_what_is_there_already_and_the_run_is_blocked_by_it_and_leaves_it() {
    let Some(world) = World::up().await else { return };
    theirs(&world).await;
    world.scenario(&format!(
        "given: {{ cluster: [ {{ manifests: {{ objects: [ {{ apiVersion: v1, kind: ConfigMap, metadata: {{ name: settings, namespace: default }} }} ] }} }} ] }}\n{}",
        crate::things::THEN
    ));
    let planned = world.plan();
    let out = String::from_utf8_lossy(&planned.stdout).into_owned();
    assert!(
        out.contains("exists already  own/case  ConfigMap default/settings: the case would be blocked"),
        "{planned:?}"
    );
    let run = world.run();
    let ran = tokio::task::spawn_blocking(move || run.wait_with_output().unwrap()).await.unwrap();
    let out = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.code() == Some(1) && out.contains("already exists"), "{ran:?}");
    assert!(!out.contains("left behind"), "what belongs to another user is no leftover: {out}");
    assert_eq!(data(&world).await, json!({ "a": "theirs", "b": "theirs" }));
}
