use serde_json::json;

use super::*;
use crate::evidence::{Principal, PrintedSecret, RefusalEvidence, RunEvidence};

pub(super) fn expectation(yaml: &str) -> Expectation {
    serde_saphyr::from_str(yaml).unwrap()
}

pub(super) fn facts() -> Facts {
    Facts {
        issuer: "https://issuer/a/".into(),
        tenant_id: "t-1".into(),
        authority: "https://login.microsoftonline.com/".into(),
        profile: Some("1.6".into()),
        principals: [("app1".to_owned(), Principal { client_id: "c-1".into(), principal_id: "o-1".into() })].into(),
        vaults: [("kv1".to_owned(), "https://kv1.vault.azure.net/".to_owned())].into(),
        secret_sha256: [(("kv1".to_owned(), "testsecret".to_owned()), crate::secret::sha256_hex(b"Hello!"))].into(),
        pods_run: true,
        request_journal: true,
        ..Facts::default()
    }
}

/// The documents of the one container.
pub(super) fn documents(evidence: &mut PodEvidence) -> &mut Vec<Value> {
    &mut evidence.runs[0].documents
}

/// The volume's name that 1.6.0 derives from the pod's name `p`.
const VOLUME: &str = "azure-workload-identity-reserved-148de9c5a7a44d19e56cd9ae1a554b";

/// Everything that a quick-start pod shows when every hop works.
pub(super) fn green() -> PodEvidence {
    let sent = json!({ "metadata": { "name": "p", "namespace": "ns" }, "spec": { "containers": [{ "name": "app" }] } });
    let stored = json!({
        "metadata": { "name": "p", "namespace": "ns", "uid": "u-1" },
        "spec": {
            "serviceAccountName": "sa",
            "volumes": [{ "name": VOLUME, "projected": { "sources": [{ "serviceAccountToken": { "path": "token/azure-identity-token", "audience": "api://AzureADTokenExchange", "expirationSeconds": 3600 } }] } }],
            "containers": [{ "name": "app", "volumeMounts": [{ "name": VOLUME, "mountPath": "/var/run/secrets/azure/wi", "readOnly": true }], "env": [
                { "name": "AZURE_CLIENT_ID", "value": "c-1" }, { "name": "AZURE_TENANT_ID", "value": "t-1" },
                { "name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/var/run/secrets/azure/wi/token/azure-identity-token" },
                { "name": "AZURE_AUTHORITY_HOST", "value": "https://login.microsoftonline.com/" } ] }]
        }
    });
    let claims = json!({ "iss": "https://issuer/a/", "sub": "system:serviceaccount:ns:sa", "aud": ["api://AzureADTokenExchange"], "iat": 100, "nbf": 100, "exp": 3700,
        "kubernetes.io": { "namespace": "ns", "pod": { "name": "p", "uid": "u-1" }, "serviceaccount": { "name": "sa" } } });
    let access = json!({ "tid": "t-1", "appid": "c-1", "oid": "o-1", "uti": "uti-1" });
    let value = crate::secret::sha256_hex(b"Hello!");
    let said = |event: &str, fields: Value| {
        let mut document = json!({ "quickstart": 1, "round": 1, "event": event });
        document.as_object_mut().unwrap().append(&mut fields.as_object().unwrap().clone());
        document
    };
    let recorded = format!("sha256:{value}");
    PodEvidence {
        sent,
        images: [("app".to_owned(), "quickstart/rust".to_owned())].into(),
        stored: Some(stored),
        runs: vec![RunEvidence {
            container: "app".into(),
            documents: vec![
                said("given", json!({})),
                said("token", json!({ "header": { "alg": "RS256", "kid": "k" }, "claims": claims, "sha256": "h-1" })),
                said("exchange", json!({ "outcome": "granted", "claims": access, "sha256": "a-1" })),
                said(
                    "secret-read",
                    json!({ "outcome": "allowed", "vault": "https://kv1.vault.azure.net", "secret": "testsecret", "version": "v1", "value-sha256": value }),
                ),
                said("end", json!({ "outcome": "read" })),
            ],
            printed: vec![PrintedSecret { documents: 4, sha256: value.clone() }],
            log: "Your secret is (taken out)\n".into(),
            ..RunEvidence::default()
        }],
        exchanges: vec![
            json!({ "plane": "entra", "status": 200, "request": { "form": { "client_assertion": { "sha256": "h-1" } } }, "response": { "body": { "access_token": { "claims": access, "sha256": "a-1" } } } }),
            json!({ "plane": "vault", "method": "GET", "host": "kv1.vault.azure.net", "status": 200, "path": "/secrets/testsecret/", "principal": { "uti": "uti-1" },
                "response": { "body": { "id": "https://kv1.vault.azure.net/secrets/testsecret/v1", "value": recorded } } }),
        ],
        ..PodEvidence::default()
    }
}

