//! What the vault answered: by the pod's word, and by the vault's own record where there is one.

use serde_json::Value;

use super::{Unmet, Verdict, advice, broken, document, finished, fresh, not_yet, recorded, same, text};
use crate::evidence::{Facts, PodEvidence};
use crate::scenario::{SecretReadExpectation, SecretReadOutcome};
use crate::verdict::{Difference, Hop};

pub(super) fn judge(expectation: &SecretReadExpectation, evidence: &PodEvidence, facts: &Facts) -> Verdict {
    match &expectation.outcome {
        SecretReadOutcome::Allowed => allowed(expectation, evidence, facts),
        SecretReadOutcome::Forbidden(code) => forbidden(&code.value, expectation, evidence, facts),
        SecretReadOutcome::Missing(code) => missing(&code.value, expectation, evidence, facts),
        SecretReadOutcome::Unauthorized(part) => unauthorized(&part.value, evidence),
        SecretReadOutcome::NotAttempted => not_attempted(expectation, evidence),
    }
}

fn allowed(expectation: &SecretReadExpectation, evidence: &PodEvidence, facts: &Facts) -> Verdict {
    let (vault, secret) = (&expectation.vault.value, &expectation.secret.value);
    let key = (vault.clone(), secret.clone());
    let stored = facts.secret_sha256.get(&key).map_or("", String::as_str);
    let expected = format!("secret {secret} of vault {vault}, value sha256:{}", short(stored));
    if evidence.documents.is_empty()
        && let Some(printed) = evidence.printed_secret()
    {
        return same(Hop::Secret, &format!("secret {secret}, value sha256"), short(stored), short(printed));
    }
    let said = document(evidence, "secret-read", Hop::Secret, &expected)?;
    if said["outcome"] != "allowed" {
        return Err(Unmet::Broken(unexpected(said, expected)));
    }
    let address = facts.vaults.get(vault).map_or("", String::as_str);
    same(Hop::Secret, "vault", address.trim_end_matches('/'), text(&said["vault"]).trim_end_matches('/'))?;
    same(Hop::Secret, "secret", secret, &text(&said["secret"]))?;
    same(Hop::Secret, &format!("secret {secret}, value sha256"), stored, &text(&said["value-sha256"]))?;
    // The human line comes after the document, so it is awaited; what it shows must be the same value.
    match evidence.printed_secret() {
        Some(printed) => same(Hop::Secret, &format!("secret {secret} as printed, value sha256"), stored, printed)?,
        None if finished(evidence) => {
            return Err(broken(Hop::Secret, expected, "read, but not printed as the samples do"));
        }
        None => return Err(not_yet(Hop::Secret, expected, "read, but not printed yet")),
    }
    if facts.request_journal {
        recorded_read(evidence, secret, 200, &expected)?;
    }
    Ok(())
}

fn forbidden(code: &str, expectation: &SecretReadExpectation, evidence: &PodEvidence, facts: &Facts) -> Verdict {
    let secret = &expectation.secret.value;
    let expected = format!("forbidden (403) with {code}");
    let said = document(evidence, "secret-read", Hop::Secret, &expected)?;
    if said["outcome"] != "forbidden"
        || said["status"] != 403
        || !same_code(code, said["inner"].as_str().unwrap_or_default())
    {
        return Err(Unmet::Broken(unexpected(said, expected)));
    }
    // A network barrier stands before anybody looks at who calls, so its record names nobody.
    if facts.request_journal && !["ForbiddenByFirewall", "ForbiddenByConnection"].contains(&code) {
        recorded_read(evidence, secret, 403, &expected)?;
    }
    Ok(())
}

