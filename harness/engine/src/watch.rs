//! One look at what an expectation speaks of, and its judgement.

use tokio::sync::Mutex;
use wi_model::evidence::{PodEvidence, RunEvidence};
use wi_model::judge;
use wi_model::scenario::expectation::Subject;
use wi_model::scenario::{AdmissionOutcome, Expectation};
use wi_model::verdict::{Difference, Hop, Judgement};

use crate::act::{self, Pods};
use crate::observe::Observer;
use crate::provision::Provisioned;
use crate::session::Session;

/// An expectation, and where to look for what it speaks of.
pub(crate) struct Watch<'a> {
    pub(crate) expectation: &'a Expectation,
    pub(crate) ready: &'a Provisioned,
    pub(crate) observer: &'a Observer<'a>,
    pub(crate) pods: &'a Mutex<Pods>,
    pub(crate) session: &'a Session,
    /// Whether it is waited for, and not only looked at once because an earlier one has failed.
    pub(crate) waits: bool,
}

impl Watch<'_> {
    /// Looks once.
    ///
    /// # Errors
    /// It could not be looked at; a later look may help.
    pub(crate) async fn look(&self) -> Result<Judgement, String> {
        match self.expectation.subject() {
            Subject::Pod(name, namespace) => {
                let key = (namespace.unwrap_or(&self.ready.namespace).to_owned(), name.to_owned());
                self.look_at_pod(&key).await
            }
            Subject::Cluster => {
                let seen = self.observer.look_at_cluster(self.expectation, self.ready).await?;
                let judgement = judge::judge_cluster(self.expectation, &seen, &self.ready.facts);
                Ok(open(judgement, self.expectation, None, self.time_is_given()))
            }
        }
    }

    /// What is told of something that does not hold, with what is known of the pods that it speaks of.
    pub(crate) async fn explain(&self, told: Difference) -> Difference {
        let (kind, name, namespace) = match self.expectation {
            Expectation::Object(e) if !e.absent => (e.kind.value.as_str(), &e.name.value, &e.namespace),
            _ => return told,
        };
        let namespace = namespace.as_ref().map_or(&self.ready.namespace, |namespace| &namespace.value);
        let named = if kind == "Pod" { name.clone() } else { format!("{}/{name}", kind.to_lowercase()) };
        let key = (namespace.clone(), named);
        let mut pods = self.pods.lock().await;
        let Some(pod) = pods.get_mut(&key) else { return told };
        // What cannot be looked at any more is left as it was seen last.
        let _ = self.observer.look(&key.0, pod).await;
        let _ = self.observer.explain(&key.0, pod).await;
        judge::explain(told, pod)
    }

    async fn look_at_pod(&self, key: &(String, String)) -> Result<Judgement, String> {
        let mut pods = self.pods.lock().await;
        let Some(pod) = pods.get_mut(key) else {
            let expected = format!("pod {} in namespace {}", key.1, key.0);
            return Ok(Judgement::Broken(Difference::at(Hop::SetUp, expected, "no step created it there")));
        };
        if self.moves(pod) {
            self.observer.look(&key.0, pod).await?;
        }
        let judgement = judge::judge(self.expectation, pod, &self.ready.facts);
        let unmet = matches!(judgement, Judgement::NotYet(_) | Judgement::Broken(_));
        let again = unmet && self.waits && self.comes_again(pod);
        match judgement {
            Judgement::NotYet(_) if again => {
                self.ask_again(key, pod).await?;
                Ok(judgement)
            }
            Judgement::Broken(difference) if again && self.is_patient() => {
                self.ask_again(key, pod).await?;
                Ok(Judgement::NotYet(difference))
            }
            Judgement::NotYet(_) if !pod.is_over() => {
                // Events say why a pod does not start; they are asked for only while it matters.
                let _ = self.observer.explain(&key.0, pod).await;
                Ok(judge::judge(self.expectation, pod, &self.ready.facts))
            }
            judgement => Ok(open(judgement, self.expectation, Some(pod), self.time_is_given())),
        }
    }

    /// Whether what it speaks of may change after the pod was created.
    fn moves(&self, pod: &PodEvidence) -> bool {
        let admission = match self.expectation {
            Expectation::Admission(e) => !matches!(e.outcome, AdmissionOutcome::Refused(_)),
            Expectation::Pod(_) => true,
            _ => return true,
        };
        admission && pod.workload.is_some()
    }

    /// Whether the pod has said all that it had to say in this round and can be asked for another.
    fn comes_again(&self, pod: &PodEvidence) -> bool {
        let tells = matches!(
            self.expectation,
            Expectation::Token(_)
                | Expectation::Exchange(_)
                | Expectation::Metadata(_)
                | Expectation::SecretRead(_)
                | Expectation::Log(_)
        );
        tells && (pod.own || (pod.asked > 0 && judge::has_ended_its_round(pod)))
    }

    /// Whether a definite answer is not taken as the last word: the scenario gives it time, or nobody waits for another.
    fn time_is_given(&self) -> bool {
        !self.waits || self.expectation.within().is_some()
    }

    /// Whether an answer that is not the wanted one may still become it: where the scenario gives it time, and where what is
    /// written in Azure takes its time to be known, as in any whose own record we cannot read.
    fn is_patient(&self) -> bool {
        self.expectation.within().is_some() || !self.ready.facts.request_journal
    }

    async fn ask_again(&self, (namespace, name): &(String, String), pod: &mut PodEvidence) -> Result<(), String> {
        if pod.own {
            let (asked, token) = (self.ready.asks.get(name), self.ready.tokens.get(name));
            if let (Some(asked), Some(token)) = (asked, token) {
                let documents = act::present(&self.session.azure, &self.ready.facts, asked, token).await?;
                pod.runs = vec![RunEvidence::own(documents)];
            }
            return Ok(());
        }
        act::ask_again(&self.session.cluster, namespace, pod).await
    }
}

/// Where the scenario gives it time, a definite answer may still become another, as long as anything can change.
fn open(judgement: Judgement, expectation: &Expectation, pod: Option<&PodEvidence>, time_is_given: bool) -> Judgement {
    match judgement {
        Judgement::Broken(difference) if time_is_given && changes(expectation, pod) => Judgement::NotYet(difference),
        judgement => judgement,
    }
}

/// Whether another look may see something else.
fn changes(expectation: &Expectation, pod: Option<&PodEvidence>) -> bool {
    match (expectation, pod) {
        // Whatever a cluster says, it may say something else a moment later.
        (_, None) => true,
        // A pod is admitted once; a workload may make another at any time.
        (Expectation::Admission(_) | Expectation::Pod(_), Some(pod)) => pod.workload.is_some() || pod.stored.is_none(),
        (_, Some(pod)) => !pod.is_over(),
    }
}

#[cfg(test)]
mod words;
