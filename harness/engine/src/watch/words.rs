//! Every word that an expectation can be, with a world that does not fit it and one that does: each waits until its bound,
//! each that must go on to hold is looked at to its end, and none that was not waited for is broken.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wi_model::evidence::{ClusterEvidence, EventEvidence, Facts, PodEvidence, RunEvidence, WebhookEvidence};
use wi_model::judge;
use wi_model::scenario::Expectation;
use wi_model::verdict::Judgement;

use super::open;
use crate::settle::{Bounds, Settled, settled};

/// What is looked at.
#[derive(Clone)]
enum World {
    Pod(Box<PodEvidence>),
    Cluster(Box<ClusterEvidence>),
}

impl World {
    fn look(&self, expectation: &Expectation, time_is_given: bool) -> Judgement {
        match self {
            World::Pod(pod) => open(judge::judge(expectation, pod, &facts()), expectation, Some(pod), time_is_given),
            World::Cluster(seen) => {
                open(judge::judge_cluster(expectation, seen, &facts()), expectation, None, time_is_given)
            }
        }
    }
}

fn facts() -> Facts {
    Facts {
        issuer: "https://issuer".into(),
        tenant_id: "t".into(),
        authority: "https://login/".into(),
        ..Facts::default()
    }
}

/// Every word, with what it says beside its bounds.
const WORDS: [&str; 15] = [
    "admission: { of: p, outcome: unchanged",
    "pod: { name: p, fields: { metadata.name: p }",
    "token: { of: p, subject: s",
    "exchange: { by: p, outcome: granted",
    "metadata: { by: p, outcome: { refused: { status: 400, message: no } }",
    "secret-read: { by: p, vault: kv, secret: s, outcome: { missing: SecretNotFound }",
    "log: { of: p, line: ready",
    "event: { of: p, reason: FailedCreate, message: quota",
    "object: { kind: ConfigMap, name: c, fields: { data.a: b }",
    "issuer: { keys: 1",
    "token-review: { account: a, audience: b, authenticated: true",
    "no-credential: { in-kinds: [Secret]",
    "access: { account: a, verb: get, resource: pods, allowed: true",
    "challenge: { vault: kv",
    "webhook: { well: true",
];

/// A pod that runs, with what its one container has said.
fn pod(event: &str, fields: &Value) -> World {
    let mut document = json!({ "quickstart": 1, "round": 1, "event": event });
    document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let stored = json!({ "metadata": { "name": "p" }, "spec": { "containers": [{ "name": "app" }] } });
    World::Pod(Box::new(PodEvidence {
        sent: stored.clone(),
        stored: Some(stored.clone()),
        latest: Some(json!({ "spec": stored["spec"], "status": { "phase": "Running" } })),
        runs: vec![RunEvidence {
            container: "app".into(),
            documents: vec![document],
            log: format!("{fields}\n"),
            ..RunEvidence::default()
        }],
        ..PodEvidence::default()
    }))
}

fn cluster(seen: ClusterEvidence) -> World {
    World::Cluster(Box::new(seen))
}