fn missing(code: &str, expectation: &SecretReadExpectation, evidence: &PodEvidence, facts: &Facts) -> Verdict {
    let expected = format!("missing (404) with {code}");
    let said = document(evidence, "secret-read", Hop::Secret, &expected)?;
    if said["outcome"] != "missing" || said["status"] != 404 || said["code"] != code {
        return Err(Unmet::Broken(unexpected(said, expected)));
    }
    if facts.request_journal { recorded_read(evidence, &expectation.secret.value, 404, &expected) } else { Ok(()) }
}

fn unauthorized(part: &str, evidence: &PodEvidence) -> Verdict {
    let expected = format!("unauthorized (401) with `{part}`");
    let said = document(evidence, "secret-read", Hop::Secret, &expected)?;
    let message = said["message"].as_str().unwrap_or_default();
    if said["outcome"] != "unauthorized" || said["status"] != 401 || !message.contains(part) {
        return Err(Unmet::Broken(unexpected(said, expected)));
    }
    // The vault cannot tell whose token it did not take, so its record names nobody.
    Ok(())
}

/// The service renamed `AccessDenied` to `ForbiddenByPolicy`; both are met in the wild and mean the same.
fn same_code(expected: &str, observed: &str) -> bool {
    const SAME: [&str; 2] = ["AccessDenied", "ForbiddenByPolicy"];
    expected == observed || (SAME.contains(&expected) && SAME.contains(&observed))
}

fn not_attempted(expectation: &SecretReadExpectation, evidence: &PodEvidence) -> Verdict {
    let expected = format!("secret {} never asked for", expectation.secret.value);
    super::stored(evidence, &expected)?;
    if let Some(said) = evidence.document("secret-read") {
        return Err(Unmet::Broken(unexpected(said, expected)));
    }
    if let Some(exchange) = recorded(evidence, "vault").find(|exchange| exchange["status"] == 200) {
        return Err(broken(Hop::Secret, expected, format!("the vault answered {}", exchange["path"])));
    }
    if finished(evidence) {
        Ok(())
    } else {
        Err(not_yet(Hop::Secret, expected, format!("the pod still runs; {}", evidence.condition())))
    }
}

/// The vault's record of the read, made with a token that the identity provider granted to this pod.
fn recorded_read(evidence: &PodEvidence, secret: &str, status: u16, expected: &str) -> Verdict {
    let granted: Vec<&Value> = recorded(evidence, "entra")
        .map(|exchange| &exchange["response"]["body"]["access_token"]["claims"]["uti"])
        .collect();
    let path = format!("/secrets/{secret}");
    let found = fresh(evidence, "vault").any(|exchange| {
        let asked = exchange["path"]
            .as_str()
            .is_some_and(|p| p.trim_end_matches('/').to_lowercase().starts_with(&path.to_lowercase()));
        let uti = &exchange["principal"]["uti"];
        asked && exchange["status"] == status && !uti.is_null() && granted.contains(&uti)
    });
    if found {
        return Ok(());
    }
    let seen: Vec<String> =
        recorded(evidence, "vault").map(|e| format!("{} {}", e["status"], text(&e["path"]))).collect();
    let observed = format!(
        "the pod says so, but the vault recorded no such answer to a token granted to it (recorded: [{}])",
        seen.join(", ")
    );
    Err(not_yet(Hop::Secret, expected, observed))
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

fn unexpected(said: &Value, expected: String) -> Difference {
    let observed = match said["outcome"].as_str() {
        Some("allowed") => {
            format!("allowed, value sha256:{}", short(said["value-sha256"].as_str().unwrap_or_default()))
        }
        Some("failed") => format!("{}: {}", text(&said["kind"]), text(&said["message"])),
        Some(outcome) => format!(
            "{outcome} (HTTP {}) {} {}: {}",
            text(&said["status"]),
            text(&said["code"]),
            text(&said["inner"]),
            text(&said["message"])
        ),
        None => said.to_string(),
    };
    let difference = Difference::at(Hop::Secret, expected, observed);
    if said["outcome"] == "forbidden" { difference.advise(advice::FORBIDDEN) } else { difference }
}
