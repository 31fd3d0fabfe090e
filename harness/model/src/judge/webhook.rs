//! What the webhook says of itself: that it is well, and how many reviews it has answered.

use super::{Verdict, broken, not_yet};
use crate::evidence::{ClusterEvidence, WebhookEvidence};
use crate::scenario::WebhookExpectation;
use crate::verdict::Hop;

pub(super) fn judge(expectation: &WebhookExpectation, evidence: &ClusterEvidence) -> Verdict {
    let pods = &evidence.webhook;
    if pods.is_empty() {
        return Err(not_yet(Hop::Admission, "a webhook with pods behind its Service", "none"));
    }
    if expectation.well {
        for pod in pods {
            well(pod)?;
        }
    }
    logged(expectation, &evidence.webhook_log)?;
    let Some(wanted) = expectation.reviews else { return Ok(()) };
    let counted: Vec<u64> = pods.iter().filter_map(|pod| pod.reviews.as_ref().ok().copied()).collect();
    let expected = format!("{wanted} reviews of this namespace counted");
    if counted.len() < pods.len() {
        let faults: Vec<&str> = pods.iter().filter_map(|pod| pod.reviews.as_ref().err().map(String::as_str)).collect();
        return Err(not_yet(Hop::Admission, expected, faults.join("; ")));
    }
    let seen: u64 = counted.iter().sum();
    // A count never goes back, so more than wanted is final.
    match seen.cmp(&wanted) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => {
            let why: Vec<&str> = pods.iter().filter_map(|pod| pod.uncounted.as_deref()).collect();
            let why = if why.is_empty() { String::new() } else { format!("; {}", why.join("; ")) };
            Err(not_yet(Hop::Admission, expected, format!("{seen}{why}")))
        }
        std::cmp::Ordering::Greater => Err(broken(Hop::Admission, expected, format!("{seen}"))),
    }
}

/// One line of its log is a JSON object and holds all that is wanted.
fn logged(expectation: &WebhookExpectation, log: &str) -> Verdict {
    let wanted: Vec<&str> = expectation.logged.iter().map(|text| text.value.as_str()).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let holds = |line: &&str| wanted.iter().all(|text| line.contains(text));
    let expected = format!("a line of the webhook's log, a JSON object with `{}`", wanted.join("`, `"));
    let found: Vec<&str> = log.lines().filter(holds).collect();
    let is_object = |line: &&&str| serde_json::from_str::<serde_json::Value>(line).is_ok_and(|line| line.is_object());
    match (found.first(), found.iter().find(is_object)) {
        (_, Some(_)) => Ok(()),
        (Some(line), None) => {
            let shown: String = line.chars().filter(|c| !c.is_control()).take(200).collect();
            Err(not_yet(Hop::Admission, expected, format!("a line that is no JSON object: {shown}")))
        }
        (None, None) => Err(not_yet(Hop::Admission, expected, format!("no such line among {}", log.lines().count()))),
    }
}

/// Both probes of a kubelet are answered with 200.
fn well(pod: &WebhookEvidence) -> Verdict {
    for (probe, answer) in [("/healthz", &pod.health), ("/readyz", &pod.readiness)] {
        let expected = format!("webhook pod {}: {probe} answers 200", pod.pod);
        match answer {
            Ok((200, _)) => {}
            Ok((status, text)) => return Err(not_yet(Hop::Admission, expected, format!("{status} `{text}`"))),
            Err(why) => return Err(not_yet(Hop::Admission, expected, why.clone())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Unmet;
    use super::*;

    fn pod(reviews: Result<u64, String>) -> WebhookEvidence {
        let ok = || Ok((200, "ok".to_owned()));
        WebhookEvidence { pod: "w".to_owned(), health: ok(), readiness: ok(), reviews, uncounted: None }
    }

    fn judged(pods: Vec<WebhookEvidence>) -> Verdict {
        let expectation: WebhookExpectation = serde_saphyr::from_str("{ well: true, reviews: 2 }").unwrap();
        judge(&expectation, &ClusterEvidence { webhook: pods, ..ClusterEvidence::default() })
    }

    #[test]
    fn reviews_of_all_its_pods_are_added_up() {
        assert!(judged(vec![pod(Ok(2))]).is_ok());
        assert!(judged(vec![pod(Ok(1)), pod(Ok(1))]).is_ok());
        assert!(matches!(judged(vec![pod(Ok(1)), pod(Ok(0))]), Err(Unmet::NotYet(_))));
        assert!(matches!(judged(vec![pod(Ok(2)), pod(Ok(1))]), Err(Unmet::Broken(_))));
        assert!(matches!(judged(vec![pod(Ok(2)), pod(Err("no metric".to_owned()))]), Err(Unmet::NotYet(_))));
        assert!(judged(Vec::new()).is_err());
    }

    #[test]
    fn each_probe_of_each_pod_must_say_so() {
        let ill = || Ok((500, "certs are not ready yet".to_owned()));
        for ill in [
            WebhookEvidence { health: ill(), ..pod(Ok(1)) },
            WebhookEvidence { readiness: ill(), ..pod(Ok(1)) },
            WebhookEvidence { readiness: Err("connection refused".to_owned()), ..pod(Ok(1)) },
        ] {
            assert!(matches!(judged(vec![pod(Ok(1)), ill]), Err(Unmet::NotYet(_))));
        }
    }
}
