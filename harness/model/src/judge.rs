//! An expectation beside the evidence. The only place where pass or fail is decided.
//!
//! Every hop is checked from more than one side where the target allows: what the pod said of itself, what the API server
//! stored, and what the identity provider and the vault recorded must agree.

mod access;
mod admission;
mod advice;
mod chain;
mod cluster;
mod corroboration;
mod differs;
mod every_admission;
mod exchange;
mod metadata;
mod pod;
mod secret;
mod token;
mod voice;
mod webhook;
mod words;

use serde_json::Value;

pub use every_admission::{judge_against, judge_every_admission, required};
pub use words::judge_webhook_words;

use crate::evidence::{ClusterEvidence, Facts, PodEvidence};
use crate::scenario::Expectation;
use crate::verdict::{Difference, Hop, Judgement};
use voice::Voice;

/// Judges one expectation. Pure: the same evidence gives the same judgement. Of a workload every pod that counts must fit.
pub fn judge(expectation: &Expectation, evidence: &PodEvidence, facts: &Facts) -> Judgement {
    let Some((kind, name)) = &evidence.workload else { return judgement(judge_pod(expectation, evidence, facts)) };
    let mut open = None;
    for pod in evidence.pods() {
        match judge_pod(expectation, pod, facts) {
            Ok(()) => {}
            broken @ Err(Unmet::Broken(_)) => return judgement(broken),
            Err(later @ Unmet::NotYet(_)) => open = Some(later),
            Err(later @ Unmet::SoFar(_)) => open = open.or(Some(later)),
        }
    }
    let (there, wanted) = (evidence.replicas.len(), evidence.wanted.max(1));
    if there < wanted && !matches!(open, Some(Unmet::NotYet(_))) {
        let expected = format!("{wanted} pods of {kind} {name}: {}", describe(expectation));
        let mut observed =
            if there == 0 { "the pod was not created".to_owned() } else { format!("{there} were created") };
        for why in &evidence.unmade {
            observed.push_str(&format!("; {why}"));
        }
        open = Some(not_yet(Hop::Admission, expected, observed));
    }
    judgement(open.map_or(Ok(()), Err))
}

fn judge_pod(expectation: &Expectation, evidence: &PodEvidence, facts: &Facts) -> Verdict {
    match expectation {
        Expectation::Admission(e) => admission::judge(e, evidence, facts),
        Expectation::Pod(e) => pod::judge(e, evidence, facts),
        Expectation::Token(e) => token::judge(e, evidence, facts),
        Expectation::Exchange(e) => exchange::judge(e, evidence, facts),
        Expectation::Metadata(e) => metadata::judge(e, evidence, facts),
        Expectation::SecretRead(e) => secret::judge(e, evidence, facts),
        Expectation::Log(e) => pod::judge_log(e, evidence),
        Expectation::Event(_)
        | Expectation::Object(_)
        | Expectation::Issuer(_)
        | Expectation::TokenReview(_)
        | Expectation::NoCredential(_)
        | Expectation::Access(_)
        | Expectation::Challenge(_)
        | Expectation::Webhook(_) => judge_cluster_part(expectation, &ClusterEvidence::default(), facts),
    }
}

/// Judges an expectation that speaks of something else than a pod.
pub fn judge_cluster(expectation: &Expectation, evidence: &ClusterEvidence, facts: &Facts) -> Judgement {
    judgement(judge_cluster_part(expectation, evidence, facts))
}

fn judge_cluster_part(expectation: &Expectation, evidence: &ClusterEvidence, facts: &Facts) -> Verdict {
    match expectation {
        Expectation::Event(e) => cluster::judge_event(e, evidence),
        Expectation::Object(e) => cluster::judge_object(e, evidence),
        Expectation::Issuer(e) => cluster::judge_issuer(e, evidence, facts),
        Expectation::TokenReview(e) => cluster::judge_review(e, evidence),
        Expectation::NoCredential(e) => cluster::judge_no_credential(e, evidence),
        Expectation::Access(e) => access::judge(e, evidence),
        Expectation::Challenge(_) => access::judge_challenge(evidence, facts),
        Expectation::Webhook(e) => webhook::judge(e, evidence),
        _ => Err(broken(Hop::SetUp, "an expectation about the cluster", "one about a pod")),
    }
}

fn judgement(result: Verdict) -> Judgement {
    match result {
        Ok(()) => Judgement::Met,
        Err(Unmet::SoFar(difference)) => Judgement::SoFar(difference),
        Err(Unmet::NotYet(difference)) => Judgement::NotYet(difference),
        Err(Unmet::Broken(difference)) => Judgement::Broken(difference),
    }
}