pub(super) const HOPS: [&str; 5] = [
    "admission: { of: p, outcome: mutated }",
    "pod: { name: p, env: { AZURE_CLIENT_ID: c-1 }, token-volume: { audience: 'api://AzureADTokenExchange', expiration: 3600 } }",
    "token: { of: p, subject: 'system:serviceaccount:ns:sa', lifetime: 3600 }",
    "exchange: { by: p, as: app1, outcome: granted }",
    "secret-read: { by: p, vault: kv1, secret: testsecret, outcome: allowed }",
];

pub(super) fn difference(yaml: &str, evidence: &PodEvidence) -> Difference {
    match judge(&expectation(yaml), evidence, &facts()) {
        Judgement::Met | Judgement::SoFar(_) => panic!("{yaml} is met"),
        Judgement::NotYet(difference) | Judgement::Broken(difference) => difference,
    }
}

#[test]
fn a_pod_that_shows_every_hop_meets_every_expectation() {
    for yaml in HOPS {
        assert_eq!(judge(&expectation(yaml), &green(), &facts()), Judgement::Met, "{yaml}");
    }
}

/// Each change breaks one fact; the expectation beside it must not hold any more.
#[test]
fn every_fact_that_a_green_verdict_rests_on_turns_it_red_when_it_is_wrong() {
    type Change = fn(&mut PodEvidence);
    let changes: &[(usize, Hop, Change)] = &[
        (0, Hop::Admission, |e| e.stored.as_mut().unwrap()["spec"]["volumes"] = json!([])),
        (0, Hop::Admission, |e| {
            e.stored.as_mut().unwrap()["spec"]["containers"][0]["volumeMounts"][0]["readOnly"] = json!(false)
        }),
        (0, Hop::Admission, |e| e.stored.as_mut().unwrap()["spec"]["containers"][0]["env"][1]["value"] = json!("t-2")),
        (0, Hop::Admission, |e| {
            e.stored.as_mut().unwrap()["spec"]["containers"][0]["env"][3]["value"] =
                json!("https://login.microsoftonline.com")
        }),
        (0, Hop::Admission, |e| {
            e.stored.as_mut().unwrap()["spec"]["containers"][0]["env"][0] =
                json!({ "name": "AZURE_CLIENT_ID", "value": "" })
        }),
        (1, Hop::Admission, |e| e.stored.as_mut().unwrap()["spec"]["containers"][0]["env"][0]["value"] = json!("c-2")),
        (1, Hop::Admission, |e| {
            e.stored.as_mut().unwrap()["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"] =
                json!(7200)
        }),
        (2, Hop::Token, |e| documents(e)[1]["claims"]["iss"] = json!("https://issuer/a")),
        (2, Hop::Token, |e| documents(e)[1]["claims"]["sub"] = json!("system:serviceaccount:ns:other")),
        (2, Hop::Token, |e| documents(e)[1]["claims"]["aud"] = json!("api://AzureADTokenExchange")),
        (2, Hop::Token, |e| documents(e)[1]["claims"]["exp"] = json!(4000)),
        (2, Hop::Token, |e| documents(e)[1]["claims"]["kubernetes.io"]["pod"]["uid"] = json!("u-2")),
        (2, Hop::Token, |e| documents(e)[1]["header"]["alg"] = json!("ES256")),
        (3, Hop::Exchange, |e| documents(e)[2]["claims"]["oid"] = json!("o-2")),
        (3, Hop::Exchange, |e| {
            documents(e)[2] =
                json!({ "event": "exchange", "outcome": "refused", "code": "AADSTS700213", "status": 401 })
        }),
        (3, Hop::Exchange, |e| e.exchanges.clear()),
        (3, Hop::Exchange, |e| e.exchanges[0]["request"]["form"]["client_assertion"]["sha256"] = json!("h-2")),
        (3, Hop::Exchange, |e| e.exchanges[0]["response"]["body"]["access_token"]["claims"]["uti"] = json!("uti-2")),
        (4, Hop::Secret, |e| documents(e)[3]["value-sha256"] = json!("00")),
        (4, Hop::Secret, |e| documents(e)[3]["vault"] = json!("https://kv2.vault.azure.net")),
        (4, Hop::Secret, |e| e.runs[0].printed[0].sha256 = "00".into()),
        (4, Hop::Secret, |e| e.exchanges[1]["principal"]["uti"] = json!("uti-2")),
        (4, Hop::Secret, |e| e.exchanges[1]["status"] = json!(403)),
    ];
    for (index, (hop_index, hop, change)) in changes.iter().enumerate() {
        let mut evidence = green();
        change(&mut evidence);
        let difference = difference(HOPS[*hop_index], &evidence);
        assert_eq!(difference.hop, *hop, "change {index}: {difference:?}");
        assert!(!difference.expected.is_empty() && !difference.observed.is_empty(), "change {index}");
    }
}

