//! One look at what an expectation speaks of, and its judgement.

use tokio::sync::Mutex;
use wi_model::evidence::PodEvidence;
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
                Ok(judge::judge_cluster(self.expectation, &seen, &self.ready.facts))
            }
        }
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
        match judgement {
            Judgement::NotYet(_) if self.comes_again(pod) => {
                self.ask_again(key, pod).await?;
                Ok(judgement)
            }
            Judgement::Broken(difference) if self.comes_again(pod) && self.is_patient() => {
                self.ask_again(key, pod).await?;
                Ok(Judgement::NotYet(difference))
            }
            Judgement::NotYet(_) if !matches!(pod.phase(), "Succeeded" | "Failed") => {
                // Events say why a pod does not start; they are asked for only while it matters.
                let _ = self.observer.explain(&key.0, pod).await;
                Ok(judge::judge(self.expectation, pod, &self.ready.facts))
            }
            judgement => Ok(judgement),
        }
    }

    /// Whether what it speaks of may change after the pod was created.
    fn moves(&self, pod: &PodEvidence) -> bool {
        let admission = match self.expectation {
            Expectation::Admission(e) => !matches!(e.outcome, AdmissionOutcome::Refused(_)),
            Expectation::Pod(_) => true,
            _ => return true,
        };
        admission && pod.workload.is_some() && pod.stored.is_none()
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
        tells && (pod.asked > 0 || pod.own) && pod.document("end").is_some()
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
                pod.documents = act::present(&self.session.azure, &self.ready.facts, asked, token).await?;
            }
            return Ok(());
        }
        act::ask_again(&self.session.cluster, namespace, pod).await
    }
}
