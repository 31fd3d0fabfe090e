//! What a pod was answered at the address of the instance metadata service: in the shape of that service's token path, and,
//! where the identity provider keeps a record, of a grant that it made for this pod's token.

use serde_json::Value;

use super::voice::{self, Voice};
use super::{Unmet, Verdict, advice, broken, chain, corroboration, document, exchange, recorded, same, text, token};
use crate::evidence::{Facts, PodEvidence, Principal};
use crate::scenario::{MetadataExpectation, MetadataOutcome, Refusal};
use crate::verdict::{Difference, Hop};

/// What is asked for where the scenario does not say.
const RESOURCE: &str = "https://vault.azure.net";
/// What `expires_in` is less than the seconds that the identity provider gave.
const MARGIN: i64 = 10;
/// How many seconds may go by between an answer and the count of what is left.
const SLACK: i64 = 30;
/// How long before its grant a token may have begun, for clocks that are behind.
const BACKDATED: i64 = 300;

pub(super) fn judge(expectation: &MetadataExpectation, evidence: &PodEvidence, facts: &Facts) -> Verdict {
    let container = expectation.container.as_ref();
    let principal = expectation.identity.as_ref().and_then(|handle| facts.principals.get(&handle.value));
    let expected = match (&expectation.outcome, principal) {
        (MetadataOutcome::Refused(refusal), _) => {
            format!("refused with {} and `{}`", refusal.status, refusal.message.value)
        }
        (MetadataOutcome::Granted, Some(principal)) => {
            format!("a token of client {} (object {})", principal.client_id, principal.principal_id)
        }
        (MetadataOutcome::Granted, None) => "a token".to_owned(),
        (MetadataOutcome::Unanswered, _) => "nobody answers".to_owned(),
    };
    voice::each(evidence, container, &expected, None, |voice| match &expectation.outcome {
        MetadataOutcome::Granted => match granted(expectation, voice, principal, facts, &expected) {
            Err(Unmet::Broken(told)) => Err(Unmet::Broken(chain::first_broken_by_proxy(voice, facts, told))),
            verdict => verdict,
        },
        MetadataOutcome::Refused(refusal) => refused(refusal, voice, &expected),
        MetadataOutcome::Unanswered => unanswered(voice, &expected),
    })?;
    if facts.request_journal { corroboration::agrees(evidence, container, Hop::Exchange) } else { Ok(()) }
}

/// The fields and their types are those that clients of the service read.
///
/// Source: `pkg/proxy/proxy.go` of the upstream release, v1.6.0.
fn granted(
    expectation: &MetadataExpectation,
    voice: &Voice<'_>,
    principal: Option<&Principal>,
    facts: &Facts,
    expected: &str,
) -> Verdict {
    let said = answered(voice, expected)?;
    let body = &said["body"];
    if said["status"] != 200 || !body.is_object() {
        return Err(Unmet::Broken(unexpected(said, expected.to_owned())));
    }
    let access = &body["access_token"];
    if access["sha256"].as_str().is_none_or(str::is_empty) {
        return Err(broken(Hop::Exchange, "access_token as text", access.to_string()));
    }
    let resource = expectation.resource.as_ref().map_or(RESOURCE, |resource| resource.value.as_str());
    let wanted = [
        ("refresh_token", Value::from("")),
        ("not_before", Value::from(0)),
        ("resource", Value::from(resource)),
        ("token_type", Value::from("Bearer")),
    ];
    for (name, wanted) in wanted {
        same(Hop::Exchange, name, &wanted.to_string(), &body[name].to_string())?;
    }
    let claims = &access["claims"];
    times(body, claims)?;
    let tenant = exchange::tenant(expectation.tenant.as_ref(), voice.pod, facts);
    exchange::whose(claims, principal, &tenant, facts)?;
    if facts.request_journal {
        token::of_pod(voice, expected)?;
        let of_token =
            |exchange: &&Value| exchange["response"]["body"]["access_token"]["claims"]["uti"] == claims["uti"];
        let given =
            recorded(voice.pod, "entra").find(of_token).map(|exchange| &exchange["response"]["body"]["expires_in"]);
        let (given, left) = (given.and_then(Value::as_i64), body["expires_in"].as_i64());
        if let (Some(given), Some(left)) = (given, left)
            && !(given - MARGIN - SLACK..=given - MARGIN).contains(&left)
        {
            let expected = format!("expires_in = {} or slightly less; found {given}", given - MARGIN);
            return Err(broken(Hop::Exchange, expected, left.to_string()));
        }
    }
    Ok(())
}