#[test]
fn an_unmutated_pod_is_unchanged_and_a_mutated_one_is_not() {
    let unchanged = "admission: { of: p, outcome: unchanged }";
    let mut evidence = green();
    assert!(difference(unchanged, &evidence).observed.contains("got AZURE_CLIENT_ID"));
    evidence.stored = Some(evidence.sent.clone());
    assert_eq!(judge(&expectation(unchanged), &evidence, &facts()), Judgement::Met);
    assert!(difference(HOPS[0], &evidence).advice.unwrap().contains("label"));
}

#[test]
fn a_refusal_must_have_the_status_and_the_text() {
    let refused = "admission: { of: p, outcome: { refused: { status: 500, message: no endpoints available } } }";
    let mut evidence = PodEvidence::default();
    assert!(matches!(judge(&expectation(refused), &evidence, &facts()), Judgement::NotYet(_)));
    let message = "failed calling webhook: no endpoints available for service".to_owned();
    evidence.refused = Some(RefusalEvidence { status: 500, reason: "InternalError".into(), message });
    assert_eq!(judge(&expectation(refused), &evidence, &facts()), Judgement::Met);
    evidence.refused.as_mut().unwrap().status = 403;
    assert!(difference(refused, &evidence).observed.contains("403"));
    evidence.refused = None;
    evidence.stored = Some(json!({}));
    assert_eq!(difference(refused, &evidence).observed, "admitted");
}

#[test]
fn a_refused_exchange_needs_the_code_from_the_pod_and_from_the_provider() {
    let refused = "exchange: { by: p, outcome: { refused: AADSTS700213 } }";
    let mut evidence = green();
    assert!(difference(refused, &evidence).observed.starts_with("pod p, container app: granted, to client c-1"));
    documents(&mut evidence)[2] = json!({ "event": "exchange", "outcome": "refused", "status": 401, "code": "AADSTS700213", "message": "No matching" });
    evidence.exchanges = vec![
        json!({ "plane": "entra", "status": 401, "request": { "form": { "client_assertion": { "sha256": "h-1" } } }, "response": { "body": { "error_codes": [700213] } } }),
    ];
    assert_eq!(judge(&expectation(refused), &evidence, &facts()), Judgement::Met);
    evidence.exchanges[0]["response"]["body"]["error_codes"] = json!([700211]);
    assert!(difference(refused, &evidence).observed.contains("[700211]"));
}

#[test]
fn a_wrong_code_is_told_with_the_comparison_that_failed_and_what_to_do() {
    let mut evidence = green();
    documents(&mut evidence)[2] = json!({ "event": "exchange", "outcome": "refused", "status": 401, "code": "AADSTS700211", "message": "No matching" });
    evidence.exchanges = vec![json!({ "plane": "entra", "status": 401, "checks": [
        { "check": "tenant", "outcome": "ok" }, { "check": "issuer", "expected": "https://issuer/a", "found": "https://issuer/a/", "outcome": "failed" } ] })];
    let difference = difference(HOPS[3], &evidence);
    assert!(
        difference.observed.contains("issuer: registered https://issuer/a, presented https://issuer/a/"),
        "{difference:?}"
    );
    assert!(difference.advice.unwrap().contains("trailing slash"));
}

#[test]
fn a_pod_that_never_starts_is_named_as_such() {
    let mut evidence = green();
    evidence.runs.clear();
    evidence.exchanges.clear();
    evidence.latest = Some(
        json!({ "status": { "phase": "Pending", "containerStatuses": [{ "name": "app", "state": { "waiting": { "reason": "ErrImagePull", "message": "no such image" } } }] } }),
    );
    let difference = difference(HOPS[3], &evidence);
    assert_eq!(difference.hop, Hop::Pod);
    assert!(difference.observed.contains("app waiting ErrImagePull no such image"), "{difference:?}");
}

#[test]
fn forbidden_takes_both_names_of_the_inner_code_and_no_other() {
    let forbidden = "secret-read: { by: p, vault: kv1, secret: testsecret, outcome: { forbidden: AccessDenied } }";
    let mut evidence = green();
    evidence.exchanges[1]["status"] = json!(403);
    for (inner, met) in [("AccessDenied", true), ("ForbiddenByPolicy", true), ("ForbiddenByRbac", false)] {
        documents(&mut evidence)[3] = json!({ "event": "secret-read", "outcome": "forbidden", "status": 403, "code": "Forbidden", "inner": inner });
        let judgement = judge(&expectation(forbidden), &evidence, &facts());
        assert_eq!(judgement == Judgement::Met, met, "{inner}: {judgement:?}");
    }
}

#[test]
fn a_secret_is_not_attempted_only_when_pod_and_vault_agree() {
    let never = "secret-read: { by: p, vault: kv1, secret: testsecret, outcome: not-attempted }";
    let mut evidence = green();
    documents(&mut evidence).remove(3);
    assert!(difference(never, &evidence).observed.contains("the vault answered"));
    evidence.exchanges.remove(1);
    assert_eq!(judge(&expectation(never), &evidence, &facts()), Judgement::Met);
}
