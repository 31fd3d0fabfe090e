//! What the identity provider answered: by the pod's word, and by the provider's own record where there is one.

use serde_json::Value;

use super::voice::{self, Voice};
use super::{Unmet, Verdict, advice, broken, corroboration, document, not_yet, recorded, same, text, token};
use crate::evidence::{Facts, PodEvidence, Principal};
use crate::located::Text;
use crate::scenario::{ExchangeExpectation, ExchangeOutcome};
use crate::verdict::{Difference, Hop};

pub(super) fn judge(expectation: &ExchangeExpectation, evidence: &PodEvidence, facts: &Facts) -> Verdict {
    let container = expectation.container.as_ref();
    let principal = expectation.identity.as_ref().and_then(|handle| facts.principals.get(&handle.value));
    let expected = match &expectation.outcome {
        ExchangeOutcome::Granted => granted_to(principal),
        ExchangeOutcome::Refused(code) => format!("refused with {}", code.value),
        ExchangeOutcome::NotConfigured(part) => {
            format!("no exchange because of missing configuration: `{}`", part.value)
        }
    };
    let tenant = tenant(expectation.tenant.as_ref(), evidence, facts);
    let way = matches!(expectation.outcome, ExchangeOutcome::Granted).then_some(facts);
    voice::each(evidence, container, &expected, way, |voice| match &expectation.outcome {
        ExchangeOutcome::Granted => granted(voice, principal, &tenant, facts, &expected),
        ExchangeOutcome::Refused(code) => refused(voice, &code.value, &expected),
        ExchangeOutcome::NotConfigured(part) => not_configured(voice, &part.value, facts, &expected),
    })?;
    if facts.request_journal { corroboration::agrees(evidence, container, Hop::Exchange) } else { Ok(()) }
}

fn granted_to(principal: Option<&Principal>) -> String {
    match principal {
        Some(principal) => {
            format!("an access token of client {} (object {})", principal.client_id, principal.principal_id)
        }
        None => "an access token".to_owned(),
    }
}

/// The tenant whose token is wanted: the one that is named, the one that an exchange of the harness asked, or the target's.
pub(super) fn tenant(named: Option<&Text>, evidence: &PodEvidence, facts: &Facts) -> String {
    let named = named.map(|handle| facts.tenants.get(&handle.value).cloned().unwrap_or_default());
    named.or_else(|| evidence.tenant.clone()).unwrap_or_else(|| facts.tenant_id.clone())
}

fn granted(voice: &Voice<'_>, principal: Option<&Principal>, tenant: &str, facts: &Facts, expected: &str) -> Verdict {
    // A vendor's sample says nothing about the exchange; that it printed a secret implies one, and the record shows it.
    if voice.is_sample() && voice.printed_secret().is_some() {
        let granted = recorded(voice.pod, "entra").any(|exchange| exchange["status"] == 200);
        if granted || !facts.request_journal {
            return Ok(());
        }
        let observed = "it printed a secret, but the identity provider recorded no such grant for its pod's token";
        return Err(not_yet(Hop::Exchange, expected, observed));
    }
    let said = document(voice, "exchange", Hop::Exchange, expected)?;
    if said["outcome"] != "granted" {
        return Err(Unmet::Broken(unexpected(said, voice, expected.to_owned())));
    }
    whose(&said["claims"], principal, tenant, facts)?;
    if said["cached"] != true {
        token::of_pod(voice, expected)?;
    }
    Ok(())
}

/// Of which tenant and of which identity an access token is.
pub(super) fn whose(claims: &Value, principal: Option<&Principal>, tenant: &str, facts: &Facts) -> Verdict {
    same(Hop::Exchange, "tid", tenant, &text(&claims["tid"]))?;
    let Some(principal) = principal else { return Ok(()) };
    same(Hop::Exchange, "appid", &principal.client_id, &client_of(claims))?;
    if tenant == facts.tenant_id {
        return same(Hop::Exchange, "oid", &principal.principal_id, &text(&claims["oid"]));
    }
    // In each tenant an application has a service principal of its own.
    let oid = text(&claims["oid"]);
    if oid == "absent" || oid == principal.principal_id {
        return Err(broken(Hop::Exchange, "oid = that of its service principal in this tenant", oid));
    }
    Ok(())
}

fn refused(voice: &Voice<'_>, code: &str, expected: &str) -> Verdict {
    let said = document(voice, "exchange", Hop::Exchange, expected)?;
    if said["outcome"] != "refused" || said["code"] != code {
        return Err(Unmet::Broken(unexpected(said, voice, expected.to_owned())));
    }
    Ok(())
}

fn not_configured(voice: &Voice<'_>, part: &str, facts: &Facts, expected: &str) -> Verdict {
    let said = document(voice, "exchange", Hop::Exchange, expected)?;
    let message = said["message"].as_str().unwrap_or_default();
    if said["outcome"] != "failed" || said["kind"] != "configuration" || !message.contains(part) {
        return Err(Unmet::Broken(unexpected(said, voice, expected.to_owned())));
    }
    if facts.request_journal
        && let Some(exchange) = recorded(voice.pod, "entra").next()
    {
        let observed = format!("the identity provider recorded a request, answered {}", exchange["status"]);
        return Err(broken(Hop::Exchange, expected, observed));
    }
    Ok(())
}

/// The client that a token names; one of version 2 writes `azp`.
fn client_of(claims: &Value) -> String {
    text(if claims["appid"].is_null() { &claims["azp"] } else { &claims["appid"] })
}

/// What the exchange came to instead, with the comparison that failed where the identity provider tells.
pub(super) fn unexpected(said: &Value, voice: &Voice<'_>, expected: String) -> Difference {
    let code = said["code"].as_str().unwrap_or_default();
    let mut observed = match said["outcome"].as_str() {
        Some("granted") => {
            format!("granted, to client {} (object {})", client_of(&said["claims"]), text(&said["claims"]["oid"]))
        }
        Some("refused") => format!("refused with {code} (HTTP {}): {}", text(&said["status"]), text(&said["message"])),
        _ => format!("{}: {}", text(&said["kind"]), text(&said["message"])),
    };
    let checks = recorded(voice.pod, "entra").last().and_then(|exchange| exchange["checks"].as_array());
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
