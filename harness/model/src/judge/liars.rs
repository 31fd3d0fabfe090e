//! Pods that say what did not happen, or keep quiet about what did. None may pass.

use serde_json::json;

use super::tests::{HOPS, difference, documents, expectation, facts, green};
use super::*;
use crate::evidence::{PrintedSecret, RunEvidence};

const READ: &str = HOPS[4];
const GRANTED: &str = HOPS[3];

/// A second container of the same pod that did everything itself, as an honest one would.
fn beside(mut pod: PodEvidence, name: &str) -> PodEvidence {
    let stored = pod.stored.as_mut().unwrap();
    let mut container = stored["spec"]["containers"][0].clone();
    container["name"] = name.into();
    stored["spec"]["containers"].as_array_mut().unwrap().push(container);
    pod.images.insert(name.into(), "quickstart/rust".into());
    let mut run = RunEvidence { container: name.into(), ..pod.runs[0].clone() };
    run.documents[2]["claims"]["uti"] = json!("uti-2");
    run.documents[2]["sha256"] = json!("a-2");
    pod.runs.push(run);
    for mut record in pod.exchanges.clone() {
        record["response"]["body"]["access_token"]["claims"]["uti"] = json!("uti-2");
        record["response"]["body"]["access_token"]["sha256"] = json!("a-2");
        record["principal"]["uti"] = json!("uti-2");
        pod.exchanges.push(record);
    }
    pod
}

/// The same pod, asked for another round, in which everything happened once more.
fn again(mut pod: PodEvidence) -> PodEvidence {
    pod.asked = 1;
    let stored = pod.stored.as_mut().unwrap();
    stored["spec"]["containers"][0]["env"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "name": "QUICKSTART_AGAIN_FILE", "value": "/again" }));
    let run = &mut pod.runs[0];
    run.documents[0]["again"] = json!("0");
    let mut second = run.documents.clone();
    second.iter_mut().for_each(|document| document["round"] = json!(2));
    second[0]["again"] = json!("1");
    second[2]["claims"]["uti"] = json!("uti-2");
    second[2]["sha256"] = json!("a-2");
    run.documents.extend(second);
    let printed = PrintedSecret { documents: 9, sha256: run.printed[0].sha256.clone() };
    run.printed.push(printed);
    for mut record in pod.exchanges.clone() {
        record["response"]["body"]["access_token"]["claims"]["uti"] = json!("uti-2");
        record["response"]["body"]["access_token"]["sha256"] = json!("a-2");
        record["principal"]["uti"] = json!("uti-2");
        pod.exchanges.push(record);
    }
    pod
}

fn met(yaml: &str, pod: &PodEvidence) {
    assert_eq!(judge(&expectation(yaml), pod, &facts()), Judgement::Met, "{yaml}");
}

#[test]
fn honest_pods_of_several_containers_and_rounds_pass() {
    for yaml in HOPS {
        met(yaml, &beside(green(), "side"));
        met(yaml, &again(green()));
    }
}