/// Whether each container that hears when it is asked again has said all that it had to say in the round that it was asked for.
pub fn has_ended_its_round(pod: &PodEvidence) -> bool {
    voice::has_ended_its_round(pod)
}

/// Where a pod, whatever was judged of it, has printed documents that break the contract.
pub fn unsound(evidence: &PodEvidence) -> Option<Difference> {
    evidence.pods().into_iter().find_map(voice::unsound)
}

/// Why an object that is a pod, or makes pods, is not as it should be, where that is known of its pods.
pub fn explain(told: Difference, pod: &PodEvidence) -> Difference {
    if let Some(refused) = &pod.refused {
        let observed = format!("the API server refused pod {}: {} {}", pod.name(), refused.status, refused.message);
        return Difference { observed, ..told }.advise(advice::refusal(&refused.message, &pod.sent));
    }
    let mut why = pod.unmade.clone();
    why.extend(
        pod.pods()
            .iter()
            .filter(|pod| pod.stored.is_some())
            .map(|pod| format!("pod {}: {}", pod.name(), pod.condition())),
    );
    let observed = std::iter::once(told.observed).chain(why).collect::<Vec<_>>().join("; ");
    Difference { observed, ..told }
}

/// Says an expectation in a sentence, for reports.
pub fn describe(expectation: &Expectation) -> String {
    use crate::scenario::{AdmissionOutcome, ExchangeOutcome, MetadataOutcome, SecretReadOutcome};
    match expectation {
        Expectation::Admission(e) => match &e.outcome {
            AdmissionOutcome::Mutated => format!("pod {} is admitted and mutated", e.of.value),
            AdmissionOutcome::Unchanged => format!("pod {} is admitted without mutation", e.of.value),
            AdmissionOutcome::Refused(r) => {
                format!("pod {} is refused with {} and `{}`", e.of.value, r.status, r.message.value)
            }
        },
        Expectation::Pod(e) => format!("pod {} is stored as described", e.name.value),
        Expectation::Token(e) => match e.renewed {
            Some(true) => format!("pod {} reads a renewed token that names {}", e.of.value, e.subject.value),
            Some(false) => format!("pod {} still reads its first token, which names {}", e.of.value, e.subject.value),
            None => format!("the token of pod {} names {}", e.of.value, e.subject.value),
        },
        Expectation::Exchange(e) => match &e.outcome {
            ExchangeOutcome::Granted => format!("pod {} is granted an access token", e.by.value),
            ExchangeOutcome::Refused(code) => {
                format!("pod {} is refused an access token with {}", e.by.value, code.value)
            }
            ExchangeOutcome::NotConfigured(text) => {
                format!("pod {} requests no access token: `{}`", e.by.value, text.value)
            }
        },
        Expectation::Metadata(e) => match &e.outcome {
            MetadataOutcome::Granted => format!("pod {} gets a token from its metadata endpoint", e.by.value),
            MetadataOutcome::Unanswered => format!("pod {} gets no answer from its metadata endpoint", e.by.value),
            MetadataOutcome::Refused(r) => {
                format!(
                    "pod {} is refused by its metadata endpoint with {} and `{}`",
                    e.by.value, r.status, r.message.value
                )
            }
        },
        Expectation::SecretRead(e) => match &e.outcome {
            SecretReadOutcome::Allowed => format!("pod {} reads secret {}", e.by.value, e.secret.value),
            SecretReadOutcome::Forbidden(code) => {
                format!("pod {} is refused secret {} with 403 and {}", e.by.value, e.secret.value, code.value)
            }
            SecretReadOutcome::Missing(code) => {
                format!("pod {} gets 404 for secret {} with {}", e.by.value, e.secret.value, code.value)
            }
            SecretReadOutcome::Unauthorized(text) => {
                format!("pod {} gets 401 for secret {} with `{}`", e.by.value, e.secret.value, text.value)
            }
            SecretReadOutcome::Refused(refusal) => format!(
                "pod {} is refused secret {} with {} and `{}`",
                e.by.value, e.secret.value, refusal.status, refusal.message.value
            ),
            SecretReadOutcome::NotAttempted => format!("pod {} does not request secret {}", e.by.value, e.secret.value),
        },
        Expectation::Log(e) => format!("pod {} prints `{}`", e.of.value, e.line.value),
        Expectation::Event(e) => format!("an event {} about {} says `{}`", e.reason.value, e.of.value, e.message.value),
        Expectation::Object(e) if e.absent => format!("there is no {} {}", e.kind.value, e.name.value),
        Expectation::Object(e) => format!("{} {} is as described", e.kind.value, e.name.value),
        Expectation::Issuer(e) => format!("the issuer publishes its discovery document and {} keys", e.keys),
        Expectation::TokenReview(e) => {
            let verb = if e.authenticated { "takes" } else { "does not take" };
            format!("the API server {verb} a token of {} for {}", e.account.value, e.audience.value)
        }
        Expectation::Access(e) => {
            let may = if e.allowed { "may" } else { "may not" };
            format!("account {} {may} {} {}", e.account.value, e.verb.value, e.resource.value)
        }
        Expectation::Challenge(e) => format!("vault {} challenges unauthenticated requests", e.vault.value),
        Expectation::Webhook(e) => match (e.well, e.reviews) {
            _ if !e.logged.is_empty() => "the webhook logs a line about it".to_owned(),
            (true, Some(reviews)) => format!("the webhook is healthy and has counted {reviews} reviews"),
            (false, Some(reviews)) => format!("the webhook has counted {reviews} reviews"),
            (_, None) => "the webhook is healthy".to_owned(),
        },
        Expectation::NoCredential(_) => "the cluster stores no credential".to_owned(),
    }
}