/// A world that gives a definite answer, but not the wanted one, and a world that fits. A new word does not compile without
/// its worlds.
fn worlds(expectation: &Expectation) -> (World, World) {
    let none = || cluster(ClusterEvidence::default());
    let not_created = || World::Pod(Box::default());
    match expectation {
        // What was admitted stays as it is, so that what is waited for is the pod.
        Expectation::Admission(_) | Expectation::Pod(_) => (not_created(), pod("given", &json!({}))),
        Expectation::Token(_) => {
            let claims = |subject: &str| {
                json!({ "iss": "https://issuer", "sub": subject, "aud": ["api://AzureADTokenExchange"], "iat": 1, "exp": 2,
                    "kubernetes.io": { "namespace": "absent", "pod": { "name": "p" }, "serviceaccount": { "name": "default" } } })
            };
            let token = |subject: &str| json!({ "header": { "alg": "RS256", "kid": "k" }, "claims": claims(subject) });
            let fits = match pod("token", &token("s")) {
                World::Pod(mut pod) => {
                    pod.stored.as_mut().unwrap()["metadata"]["namespace"] = "absent".into();
                    World::Pod(pod)
                }
                other @ World::Cluster(_) => other,
            };
            (pod("token", &token("other")), fits)
        }
        Expectation::Exchange(_) => {
            let refused = json!({ "outcome": "refused", "code": "AADSTS700213" });
            (
                pod("exchange", &refused),
                pod("exchange", &json!({ "outcome": "granted", "cached": true, "claims": { "tid": "t" } })),
            )
        }
        Expectation::Metadata(_) => {
            let refused = |status: u16| json!({ "status": status, "message": "no" });
            (pod("metadata", &refused(500)), pod("metadata", &refused(400)))
        }
        Expectation::SecretRead(_) => {
            let said =
                |outcome: &str, status: u16| json!({ "outcome": outcome, "status": status, "code": "SecretNotFound" });
            (pod("secret-read", &said("forbidden", 403)), pod("secret-read", &said("missing", 404)))
        }
        // The round is over, and the program goes on all the same.
        Expectation::Log(_) => (pod("end", &json!({ "it": "starts" })), pod("end", &json!({ "it": "is ready" }))),
        Expectation::Event(_) => {
            let event = |message: &str| EventEvidence {
                kind: "Warning".into(),
                reason: "FailedCreate".into(),
                message: message.into(),
            };
            let seen =
                |message: &str| cluster(ClusterEvidence { events: vec![event(message)], ..ClusterEvidence::default() });
            (seen("other"), seen("exceeded quota"))
        }
        Expectation::Object(_) => {
            let seen = |value: &str| {
                cluster(ClusterEvidence {
                    object: Some(json!({ "data": { "a": value } })),
                    ..ClusterEvidence::default()
                })
            };
            (seen("c"), seen("b"))
        }
        Expectation::Issuer(_) => {
            let key = json!({ "kty": "RSA", "alg": "RS256", "use": "sig", "kid": KEY_ID, "n": URL_SAFE_NO_PAD.encode([0x80; 256]), "e": "AQAB" });
            let seen = |issuer: &str| {
                cluster(ClusterEvidence {
                    discovery: Some(Ok(
                        json!({ "issuer": issuer, "jwks_uri": "https://keys", "id_token_signing_alg_values_supported": ["RS256"] }),
                    )),
                    keys: Some(Ok(json!({ "keys": [key] }))),
                    issued: Some((json!({ "kid": KEY_ID }), json!({ "iss": "https://issuer" }))),
                    ..ClusterEvidence::default()
                })
            };
            (seen("https://other"), seen("https://issuer"))
        }
        Expectation::TokenReview(_) => {
            let seen = |taken: bool| {
                cluster(ClusterEvidence {
                    review: Some(json!({ "authenticated": taken })),
                    ..ClusterEvidence::default()
                })
            };
            (seen(false), seen(true))
        }
        Expectation::NoCredential(_) => {
            let seen = |credentials: Vec<String>| {
                cluster(ClusterEvidence { credentials, objects: 1, ..ClusterEvidence::default() })
            };
            (seen(vec!["Secret s: .data.a".into()]), seen(Vec::new()))
        }
        Expectation::Access(_) => {
            let seen = |may: bool| {
                cluster(ClusterEvidence { access: Some((may, String::new())), ..ClusterEvidence::default() })
            };
            (seen(false), seen(true))
        }
        Expectation::Challenge(_) => {
            let seen = |status: u16| {
                let challenge = "Bearer authorization=\"https://login/t\", resource=\"https://vault\"".to_owned();
                cluster(ClusterEvidence { challenge: Some((status, challenge)), ..ClusterEvidence::default() })
            };
            (seen(403), seen(401))
        }
        Expectation::Webhook(_) => {
            let ok = || Ok((200, String::new()));
            let pod =
                WebhookEvidence { pod: "w".into(), health: ok(), readiness: ok(), reviews: Ok(0), uncounted: None };
            (none(), cluster(ClusterEvidence { webhook: vec![pod], ..ClusterEvidence::default() }))
        }
    }
}