/// Each lie with the expectation that it must fail, and the message.
#[test]
fn no_lie_passes() {
    type Lie = (&'static str, &'static str, fn() -> PodEvidence);
    let lies: &[Lie] = &[
        (GRANTED, "recorded no such grant", || {
            let mut pod = green();
            pod.exchanges.clear();
            pod
        }),
        (GRANTED, "recorded no such grant", || {
            let mut pod = green();
            documents(&mut pod)[2]["sha256"] = json!("a-9");
            pod
        }),
        (GRANTED, "kubernetes.io pod uid", || {
            let mut pod = green();
            documents(&mut pod)[1]["claims"]["kubernetes.io"]["pod"]["uid"] = json!("u-9");
            pod
        }),
        // One that prints what the container beside it did.
        (GRANTED, "container app claimed before", || {
            let mut pod = beside(green(), "side");
            pod.runs[1].documents = pod.runs[0].documents.clone();
            pod.exchanges.truncate(2);
            pod
        }),
        (READ, "claimed already", || {
            let mut pod = beside(green(), "side");
            pod.runs[1].documents[3] = pod.runs[0].documents[3].clone();
            pod.exchanges.pop();
            pod
        }),
        // The right one in front, the wrong one beside it, in both orders.
        (GRANTED, "pod p, container side: refused with AADSTS700016", || {
            let mut pod = beside(green(), "side");
            pod.runs[1].documents[2] =
                json!({ "event": "exchange", "outcome": "refused", "code": "AADSTS700016", "status": 400 });
            pod
        }),
        (READ, "pod p, container app: it ended after printing `end` and no `secret-read`", || {
            let mut pod = beside(green(), "side");
            pod.runs[0].documents.remove(3);
            pod
        }),
        (READ, "pod p, container side: has not printed it", || {
            let mut pod = beside(green(), "side");
            pod.runs.pop();
            pod.exchanges.truncate(2);
            pod
        }),
        // An earlier round's, printed once more.
        (GRANTED, "claimed twice", || {
            let mut pod = again(green());
            documents(&mut pod)[7]["claims"]["uti"] = json!("uti-1");
            documents(&mut pod)[7]["sha256"] = json!("a-1");
            pod.exchanges.truncate(2);
            pod
        }),
        (READ, "claimed already", || {
            let mut pod = again(green());
            pod.exchanges.pop();
            pod
        }),
        (GRANTED, "not reported by the pod yet", || {
            let mut pod = again(green());
            documents(&mut pod).truncate(5);
            pod.exchanges.truncate(2);
            pod
        }),
        (GRANTED, "claims a cached access token that was never granted", || {
            let mut pod = green();
            documents(&mut pod)[2]["cached"] = json!(true);
            pod
        }),
        (READ, "recorded no such answer", || {
            let mut pod = green();
            pod.exchanges.truncate(1);
            pod
        }),
        (READ, "recorded no such answer", || {
            let mut pod = green();
            documents(&mut pod)[3]["version"] = json!("v0");
            pod
        }),
        (READ, "recorded no such answer", || {
            let mut pod = green();
            pod.exchanges[1]["response"]["body"]["value"] = json!("sha256:00");
            pod
        }),
        (READ, "recorded no such answer", || {
            let mut pod = green();
            pod.exchanges[1]["host"] = json!("kv2.vault.azure.net");
            pod
        }),
        // What happened and nobody tells of.
        (GRANTED, "that no container claims", || {
            let mut pod = green();
            let mut other = pod.exchanges[0].clone();
            other["response"]["body"]["access_token"]["claims"]["uti"] = json!("uti-3");
            pod.exchanges.push(other);
            pod
        }),
        (GRANTED, "refused with AADSTS700213) that no container claims", || {
            let mut pod = green();
            pod.exchanges
                .push(json!({ "plane": "entra", "status": 400, "response": { "body": { "error_codes": [700213] } } }));
            pod
        }),
        (READ, "a read of /secrets/other (answered 200) that no container claims", || {
            let mut pod = green();
            let mut other = pod.exchanges[1].clone();
            other["path"] = json!("/secrets/other");
            pod.exchanges.push(other);
            pod
        }),
        (
            "secret-read: { by: p, vault: kv1, secret: testsecret, outcome: not-attempted }",
            "the vault answered 403",
            || {
                let mut pod = green();
                documents(&mut pod).remove(3);
                pod.exchanges[1]["status"] = json!(403);
                pod
            },
        ),
        ("exchange: { by: p, outcome: { refused: AADSTS700213 } }", "recorded no such refusal", || {
            let mut pod = green();
            documents(&mut pod).truncate(2);
            documents(&mut pod)
                .push(json!({ "event": "exchange", "outcome": "refused", "code": "AADSTS700213", "status": 401 }));
            documents(&mut pod).push(json!({ "event": "end" }));
            pod.exchanges.clear();
            pod
        }),
        (
            "secret-read: { by: p, vault: kv1, secret: testsecret, outcome: { unauthorized: Invalid issuer } }",
            "recorded no such answer",
            || {
                let mut pod = green();
                documents(&mut pod)[3] = json!({ "event": "secret-read", "outcome": "unauthorized", "status": 401, "message": "Invalid issuer" });
                pod.exchanges.truncate(1);
                pod
            },
        ),
        (
            "secret-read: { by: p, vault: kv1, secret: testsecret, outcome: { forbidden: ForbiddenByFirewall } }",
            "recorded no such answer",
            || {
                let mut pod = green();
                documents(&mut pod)[3] = json!({ "event": "secret-read", "outcome": "forbidden", "status": 403, "inner": "ForbiddenByFirewall", "message": "no" });
                pod.exchanges.truncate(1);
                pod
            },
        ),
        // A log that breaks the contract proves nothing, of whatever run.
        (READ, "pod p, container app: its log, line 7", || {
            let mut pod = green();
            pod.runs[0].faults.push("line 7: `secret-read` after `end`".into());
            pod
        }),
        (HOPS[2], "its log, line 2", || {
            let mut pod = green();
            pod.runs[0].faults.push("line 2: an invalid document".into());
            pod
        }),
        // A restart in which it says otherwise.
        (GRANTED, "pod p, container app, restart 1: refused with", || {
            let mut pod = green();
            let mut run = RunEvidence { restart: 1, ..pod.runs[0].clone() };
            run.documents[2] =
                json!({ "event": "exchange", "outcome": "refused", "code": "AADSTS700213", "status": 401 });
            pod.runs.push(run);
            pod
        }),
        // A sample's line without a read.
        (READ, "it printed a secret, but the vault recorded no such read", || {
            let mut pod = green();
            documents(&mut pod).clear();
            pod.runs[0].printed[0].documents = 0;
            pod.exchanges.truncate(1);
            pod
        }),
    ];
    for (index, (yaml, told, lie)) in lies.iter().enumerate() {
        let difference = difference(yaml, &lie());
        let text = format!("{} {}", difference.expected, difference.observed);
        assert!(text.contains(told), "lie {index}: {told}: {difference:?}");
    }
}