/// Why an expectation is not met.
enum Unmet {
    /// It is, unless somebody who has said nothing yet says otherwise in time.
    SoFar(Difference),
    /// A later look may help.
    NotYet(Difference),
    /// No later look can help.
    Broken(Difference),
}

type Verdict = Result<(), Unmet>;

fn broken(hop: Hop, expected: impl Into<String>, observed: impl Into<String>) -> Unmet {
    Unmet::Broken(Difference::at(hop, expected, observed))
}

fn not_yet(hop: Hop, expected: impl Into<String>, observed: impl Into<String>) -> Unmet {
    Unmet::NotYet(Difference::at(hop, expected, observed))
}

/// The pod as stored, or why there is none.
fn stored<'a>(evidence: &'a PodEvidence, expected: &str) -> Result<&'a Value, Unmet> {
    if let Some(refused) = &evidence.refused {
        let observed = format!("refused by the API server: {} {}", refused.status, refused.message);
        return Err(Unmet::Broken(
            Difference::at(Hop::Admission, expected, observed)
                .advise(advice::refusal(&refused.message, &evidence.sent)),
        ));
    }
    evidence.stored.as_ref().ok_or_else(|| not_yet(Hop::Admission, expected, "the pod was not created"))
}

/// The document of a kind, or why there is none: an earlier hop, the pod's start, or patience.
fn document<'a>(voice: &Voice<'a>, event: &str, hop: Hop, expected: &str) -> Result<&'a Value, Unmet> {
    if let Some(document) = voice.document(event) {
        return Ok(document);
    }
    let condition = voice.pod.condition();
    if voice.finished() {
        let reached = voice.last_document().and_then(|d| d["event"].as_str()).unwrap_or("nothing");
        let hop = if reached == "nothing" { Hop::Pod } else { hop };
        return Err(broken(
            hop,
            expected,
            format!("it ended after printing `{reached}` and no `{event}`; {condition}"),
        ));
    }
    Err(not_yet(Hop::Pod, expected, format!("not reported by the pod yet; {condition}")))
}

/// The strings at a path of a document, for comparison and display.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| if value.is_null() { "absent".to_owned() } else { value.to_string() }, str::to_owned)
}

/// Compares one field; where the two are alike, it is told where they differ.
fn same(hop: Hop, what: &str, expected: &str, observed: &str) -> Verdict {
    if expected == observed {
        return Ok(());
    }
    let place = differs::differs(expected, observed).map(|place| format!(" ({place})")).unwrap_or_default();
    Err(broken(hop, format!("{what} = {expected}"), format!("{observed}{place}")))
}

/// What the identity provider recorded of exchanges with the pod's token, or the vaults of access tokens that it was granted.
fn recorded<'a>(pod: &'a PodEvidence, plane: &'a str) -> impl Iterator<Item = &'a Value> {
    let nameless = |record: &Value| record["plane"] == "vault" && record["principal"]["uti"].is_null();
    pod.exchanges.iter().filter(move |record| record["plane"] == plane && !nameless(record))
}

#[cfg(test)]
mod liars;
#[cfg(test)]
mod tests;
