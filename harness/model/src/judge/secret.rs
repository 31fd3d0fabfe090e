//! What the vault answered: by the pod's word, and by the vault's own record where there is one.

use serde_json::Value;

use super::voice::{self, Voice};
use super::{Unmet, Verdict, advice, broken, corroboration, document, not_yet, recorded, same, text};
use crate::evidence::{Facts, PodEvidence};
use crate::scenario::{Refusal, SecretReadExpectation, SecretReadOutcome};
use crate::verdict::{Difference, Hop};

pub(super) fn judge(expectation: &SecretReadExpectation, evidence: &PodEvidence, facts: &Facts) -> Verdict {
    let container = expectation.container.as_ref();
    let (vault, secret) = (&expectation.vault.value, &expectation.secret.value);
    let stored = facts.secret_sha256.get(&(vault.clone(), secret.clone())).map_or("", String::as_str);
    let expected = match &expectation.outcome {
        SecretReadOutcome::Allowed => format!("secret {secret} of vault {vault}, value sha256:{}", short(stored)),
        SecretReadOutcome::Forbidden(code) => format!("forbidden (403) with {}", code.value),
        SecretReadOutcome::Missing(code) => format!("missing (404) with {}", code.value),
        SecretReadOutcome::Unauthorized(part) => format!("unauthorized (401) with `{}`", part.value),
        SecretReadOutcome::Refused(refusal) => {
            format!("refused with {} and `{}`", refusal.status, refusal.message.value)
        }
        SecretReadOutcome::NotAttempted => format!("no request for secret {secret}"),
    };
    let way = matches!(expectation.outcome, SecretReadOutcome::Allowed).then_some(facts);
    voice::each(evidence, container, &expected, way, |voice| match &expectation.outcome {
        SecretReadOutcome::Allowed => allowed(expectation, voice, stored, facts, &expected),
        SecretReadOutcome::Forbidden(code) => forbidden(&code.value, secret, voice, facts, &expected),
        SecretReadOutcome::Missing(code) => missing(&code.value, secret, voice, facts, &expected),
        SecretReadOutcome::Unauthorized(part) => unauthorized(&part.value, voice, &expected),
        SecretReadOutcome::Refused(refusal) => refused(refusal, voice, &expected),
        SecretReadOutcome::NotAttempted => not_attempted(voice, &expected),
    })?;
    if facts.request_journal { corroboration::agrees(evidence, container, Hop::Secret) } else { Ok(()) }
}

fn allowed(
    expectation: &SecretReadExpectation,
    voice: &Voice<'_>,
    stored: &str,
    facts: &Facts,
    expected: &str,
) -> Verdict {
    let (vault, secret) = (&expectation.vault.value, &expectation.secret.value);
    if voice.is_sample()
        && let Some(printed) = voice.printed_secret()
    {
        return same(Hop::Secret, &format!("secret {secret}, value sha256"), short(stored), short(printed));
    }
    let said = document(voice, "secret-read", Hop::Secret, expected)?;
    if said["outcome"] != "allowed" {
        return Err(Unmet::Broken(unexpected(said, expected.to_owned())));
    }
    let address = facts.vaults.get(vault).map_or("", String::as_str);
    same(Hop::Secret, "vault", address.trim_end_matches('/'), text(&said["vault"]).trim_end_matches('/'))?;
    same(Hop::Secret, "secret", secret, &text(&said["secret"]))?;
    same(Hop::Secret, &format!("secret {secret}, value sha256"), stored, &text(&said["value-sha256"]))?;
    if voice.pod.own {
        return Ok(());
    }
    // The human line comes after the document, so it is awaited; what it shows must be the same value.
    match voice.printed_secret() {
        Some(printed) => same(Hop::Secret, &format!("secret {secret} as printed, value sha256"), stored, printed),
        None if voice.finished() => {
            Err(broken(Hop::Secret, expected, "read, but not printed in the format of the samples"))
        }
        None => Err(not_yet(Hop::Secret, expected, "read, but not printed yet")),
    }
}

fn forbidden(code: &str, secret: &str, voice: &Voice<'_>, facts: &Facts, expected: &str) -> Verdict {
    let said = document(voice, "secret-read", Hop::Secret, expected)?;
    if said["outcome"] != "forbidden"
        || said["status"] != 403
        || !same_code(code, said["inner"].as_str().unwrap_or_default())
    {
        return Err(Unmet::Broken(unexpected(said, expected.to_owned())));
    }
    // A network barrier stands before anybody looks at who calls, so its record names nobody.
    if ["ForbiddenByFirewall", "ForbiddenByConnection"].contains(&code) {
        return Ok(());
    }
    of_secret(voice, secret, facts, expected)
}

fn missing(code: &str, secret: &str, voice: &Voice<'_>, facts: &Facts, expected: &str) -> Verdict {
    let said = document(voice, "secret-read", Hop::Secret, expected)?;
    if said["outcome"] != "missing" || said["status"] != 404 || said["code"] != code {
        return Err(Unmet::Broken(unexpected(said, expected.to_owned())));
    }
    of_secret(voice, secret, facts, expected)
}

fn unauthorized(part: &str, voice: &Voice<'_>, expected: &str) -> Verdict {
    let said = document(voice, "secret-read", Hop::Secret, expected)?;
    let message = said["message"].as_str().unwrap_or_default();
    if said["outcome"] != "unauthorized" || said["status"] != 401 || !message.contains(part) {
        return Err(Unmet::Broken(unexpected(said, expected.to_owned())));
    }
    Ok(())
}

fn refused(refusal: &Refusal, voice: &Voice<'_>, expected: &str) -> Verdict {
    let said = document(voice, "secret-read", Hop::Secret, expected)?;
    let message = said["message"].as_str().unwrap_or_default();
    if said["outcome"] != "refused" || said["status"] != refusal.status || !message.contains(&refusal.message.value) {
        return Err(Unmet::Broken(unexpected(said, expected.to_owned())));
    }
    Ok(())
}

/// The service renamed `AccessDenied` to `ForbiddenByPolicy`; both are met in the wild and mean the same.
fn same_code(expected: &str, observed: &str) -> bool {
    const SAME: [&str; 2] = ["AccessDenied", "ForbiddenByPolicy"];
    expected == observed || (SAME.contains(&expected) && SAME.contains(&observed))
}

fn not_attempted(voice: &Voice<'_>, expected: &str) -> Verdict {
    if let Some(said) = voice.document("secret-read") {
        return Err(Unmet::Broken(unexpected(said, expected.to_owned())));
    }
    if let Some(exchange) = recorded(voice.pod, "vault").find(|exchange| corroboration::is_read(exchange)) {
        let observed = format!("the vault answered {} to {}", exchange["status"], text(&exchange["path"]));
        return Err(broken(Hop::Secret, expected, observed));
    }
    if voice.finished() {
        Ok(())
    } else {
        Err(not_yet(Hop::Secret, expected, format!("it still runs; {}", voice.pod.condition())))
    }
}

/// That what the pod was refused was this very secret: it does not say so itself, the vault's record does.
fn of_secret(voice: &Voice<'_>, secret: &str, facts: &Facts, expected: &str) -> Verdict {
    let paths: Vec<String> = recorded(voice.pod, "vault").map(|record| text(&record["path"])).collect();
    if !facts.request_journal || paths.iter().any(|path| corroboration::reads_secret(path, secret)) {
        return Ok(());
    }
    let observed = format!("the vault recorded no request for secret {secret} (recorded: [{}])", paths.join(", "));
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