#[test]
fn a_container_that_is_named_is_judged_alone() {
    let mut pod = beside(green(), "side");
    pod.runs[1].documents[2] =
        json!({ "event": "exchange", "outcome": "refused", "code": "AADSTS700016", "status": 400 });
    pod.runs[1].documents.truncate(3);
    pod.exchanges[2] = json!({ "plane": "entra", "status": 400, "request": { "form": { "client_assertion": { "sha256": "h-1" } } }, "response": { "body": { "error_codes": [700016] } } });
    pod.exchanges.truncate(3);
    met("exchange: { by: p, as: app1, container: app, outcome: granted }", &pod);
    met("secret-read: { by: p, vault: kv1, container: app, secret: testsecret, outcome: allowed }", &pod);
    met("exchange: { by: p, container: side, outcome: { refused: AADSTS700016 } }", &pod);
    assert!(difference("exchange: { by: p, container: none, outcome: granted }", &pod).observed.contains("app, side"));
}

#[test]
fn every_pod_of_a_workload_must_fit_and_as_many_as_it_is_to_have() {
    let replica = |name: &str| {
        let mut pod = green();
        pod.stored.as_mut().unwrap()["metadata"]["name"] = name.into();
        pod.sent = json!({ "spec": pod.sent["spec"] });
        documents(&mut pod)[1]["claims"]["kubernetes.io"]["pod"]["name"] = name.into();
        pod
    };
    let mut made = PodEvidence {
        workload: Some(("Deployment".into(), "web".into())),
        replicas: vec![replica("web-1"), replica("web-2")],
        wanted: 2,
        ..PodEvidence::default()
    };
    met(GRANTED, &made);
    made.wanted = 3;
    made.unmade = vec!["ReplicaSet web: FailedCreate: no".into()];
    let told = difference(GRANTED, &made).observed;
    assert!(told.contains("2 were created") && told.contains("FailedCreate"), "{told}");
    made.wanted = 2;
    documents(&mut made.replicas[1])[2]["claims"]["oid"] = json!("o-9");
    assert!(difference(GRANTED, &made).observed.starts_with("pod web-2, container app:"));
}

/// What runs an image that nobody knows may still speak; it is waited for as long as there is time.
#[test]
fn a_container_of_an_unknown_image_is_waited_for_and_then_counts_as_silent() {
    let mut pod = beside(green(), "side");
    pod.runs.pop();
    pod.exchanges.truncate(2);
    pod.images.insert("side".into(), "example/nginx".into());
    assert!(matches!(judge(&expectation(GRANTED), &pod, &facts()), Judgement::NotYet(_)), "it has not begun");
    pod.latest = Some(json!({ "status": { "containerStatuses": [{ "name": "side", "state": { "running": {} } }] } }));
    assert!(matches!(judge(&expectation(GRANTED), &pod, &facts()), Judgement::SoFar(_)));
    pod.images.insert("side".into(), "quickstart/pause".into());
    met(GRANTED, &pod);
}

#[test]
fn an_answer_that_was_lost_on_the_way_or_is_given_again_needs_no_owner() {
    let mut pod = green();
    let mut lost = pod.exchanges[0].clone();
    lost["response"]["body"]["access_token"]["claims"]["uti"] = json!("uti-0");
    lost["cut"] = json!(true);
    pod.exchanges.insert(0, lost);
    pod.exchanges.insert(0, json!({ "plane": "entra", "status": 503 }));
    met(READ, &pod);
}

#[test]
fn without_a_record_of_requests_the_pods_word_is_all_there_is() {
    let mut pod = green();
    pod.exchanges.clear();
    let facts = Facts { request_journal: false, ..facts() };
    assert_eq!(judge(&expectation(READ), &pod, &facts), Judgement::Met);
}
