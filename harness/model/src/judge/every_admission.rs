//! Every review that the webhook under test answered, whatever the scenario expects: what it made of the pod, field by
//! field, beside what is required of it.

use serde_json::Value;

use crate::evidence::{AdmissionEvidence, Answered, Facts};
use crate::injection::{LAYOUTS, Layout};
use crate::mutation::{Change, Refused, Settings, compare, expected};
use crate::verdict::{Difference, Hop};

/// How many changes of one pod are told.
const TOLD: usize = 4;

/// What a webhook of these settings must make of a reviewed pod. An account that is not there counts as an empty one.
///
/// # Errors
/// The refusal that it must answer with.
pub fn required(review: &AdmissionEvidence, settings: &Settings, facts: &Facts) -> Result<Value, Refused> {
    let layout = match &review.answered {
        Answered::Admitted(observed) => super::admission::layout(observed, facts),
        Answered::Refused(_) | Answered::Failed(_) => {
            facts.profile.as_deref().and_then(Layout::of).unwrap_or(LAYOUTS[0])
        }
    };
    expected(&review.sent, review.account.as_ref().unwrap_or(&Value::Null), settings, &layout)
}

/// What a webhook made of a pod otherwise than is required; `None` when it is as it must be.
pub fn judge_every_admission(review: &AdmissionEvidence, settings: &Settings, facts: &Facts) -> Option<Difference> {
    // An account that is gone by now says nothing of what the webhook read.
    review.account.as_ref()?;
    judge_against(review, &required(review, settings, facts))
}

/// What a webhook made of a pod otherwise than `wanted`; `None` when it is as it must be.
pub fn judge_against(review: &AdmissionEvidence, wanted: &Result<Value, Refused>) -> Option<Difference> {
    let at = |expected: String, observed: String| Some(Difference::at(Hop::Admission, expected, observed));
    let pod = review.shown_name();
    match (wanted, &review.answered) {
        (_, Answered::Failed(why)) => at(format!("the webhook answers the review of pod {pod}"), why.clone()),
        (Ok(wanted), Answered::Admitted(observed)) => {
            let mut observed = observed.clone();
            // Controllers leave it out; to write down where the pod is being made changes nothing.
            if review.sent["metadata"]["namespace"].is_null()
                && observed["metadata"]["namespace"] == review.namespace.as_str()
                && let Some(metadata) = observed["metadata"].as_object_mut()
            {
                metadata.remove("namespace");
            }
            let changes = compare(&review.sent, wanted, &observed);
            if changes.is_empty() {
                return None;
            }
            let expected = format!("pod {pod} as it was sent, with only what workload identity adds");
            let told = Difference::at(Hop::Admission, expected, format!("the webhook {}", told(&changes)));
            Some(told.with_changes(changes.iter().map(ToString::to_string).collect()))
        }
        (Ok(_), Answered::Refused(refused)) => at(
            format!("pod {pod} is admitted by the webhook"),
            format!("refused with {} and `{}`, which is not expected", refused.status, refused.message),
        ),
        (Err(wanted), Answered::Admitted(_)) => at(
            format!("pod {pod} is refused by the webhook with {} and `{}`", wanted.status, wanted.message),
            "admitted".to_owned(),
        ),
        (Err(wanted), Answered::Refused(seen)) => {
            let same = (seen.status, seen.message.as_str()) == (wanted.status, wanted.message.as_str());
            if same {
                return None;
            }
            let expected =
                format!("pod {pod} is refused by the webhook with {} and `{}`", wanted.status, wanted.message);
            at(expected, format!("refused with {} and `{}`", seen.status, seen.message))
        }
    }
}

fn told(changes: &[Change]) -> String {
    let mut told: Vec<String> = changes.iter().take(TOLD).map(ToString::to_string).collect();
    if changes.len() > TOLD {
        told.push(format!("and {} more", changes.len() - TOLD));
    }
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::evidence::RefusalEvidence;

    fn settings() -> Settings {
        Settings::of(&BTreeMap::new(), "tenant", "https://login.microsoftonline.com/", "v1.34.1")
    }

    fn review(annotations: Value) -> AdmissionEvidence {
        let sent = json!({ "metadata": { "generateName": "app-", "annotations": annotations }, "spec": { "containers": [{ "name": "app" }] } });
        let account = Some(json!({ "metadata": { "name": "default" } }));
        let answered = expected(&sent, &json!({}), &settings(), &LAYOUTS[0]).map_or_else(
            |refused| {
                Answered::Refused(RefusalEvidence {
                    status: refused.status,
                    reason: String::new(),
                    message: refused.message,
                })
            },
            Answered::Admitted,
        );
        AdmissionEvidence { namespace: "wi-1".to_owned(), sent, account, answered, service: None }
    }

    fn judged(review: &AdmissionEvidence) -> Option<String> {
        judge_every_admission(review, &settings(), &Facts::default()).map(|difference| difference.observed)
    }

    #[test]
    fn what_the_webhook_adds_of_its_own_is_told_by_path_and_the_namespace_that_it_writes_down_is_nothing() {
        let mut review = review(json!({}));
        assert_eq!(judged(&review), None);
        let Answered::Admitted(pod) = &mut review.answered else { panic!("admitted") };
        pod["metadata"]["namespace"] = "wi-1".into();
        assert_eq!(judged(&review), None);
        let Answered::Admitted(pod) = &mut review.answered else { panic!("admitted") };
        pod["spec"]["securityContext"] = json!({ "fsGroup": 1000 });
        assert_eq!(
            judged(&review).unwrap(),
            "the webhook set `spec.securityContext.fsGroup` to `1000`, which is not expected"
        );
    }

    #[test]
    fn a_refusal_that_nothing_asks_for_and_one_that_is_not_given_or_given_otherwise_are_told() {
        let mut fine = review(json!({}));
        let said = |status, message: &str| {
            Answered::Refused(RefusalEvidence { status, reason: String::new(), message: message.to_owned() })
        };
        fine.answered = said(400, "no");
        assert!(judged(&fine).unwrap().contains("which is not expected"));
        let mut short = review(json!({ "azure.workload.identity/service-account-token-expiration": "1" }));
        assert_eq!(judged(&short), None);
        short.answered = said(403, "token expiration 1 not valid. Expected value to be between 3600 and 86400");
        assert!(judged(&short).unwrap().starts_with("refused with 403"));
        short.answered = Answered::Admitted(short.sent.clone());
        assert_eq!(judged(&short).unwrap(), "admitted");
    }
}