/// When the token ends and how long it has left, as the token itself says.
fn times(body: &Value, claims: &Value) -> Verdict {
    let (begins, ends) = (claims["nbf"].as_i64(), claims["exp"].as_i64());
    let (Some(begins), Some(ends)) = (begins, ends) else {
        let observed = format!("nbf {}, exp {}", claims["nbf"], claims["exp"]);
        return Err(broken(Hop::Exchange, "an access token with nbf and exp", observed));
    };
    let on = body["expires_on"].as_str().and_then(|text| text.parse::<i64>().ok());
    if on.is_none_or(|on| (on - ends).abs() > SLACK) {
        let expected = format!("expires_on, as text, the token's exp {ends} plus or minus {SLACK} s");
        return Err(broken(Hop::Exchange, expected, body["expires_on"].to_string()));
    }
    let most = ends - begins - MARGIN;
    let bounds = most - BACKDATED - SLACK..=most;
    if body["expires_in"].as_i64().is_none_or(|left| !bounds.contains(&left)) {
        let expected = format!("expires_in, a number from {} to {most}", bounds.start());
        return Err(broken(Hop::Exchange, expected, body["expires_in"].to_string()));
    }
    Ok(())
}

fn refused(refusal: &Refusal, voice: &Voice<'_>, expected: &str) -> Verdict {
    let said = answered(voice, expected)?;
    let message = said["message"].as_str().unwrap_or_default();
    if said["status"] != refusal.status || !message.contains(&refusal.message.value) {
        return Err(Unmet::Broken(unexpected(said, expected.to_owned())));
    }
    Ok(())
}

fn unanswered(voice: &Voice<'_>, expected: &str) -> Verdict {
    let said = document(voice, "metadata", Hop::Exchange, expected)?;
    if said["outcome"] == "failed" { Ok(()) } else { Err(Unmet::Broken(unexpected(said, expected.to_owned()))) }
}

/// What the pod was answered, or that nobody did.
fn answered<'a>(voice: &Voice<'a>, expected: &str) -> Result<&'a Value, Unmet> {
    let said = document(voice, "metadata", Hop::Exchange, expected)?;
    if said["outcome"] == "failed" {
        let observed = format!("no answer from {}: {}", text(&said["url"]), text(&said["message"]));
        return Err(broken(Hop::Pod, expected, format!("{observed}; {}", voice.pod.condition())));
    }
    Ok(said)
}

