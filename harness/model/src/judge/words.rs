//! What the webhook wrote and counted while a case went on, whatever the scenario expects of it.

use crate::evidence::WebhookWords;
use crate::verdict::{Difference, Hop};

/// What the webhook must not have written, and what it must have counted.
pub fn judge_webhook_words(words: &WebhookWords) -> Vec<Difference> {
    let leaks = words.leaks.iter().map(|(pod, found)| {
        let expected = format!("no value of a pod's environment, no token and no key in the log of webhook pod {pod}");
        Difference::at(Hop::Admission, expected, found.join(" and "))
    });
    let miscounted = words.counted.filter(|(counted, answered)| counted != answered).map(|(counted, answered)| {
        let expected = format!(
            "azwi_mutation_request_count{{namespace=\"{}\"}} = {answered}: one for each review that it answered, including refusals",
            words.namespace
        );
        let observed = words.uncounted.clone().unwrap_or_else(|| counted.to_string());
        Difference::at(Hop::Admission, expected, observed)
    });
    leaks.chain(miscounted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leak_and_a_wrong_count_are_told_and_a_right_count_is_not() {
        let words = |counted| WebhookWords { namespace: "n".to_owned(), counted, ..WebhookWords::default() };
        assert!(judge_webhook_words(&words(Some((3, 3)))).is_empty() && judge_webhook_words(&words(None)).is_empty());
        let why = Some("no metric of that name".to_owned());
        let nothing = WebhookWords { uncounted: why, ..words(Some((0, 3))) };
        assert_eq!(judge_webhook_words(&nothing)[0].observed, "no metric of that name");
        let leaks = [("w".to_owned(), vec!["a token".to_owned()])].into();
        let told = judge_webhook_words(&WebhookWords { leaks, ..words(Some((2, 3))) });
        assert_eq!(told.iter().map(|one| one.observed.as_str()).collect::<Vec<_>>(), ["a token", "2"]);
    }
}
