//! What a service account may do, and how a vault answers an unauthenticated request.

use super::{Verdict, broken, not_yet};
use crate::evidence::{ClusterEvidence, Facts};
use crate::scenario::AccessExpectation;
use crate::verdict::Hop;

pub(super) fn judge(expectation: &AccessExpectation, evidence: &ClusterEvidence) -> Verdict {
    let word = |allowed: bool| if allowed { "allowed" } else { "not allowed" };
    let what = format!("{} {} by {}", expectation.verb.value, expectation.resource.value, expectation.account.value);
    let expected = format!("{what}: {}", word(expectation.allowed));
    match &evidence.access {
        None => Err(not_yet(Hop::Admission, expected, "not asked")),
        Some((allowed, _)) if *allowed == expectation.allowed => Ok(()),
        Some((allowed, why)) => Err(broken(Hop::Admission, expected, format!("{}: {why}", word(*allowed)))),
    }
}

/// `Bearer authorization="https://login.microsoftonline.com/TENANT", resource="https://vault.azure.net"`: SDKs take their
/// scope from it.
pub(super) fn judge_challenge(evidence: &ClusterEvidence, facts: &Facts) -> Verdict {
    let authority = format!("authorization=\"{}/{}\"", facts.authority.trim_end_matches('/'), facts.tenant_id);
    let expected = format!("401 with a Bearer challenge that has {authority} and a resource");
    let Some((status, challenge)) = &evidence.challenge else {
        return Err(not_yet(Hop::Secret, expected, "not asked"));
    };
    let scheme = challenge.split(' ').next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"));
    if *status == 401 && scheme && challenge.contains(&authority) && challenge.contains("resource=\"https://") {
        return Ok(());
    }
    Err(broken(Hop::Secret, expected, format!("{status} with `{challenge}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, challenge: &str) -> bool {
        let facts =
            Facts { authority: "https://login.microsoftonline.com/".into(), tenant_id: "t".into(), ..Facts::default() };
        let evidence =
            ClusterEvidence { challenge: Some((status, challenge.to_owned())), ..ClusterEvidence::default() };
        judge_challenge(&evidence, &facts).is_ok()
    }

    #[test]
    fn a_challenge_names_the_scheme_the_authority_and_the_resource() {
        let whole = r#"Bearer authorization="https://login.microsoftonline.com/t", resource="https://vault.azure.net""#;
        assert!(judged(401, whole));
        for (status, lacking) in [
            (403, whole),
            (401, ""),
            (401, r#"Bearer authorization="https://login.microsoftonline.com/t""#),
            (
                401,
                r#"Bearer authorization="https://login.microsoftonline.com/other", resource="https://vault.azure.net""#,
            ),
        ] {
            assert!(!judged(status, lacking), "{status} {lacking}");
        }
    }
}