/// The id that Kubernetes gives the key of these worlds.
const KEY_ID: &str = "aEfhwwvKRCjYr_CrmgeOPfTdfQ8mHkRV3krlLRqDROc";

fn expectation(word: &str, bounds: &str) -> Expectation {
    serde_saphyr::from_str(&format!("{word}{bounds} }}")).unwrap_or_else(|error| panic!("{word}: {error}"))
}

/// Looks at worlds that follow each other: each from a second on.
async fn settle(expectation: &Expectation, bounds: Bounds, worlds: &[(u64, &World)]) -> Settled {
    let began = Instant::now();
    let looks = AtomicU32::new(0);
    let look = || async {
        looks.fetch_add(1, Ordering::SeqCst);
        let now = began.elapsed().as_secs();
        let (_, world) = worlds.iter().rfind(|(since, _)| *since <= now).unwrap();
        world.look(expectation, expectation.within().is_some() || bounds.within.is_zero())
    };
    settled(bounds, &CancellationToken::new(), look).await.unwrap()
}

fn seconds(within: u64, throughout: u64) -> Bounds {
    Bounds { within: Duration::from_secs(within), throughout: Duration::from_secs(throughout) }
}

#[test]
fn the_table_has_every_word() {
    let schema = wi_model::schema::scenario();
    let words = schema["$defs"]["Expectation"]["oneOf"].as_array().unwrap();
    let mut known: Vec<&str> =
        words.iter().flat_map(|word| word["properties"].as_object().unwrap().keys()).map(String::as_str).collect();
    let mut here: Vec<&str> = WORDS.iter().map(|word| word.split(':').next().unwrap()).collect();
    known.sort_unstable();
    here.sort_unstable();
    assert_eq!(here, known);
}

#[tokio::test(start_paused = true)]
async fn every_word_is_looked_at_again_until_its_bound() {
    for word in WORDS {
        let expectation = expectation(word, ", within: 5s");
        let (unfit, fits) = worlds(&expectation);
        let came = settle(&expectation, seconds(5, 0), &[(0, &unfit), (3, &fits)]).await;
        assert!(
            came.difference.is_none() && came.looks > 4 && came.waited >= Duration::from_secs(3),
            "{word}: {came:?}"
        );
        let never = settle(&expectation, seconds(5, 0), &[(0, &unfit)]).await;
        assert!(never.difference.is_some() && never.waited >= Duration::from_secs(5), "{word}: {never:?}");
        let late = settle(&expectation, seconds(5, 0), &[(0, &unfit), (7, &fits)]).await;
        assert!(late.difference.is_some(), "{word}: {late:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_word_that_must_go_on_to_hold_is_looked_at_to_its_end() {
    for word in WORDS {
        let expectation = expectation(word, ", within: 2s, throughout: 4s");
        let (unfit, fits) = worlds(&expectation);
        let held = settle(&expectation, seconds(2, 4), &[(0, &unfit), (1, &fits)]).await;
        assert!(held.difference.is_none() && held.waited >= Duration::from_secs(5), "{word}: {held:?}");
        let broke = settle(&expectation, seconds(2, 4), &[(0, &fits), (3, &unfit)]).await;
        assert!(broke.difference.is_some_and(|told| told.observed.contains("it held for")), "{word}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_word_that_was_not_waited_for_is_broken() {
    for word in WORDS {
        let expectation = expectation(word, "");
        let (unfit, _) = worlds(&expectation);
        let once = settle(&expectation, Bounds::default(), &[(0, &unfit)]).await;
        assert!(once.looks == 1 && once.open, "{word}: {once:?}");
    }
}