fn unexpected(said: &Value, expected: String) -> Difference {
    let observed = match &said["body"] {
        Value::Null => format!("HTTP {}: {}", text(&said["status"]), text(&said["message"])),
        body => {
            let claims = &body["access_token"]["claims"];
            format!("HTTP {}, a token of client {}", text(&said["status"]), text(&claims["appid"]))
        }
    };
    let advice = corroboration::code(&said["message"]).and_then(|code| advice::aadsts(&format!("AADSTS{code}")));
    let difference = Difference::at(Hop::Exchange, expected, observed);
    match advice {
        Some(advice) => difference.advise(advice),
        None => difference,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::evidence::{Principal, RunEvidence};
    use crate::judge::judge;
    use crate::scenario::Expectation;
    use crate::verdict::Judgement;

    const GRANTED: &str = "metadata: { by: p, as: app1, outcome: granted }";

    fn facts() -> Facts {
        let app1 = Principal { client_id: "c-1".into(), principal_id: "o-1".into() };
        let principals = [("app1".to_owned(), app1)].into();
        Facts { tenant_id: "t-1".into(), principals, pods_run: true, request_journal: true, ..Facts::default() }
    }

    /// What a pod shows whose proxy works, and what the identity provider recorded.
    fn green() -> PodEvidence {
        let claims = json!({ "tid": "t-1", "appid": "c-1", "oid": "o-1", "uti": "uti-1", "nbf": 700, "exp": 4600 });
        let body = json!({
            "access_token": { "claims": claims, "sha256": "a-1" }, "refresh_token": "", "expires_in": 3589,
            "expires_on": "4599", "not_before": 0, "resource": "https://vault.azure.net", "token_type": "Bearer",
        });
        let answer = json!({ "access_token": { "claims": claims, "sha256": "a-1" }, "expires_in": 3599 });
        PodEvidence {
            stored: Some(json!({ "metadata": { "name": "p" } })),
            runs: vec![RunEvidence {
                container: "app".into(),
                documents: vec![
                    json!({ "event": "token", "claims": {}, "sha256": "h-1" }),
                    json!({ "event": "metadata", "url": "http://127.0.0.1:8000/", "status": 200, "body": body }),
                    json!({ "event": "end", "outcome": "not-read" }),
                ],
                ..RunEvidence::default()
            }],
            exchanges: vec![json!({
                "plane": "entra", "status": 200, "response": { "body": answer },
                "request": { "form": { "client_assertion": { "sha256": "h-1" } } },
            })],
            ..PodEvidence::default()
        }
    }

    fn judged(yaml: &str, evidence: &PodEvidence) -> Judgement {
        let expectation: Expectation = serde_saphyr::from_str(yaml).unwrap();
        judge(&expectation, evidence, &facts())
    }

    fn difference(yaml: &str, evidence: &PodEvidence) -> Difference {
        match judged(yaml, evidence) {
            Judgement::Met | Judgement::SoFar(_) => panic!("{yaml} is met"),
            Judgement::NotYet(difference) | Judgement::Broken(difference) => difference,
        }
    }

    #[test]
    fn what_the_proxy_was_refused_and_that_it_is_not_there_is_told_by_what_to_change() {
        let containers = |names: &[&str]| -> Vec<Value> { names.iter().map(|name| json!({ "name": name })).collect() };
        let pod = |annotations: Value, names: &[&str]| {
            json!({
                "metadata": { "name": "p", "namespace": "n", "labels": { "azure.workload.identity/use": "true" }, "annotations": annotations },
                "spec": { "serviceAccountName": "reader", "containers": containers(names) },
            })
        };
        let inject = "azure.workload.identity/inject-proxy-sidecar";
        let silent =
            json!({ "event": "metadata", "url": "http://127.0.0.1:9000/x", "outcome": "failed", "message": "refused" });
        let no_credential = json!({ "event": "metadata", "url": "http://127.0.0.1:8000/x?client_id=c-1", "status": 500, "message": "AADSTS70025: no" });
        let object_id = json!({ "event": "metadata", "url": "http://127.0.0.1:8000/x?client_id=o-1", "status": 500, "message": "AADSTS700016: no" });
        for (stored, document, hop, observed, advice) in [
            (
                pod(json!({}), &["app"]),
                &silent,
                Hop::Admission,
                "no annotation azure.workload.identity/inject-proxy-sidecar",
                "on pod p",
            ),
            (
                pod(json!({ "azure.workload.identity/inject_proxy_sidecar": "true" }), &["app"]),
                &silent,
                Hop::Admission,
                "which nobody reads",
                "inject-proxy-sidecar: \"true\"",
            ),
            (
                pod(json!({ inject: "true" }), &["azwi-proxy", "app"]),
                &silent,
                Hop::Admission,
                "port 8000",
                "ask port 8000",
            ),
            (
                pod(json!({ inject: "true" }), &["azwi-proxy", "app"]),
                &no_credential,
                Hop::Exchange,
                "app1 has no federated credential",
                "add a federated credential to app1",
            ),
            (
                pod(json!({ inject: "true" }), &["azwi-proxy", "app"]),
                &object_id,
                Hop::Exchange,
                "object (principal) id of app1",
                "client_id=o-1",
            ),
        ] {
            let mut evidence = green();
            evidence.stored = Some(stored);
            evidence.runs[0].documents[1] = document.clone();
            let told = difference(GRANTED, &evidence);
            let mend = told.advice.clone().unwrap_or_default();
            assert!(
                told.hop == hop && told.observed.contains(observed) && mend.contains(advice),
                "{observed}: {told:?}"
            );
        }
    }

    #[test]
    fn a_token_in_the_shape_of_the_service_meets_the_expectation() {
        assert_eq!(judged(GRANTED, &green()), Judgement::Met);
        assert_eq!(judged("metadata: { by: p, outcome: granted }", &green()), Judgement::Met);
    }

    /// Each change breaks one field or one record; the difference must name it, at its hop.
    #[test]
    fn every_field_that_a_green_verdict_rests_on_turns_it_red_when_it_is_wrong() {
        type Change = fn(&mut PodEvidence);
        fn body(evidence: &mut PodEvidence) -> &mut Value {
            &mut evidence.runs[0].documents[1]["body"]
        }
        let changes: &[(Hop, &str, Change)] = &[
            (Hop::Exchange, "access_token", |e| body(e)["access_token"] = Value::Null),
            (Hop::Exchange, "refresh_token", |e| body(e)["refresh_token"] = Value::Null),
            (Hop::Exchange, "not_before", |e| body(e)["not_before"] = json!("0")),
            (Hop::Exchange, "not_before", |e| body(e)["not_before"] = json!(700)),
            (Hop::Exchange, "resource", |e| body(e)["resource"] = json!("https://vault.azure.net/")),
            (Hop::Exchange, "token_type", |e| body(e)["token_type"] = json!("bearer")),
            (Hop::Exchange, "expires_on", |e| body(e)["expires_on"] = json!(4599)),
            (Hop::Exchange, "expires_on", |e| body(e)["expires_on"] = json!("3599")),
            (Hop::Exchange, "expires_on", |e| body(e)["expires_on"] = json!("1970-01-01T01:16:39Z")),
            (Hop::Exchange, "expires_in", |e| body(e)["expires_in"] = json!("3589")),
            (Hop::Exchange, "expires_in", |e| body(e)["expires_in"] = json!(3599)),
            (Hop::Exchange, "expires_in", |e| body(e)["expires_in"] = json!(1800)),
            (Hop::Exchange, "nbf and exp", |e| body(e)["access_token"]["claims"]["exp"] = Value::Null),
            (Hop::Exchange, "tid", |e| body(e)["access_token"]["claims"]["tid"] = json!("t-2")),
            (Hop::Exchange, "appid", |e| body(e)["access_token"]["claims"]["appid"] = json!("c-2")),
            (Hop::Exchange, "oid", |e| body(e)["access_token"]["claims"]["oid"] = json!("o-2")),
            (Hop::Exchange, "recorded by", |e| body(e)["access_token"]["claims"]["uti"] = json!("uti-2")),
            (Hop::Exchange, "recorded by", |e| e.exchanges.clear()),
            (Hop::Exchange, "recorded by", |e| {
                e.exchanges[0]["request"]["form"]["client_assertion"]["sha256"] = json!("h-2");
            }),
            (Hop::Exchange, "a token of client c-1", |e| e.runs[0].documents[1]["status"] = json!(201)),
            (Hop::Exchange, "an access token for client", |e| {
                e.runs[0].documents[1] = json!({ "event": "metadata", "status": 500, "message": "AADSTS70025: no" });
            }),
            (Hop::Admission, "labelled azure.workload.identity/use", |e| {
                e.runs[0].documents[1] =
                    json!({ "event": "metadata", "outcome": "failed", "message": "connection refused" });
            }),
            (Hop::Exchange, "a token of client c-1", |e| _ = e.runs[0].documents.remove(1)),
            (Hop::Token, "a token of client c-1", |e| e.runs[0].documents[0]["outcome"] = json!("absent")),
        ];
        for (index, (hop, named, change)) in changes.iter().enumerate() {
            let mut evidence = green();
            change(&mut evidence);
            let difference = difference(GRANTED, &evidence);
            assert!(difference.hop == *hop && difference.expected.contains(named), "change {index}: {difference:?}");
        }
    }

    #[test]
    fn a_refusal_needs_its_status_and_its_text_and_its_code_the_providers_record() {
        let refused = "metadata: { by: p, outcome: { refused: { status: 500, message: AADSTS70025 } } }";
        let mut evidence = green();
        assert!(difference(refused, &evidence).observed.contains("a token of client c-1"));
        evidence.runs[0].documents[1] =
            json!({ "event": "metadata", "status": 500, "message": "no: AADSTS70025: none." });
        assert!(difference(refused, &evidence).observed.contains("the identity provider recorded no such refusal"));
        evidence.exchanges = vec![
            json!({ "plane": "entra", "status": 401, "request": { "form": { "client_assertion": { "sha256": "h-1" } } }, "response": { "body": { "error_codes": [70025] } } }),
        ];
        assert_eq!(judged(refused, &evidence), Judgement::Met);
        evidence.runs[0].documents[1]["status"] = json!(400);
        assert!(difference(refused, &evidence).observed.contains("HTTP 400"));
        evidence.runs[0].documents[1] =
            json!({ "event": "metadata", "status": 500, "message": "failed to acquire token" });
        assert!(difference(refused, &evidence).observed.ends_with("failed to acquire token"));
        let text =
            "metadata: { by: p, outcome: { refused: { status: 400, message: The resource parameter is required. } } }";
        evidence.runs[0].documents[1] =
            json!({ "event": "metadata", "status": 400, "message": "The resource parameter is required." });
        evidence.exchanges.clear();
        assert_eq!(judged(text, &evidence), Judgement::Met);
    }
}
