//! What the identity provider answered: by the pod's word, and by the provider's own record where there is one.

use serde_json::Value;

use super::{Unmet, Verdict, advice, broken, document, fresh, not_yet, recorded, same, text, token};
use crate::evidence::{Facts, PodEvidence};
use crate::scenario::{ExchangeExpectation, ExchangeOutcome};
use crate::verdict::{Difference, Hop};

pub(super) fn judge(expectation: &ExchangeExpectation, evidence: &PodEvidence, facts: &Facts) -> Verdict {
    match &expectation.outcome {
        ExchangeOutcome::Granted => granted(expectation, evidence, facts),
        ExchangeOutcome::Refused(code) => refused(&code.value, evidence, facts),
        ExchangeOutcome::NotConfigured(part) => not_configured(&part.value, evidence, facts),
    }
}

fn granted(expectation: &ExchangeExpectation, evidence: &PodEvidence, facts: &Facts) -> Verdict {
    let principal = expectation.identity.as_ref().and_then(|handle| facts.principals.get(&handle.value));
    let expected = match principal {
        Some(principal) => {
            format!("an access token of client {} (object {})", principal.client_id, principal.principal_id)
        }
        None => "an access token".to_owned(),
    };
    // A vendor's sample says nothing about the exchange; that it printed a secret implies one, and the record shows it.
    if evidence.documents.is_empty() && evidence.printed_secret().is_some() {
        return recorded_grant(evidence, facts, None, &expected);
    }
    let said = document(evidence, "exchange", Hop::Exchange, &expected)?;
    if said["outcome"] != "granted" {
        return Err(Unmet::Broken(unexpected(said, evidence, expected)));
    }
    let claims = &said["claims"];
    same(Hop::Exchange, "tid", &facts.tenant_id, &text(&claims["tid"]))?;
    if let Some(principal) = principal {
        same(Hop::Exchange, "appid", &principal.client_id, &client_of(claims))?;
        same(Hop::Exchange, "oid", &principal.principal_id, &text(&claims["oid"]))?;
    }
    if facts.request_journal {
        // A token out of the SDK's cache was granted to a token that the pod read in an earlier round.
        let presented = if said["cached"] == true { None } else { Some(token::read(evidence, &expected)?) };
        recorded_grant(evidence, facts, Some((presented, &claims["uti"])), &expected)?;
    }
    Ok(())
}

/// The identity provider's own record of a grant: for the token that the pod presented, of the very access token that the
/// pod was given. A pod may ask more than once, so any of its grants may be the one.
pub(super) fn recorded_grant(
    evidence: &PodEvidence,
    facts: &Facts,
    said: Option<(Option<&Value>, &Value)>,
    expected: &str,
) -> Verdict {
    if !facts.request_journal {
        return Ok(());
    }
    let of_pod = |exchange: &&Value| {
        said.is_none_or(|(presented, uti)| {
            let assertion = &exchange["request"]["form"]["client_assertion"]["sha256"];
            presented.is_none_or(|presented| *assertion == presented["sha256"])
                && exchange["response"]["body"]["access_token"]["claims"]["uti"] == *uti
        })
    };
    if recorded(evidence, "entra").any(|exchange| exchange["status"] == 200 && of_pod(&exchange)) {
        return Ok(());
    }
    let seen: Vec<String> = recorded(evidence, "entra").map(|exchange| text(&exchange["status"])).collect();
    let observed = format!(
        "the pod says so, but the identity provider recorded no such grant for its token (recorded: [{}])",
        seen.join(", ")
    );
    Err(not_yet(Hop::Exchange, expected, observed))
}

fn refused(code: &str, evidence: &PodEvidence, facts: &Facts) -> Verdict {
    let expected = format!("refused with {code}");
    let said = document(evidence, "exchange", Hop::Exchange, &expected)?;
    if said["outcome"] != "refused" || said["code"] != code {
        return Err(Unmet::Broken(unexpected(said, evidence, expected)));
    }
    if !facts.request_journal {
        return Ok(());
    }
    let number = code.trim_start_matches("AADSTS").parse::<u64>().ok();
    let agrees = |exchange: &Value| {
        exchange["response"]["body"]["error_codes"][0].as_u64() == number && exchange["status"] == said["status"]
    };
    if fresh(evidence, "entra").any(agrees) {
        return Ok(());
    }
    let seen: Vec<String> =
        recorded(evidence, "entra").map(|e| e["response"]["body"]["error_codes"].to_string()).collect();
    Err(not_yet(
        Hop::Exchange,
        expected,
        format!("the pod says so, but the identity provider recorded [{}]", seen.join(", ")),
    ))
}

fn not_configured(part: &str, evidence: &PodEvidence, facts: &Facts) -> Verdict {
    let expected = format!("no exchange, for want of configuration: `{part}`");
    let said = document(evidence, "exchange", Hop::Exchange, &expected)?;
    let message = said["message"].as_str().unwrap_or_default();
    if said["outcome"] != "failed" || said["kind"] != "configuration" || !message.contains(part) {
        return Err(Unmet::Broken(unexpected(said, evidence, expected)));
    }
    if facts.request_journal
        && let Some(exchange) = recorded(evidence, "entra").next()
    {
        return Err(broken(
            Hop::Exchange,
            expected,
            format!("the identity provider recorded a request, answered {}", exchange["status"]),
        ));
    }
    Ok(())
}

/// The client that a token names; one of version 2 writes `azp`.
fn client_of(claims: &Value) -> String {
    text(if claims["appid"].is_null() { &claims["azp"] } else { &claims["appid"] })
}

/// What the exchange came to instead, with the comparison that failed where the identity provider tells.
fn unexpected(said: &Value, evidence: &PodEvidence, expected: String) -> Difference {
    let code = said["code"].as_str().unwrap_or_default();
    let mut observed = match said["outcome"].as_str() {
        Some("granted") => {
            format!("granted, to client {} (object {})", client_of(&said["claims"]), text(&said["claims"]["oid"]))
        }
        Some("refused") => format!("refused with {code} (HTTP {}): {}", text(&said["status"]), text(&said["message"])),
        _ => format!("{}: {}", text(&said["kind"]), text(&said["message"])),
    };
    let checks = recorded(evidence, "entra").last().and_then(|exchange| exchange["checks"].as_array());
    for check in checks.into_iter().flatten().filter(|check| check["outcome"] == "failed") {
        observed.push_str(&format!(
            "; {}: registered {}, presented {}",
            text(&check["check"]),
            text(&check["expected"]),
            text(&check["found"])
        ));
    }
    let difference = Difference::at(Hop::Exchange, expected, observed);
    match advice::aadsts(code) {
        Some(advice) => difference.advise(advice),
        None => difference,
    }
}
