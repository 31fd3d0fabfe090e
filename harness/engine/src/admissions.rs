//! Every admission of a case, compared as the case goes: what the webhook under test made of each pod, those of workloads
//! and those that no expectation speaks of included.

mod trial;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use serde_json::Value;
use wi_model::capability::Capability;
use wi_model::evidence::{AdmissionEvidence, Answered, Facts, RefusalEvidence};
use wi_model::judge;
use wi_model::located::{Located, Position};
use wi_model::mutation::Settings;
use wi_model::scenario::{ClusterState, Scenario, Step, WebhookState};
use wi_model::verdict::Difference;

use crate::act::Pods;
use crate::cluster::sentence;
use crate::provision::Provisioned;
use crate::session::Session;
use crate::webhook::WEBHOOK;
use trial::Trial;

/// What was compared so far.
#[derive(Default)]
pub(crate) struct Admissions {
    /// Reviews that were looked at, by their uid.
    seen: BTreeSet<String>,
    compared: usize,
    /// Pods that were compared by what dry runs of the API server make of them.
    tried: usize,
    /// Pods of which it cannot be told what the webhook made of them, and why.
    untold: Vec<String>,
    /// How many the webhook answered, by namespace.
    answered: BTreeMap<String, u64>,
    /// Where the scenario made the pod, and what is otherwise than required.
    differences: Vec<(Position, Difference)>,
}

impl Admissions {
    /// Leaves out what came before the case, where it shares its namespace with one before it.
    pub(crate) async fn begin(&mut self, session: &Session, ready: &Provisioned) -> Result<(), String> {
        if ready.scenario.given.namespace.is_some() {
            let before = session.cluster.admission_journal(&ready.namespace).await?;
            self.seen.extend(before.iter().map(uid));
        }
        Ok(())
    }

    /// Compares what was admitted since the last look with what is required, by the accounts as they are now.
    pub(crate) async fn look(
        &mut self,
        session: &Session,
        ready: &Provisioned,
        pods: &Pods,
        at: Position,
    ) -> Result<(), String> {
        if !session.target.capabilities.contains(&Capability::AdmissionJournal) {
            return self.try_pods(session, ready, pods, at).await;
        }
        let mut namespaces: BTreeSet<&str> = pods.keys().map(|(namespace, _)| namespace.as_str()).collect();
        namespaces.insert(&ready.namespace);
        let mut accounts = BTreeMap::new();
        for namespace in namespaces {
            for entry in session.cluster.admission_journal(namespace).await? {
                if !self.seen.insert(uid(&entry)) || !of_the_webhook(&entry, session) {
                    continue;
                }
                if entry["status"] == 200 {
                    *self.answered.entry(namespace.to_owned()).or_default() += 1;
                }
                let Some(mut review) = decoded(&entry) else { continue };
                if matches!(review.answered, Answered::Failed(_)) && touches_the_webhook(&ready.scenario) {
                    continue;
                }
                let account = account_name(&review.sent);
                let key = (review.namespace.clone(), account);
                if !accounts.contains_key(&key) {
                    let found = session.cluster.get("v1", "ServiceAccount", Some(&key.0), &key.1).await;
                    accounts.insert(key.clone(), found.map_err(|error| sentence(&error))?);
                }
                review.account = accounts.get(&key).cloned().flatten();
                let settings = session.webhook_settings(review.service.as_ref(), &ready.facts).await;
                self.compared += 1;
                if let Some(difference) = judge::judge_every_admission(&review, &settings, &ready.facts) {
                    self.differences.push((at, difference));
                }
            }
        }
        Ok(())
    }

    /// Compares the pods and templates that were made since the last look, where no record tells what the webhook answered.
    async fn try_pods(
        &mut self,
        session: &Session,
        ready: &Provisioned,
        pods: &Pods,
        at: Position,
    ) -> Result<(), String> {
        if !session.target.capabilities.contains(&Capability::Webhook) || touches_the_webhook(&ready.scenario) {
            return Ok(());
        }
        let crowded = has_a_policy(&ready.scenario);
        for ((namespace, name), pod) in pods.iter().filter(|(_, pod)| !pod.own) {
            let refused = pod.refused.as_ref().map(|refused| refused.message.as_str()).unwrap_or_default();
            let uid = pod.stored.as_ref().and_then(|stored| stored["metadata"]["uid"].as_str()).unwrap_or_default();
            if !self.seen.insert(format!("{namespace}/{name} {uid} {refused}")) {
                continue;
            }
            if crowded {
                self.untold.push(format!("{name}: another webhook of the case may change it too"));
                continue;
            }
            match trial::compare(session, ready, (namespace, name), pod).await? {
                Trial::Unasked => {}
                Trial::Untold(why) => self.untold.push(why),
                Trial::Compared(difference) => {
                    self.tried += 1;
                    self.differences.extend(difference.map(|difference| (at, difference)));
                }
            }
        }
        Ok(())
    }

    /// What was compared, as a sentence says it; `None` where nothing was.
    pub(crate) fn compared(&self) -> Option<String> {
        match (self.compared, self.tried) {
            (0, 0) => None,
            (0, pods) => {
                Some(format!("{pods} pods or templates, compared by dry runs: the target has no admission journal"))
            }
            (reviews, _) => Some(format!("{reviews} reviews")),
        }
    }

    /// Pods of which it cannot be told what the webhook made of them, and why.
    pub(crate) fn untold(&self) -> &[String] {
        &self.untold
    }

    /// How many reviews of the case's namespace the webhook has answered; `None` where that cannot be told, because the
    /// cluster keeps no record, the namespace was another case's before, or the case itself changes who answers.
    pub(crate) fn answered(&self, session: &Session, ready: &Provisioned) -> Option<u64> {
        let told = session.target.capabilities.contains(&Capability::AdmissionJournal)
            && ready.scenario.given.namespace.is_none()
            && !touches_the_webhook(&ready.scenario);
        told.then(|| self.answered.get(&ready.namespace).copied().unwrap_or_default())
    }

    /// What was found since this was last asked; pods that are alike are told once.
    pub(crate) fn take(&mut self) -> Vec<(Position, Difference)> {
        let mut told: Vec<(Position, Difference, usize)> = Vec::new();
        for (at, difference) in self.differences.drain(..) {
            let same =
                |known: &Difference| known.observed == difference.observed && known.changes == difference.changes;
            match told.iter_mut().find(|(_, known, _)| same(known)) {
                Some((_, _, more)) => *more += 1,
                None => told.push((at, difference, 0)),
            }
        }
        let told = told.into_iter().map(|(at, mut difference, more)| {
            if more > 0 {
                difference.observed.push_str(&format!(" (and likewise of {more} more)"));
            }
            (at, difference)
        });
        told.collect()
    }
}

/// Whether what comes before a step must be compared first: the step may change an account, or take the webhook away.
pub(crate) fn must_look_before(step: &Step) -> bool {
    match step {
        Step::Apply(_) | Step::Patch(_) | Step::Delete(_) | Step::RestartPod(_) | Step::SetWebhook(_) => true,
        Step::CreatePod(_)
        | Step::AskAgain(_)
        | Step::AskToken(_)
        | Step::Check(_)
        | Step::AdvanceTime(_)
        | Step::AdvanceClusterTime(_)
        | Step::SetIssuer(_)
        | Step::SetApiServer(_)
        | Step::SetSecret(_)
        | Step::RotateClientSecret(_)
        | Step::Trust(_)
        | Step::Distrust(_)
        | Step::Grant(_)
        | Step::Break(_) => false,
    }
}

/// Whether a scenario itself keeps the webhook from answering.
fn touches_the_webhook(scenario: &Scenario) -> bool {
    let set = |step: &Located<Step>| matches!(step.value, Step::SetWebhook(_) | Step::SetApiServer(_));
    scenario.given.webhook != WebhookState::Installed || scenario.when.iter().any(set)
}

/// Whether a webhook of the case's own looks at pods.
fn has_a_policy(scenario: &Scenario) -> bool {
    let on_pods = |state: &Located<ClusterState>| match &state.value {
        ClusterState::Policy(policy) => policy.on.value == "pods",
        ClusterState::Namespace(_) | ClusterState::ServiceAccount(_) | ClusterState::Manifests(_) => false,
    };
    scenario.given.cluster.iter().any(on_pods)
}

fn uid(entry: &Value) -> String {
    entry["request"]["request"]["uid"].as_str().unwrap_or_default().to_owned()
}

fn of_the_webhook(entry: &Value, session: &Session) -> bool {
    let registered = session.target.webhook.registration.as_ref();
    entry["webhook"] == WEBHOOK
        && registered.is_none_or(|name| entry["configuration"] == name.as_str())
        && entry["resource"] == "pods"
        && entry["request"]["request"]["operation"] == "CREATE"
        && entry["request"]["request"]["subResource"].is_null()
}

fn account_name(pod: &Value) -> String {
    let named = pod["spec"]["serviceAccountName"].as_str().filter(|name| !name.is_empty());
    named.unwrap_or("default").to_owned()
}

/// An entry of the journal, with the patch of the answer applied to the pod as the webhook was shown it.
fn decoded(entry: &Value) -> Option<AdmissionEvidence> {
    let sent = entry["request"]["request"]["object"].clone();
    if !sent.is_object() {
        return None;
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let response = &entry["response"]["response"];
    let answered = if let Some(why) = entry["error"].as_str() {
        Answered::Failed(why.to_owned())
    } else if response["allowed"] == true {
        match &response["patch"] {
            Value::String(patch) => match patched(&sent, patch) {
                Ok(pod) => Answered::Admitted(pod),
                Err(why) => Answered::Failed(format!("its patch cannot be applied: {why}")),
            },
            _ => Answered::Admitted(sent.clone()),
        }
    } else {
        let status = &response["status"];
        Answered::Refused(RefusalEvidence {
            status: status["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or_default(),
            reason: text(&status["reason"]),
            message: text(&status["message"]),
        })
    };
    let host = url::Url::parse(entry["url"].as_str().unwrap_or_default()).ok();
    let host = host.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
    let service = match host.split('.').collect::<Vec<_>>().as_slice() {
        [name, namespace, "svc"] => Some(((*namespace).to_owned(), (*name).to_owned())),
        _ => None,
    };
    Some(AdmissionEvidence { namespace: text(&entry["namespace"]), sent, account: None, answered, service })
}

fn patched(pod: &Value, patch: &str) -> Result<Value, String> {
    let patch = base64::engine::general_purpose::STANDARD.decode(patch).map_err(|error| error.to_string())?;
    let patch: json_patch::Patch = serde_json::from_slice(&patch).map_err(|error| error.to_string())?;
    let mut pod = pod.clone();
    json_patch::patch(&mut pod, &patch).map_err(|error| error.to_string())?;
    Ok(pod)
}

impl Session {
    /// What the webhook behind a Service was told at its start, as its pod says. Where that cannot be read, what decides
    /// between nothing but texts is left open.
    async fn webhook_settings(&self, service: Option<&(String, String)>, facts: &Facts) -> Settings {
        let untold = || Settings::untold(&facts.tenant_id, &facts.authority, &facts.kubernetes);
        let Some((namespace, name)) = service else { return untold() };
        let mut known = self.webhook_values.lock().await;
        let key = (namespace.clone(), name.clone());
        if !known.contains_key(&key)
            && let Ok(Some(values)) = self.cluster.started_with(namespace, name).await
        {
            known.insert(key.clone(), values);
        }
        known
            .get(&key)
            .map_or_else(untold, |values| Settings::of(values, &facts.tenant_id, &facts.authority, &facts.kubernetes))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(response: Value) -> Value {
        json!({
            "webhook": WEBHOOK, "resource": "pods", "namespace": "wi-1", "error": null,
            "url": "https://hook.system.svc:443/mutate?timeout=10s",
            "request": { "request": { "uid": "u", "operation": "CREATE", "object": { "metadata": { "name": "p" } } } },
            "response": { "response": response },
        })
    }

    #[test]
    fn an_answer_is_the_pod_with_its_patch_or_a_refusal_or_nothing_usable() {
        let patch = |operations: Value| base64::engine::general_purpose::STANDARD.encode(operations.to_string());
        let adds = patch(json!([{ "op": "add", "path": "/spec", "value": {} }]));
        let read = |entry: Value| decoded(&entry).unwrap();
        let admitted = read(entry(json!({ "allowed": true, "patch": adds })));
        assert_eq!(admitted.answered, Answered::Admitted(json!({ "metadata": { "name": "p" }, "spec": {} })));
        assert_eq!(admitted.service, Some(("system".to_owned(), "hook".to_owned())));
        let unchanged = read(entry(json!({ "allowed": true })));
        assert_eq!(unchanged.answered, Answered::Admitted(unchanged.sent.clone()));
        let refused = read(entry(json!({ "allowed": false, "status": { "code": 400, "message": "no" } })));
        assert!(matches!(refused.answered, Answered::Refused(RefusalEvidence { status: 400, .. })));
        let nowhere = patch(json!([{ "op": "remove", "path": "/nowhere" }]));
        assert!(matches!(read(entry(json!({ "allowed": true, "patch": nowhere }))).answered, Answered::Failed(_)));
        let mut failed = entry(Value::Null);
        failed["error"] = "EOF".into();
        assert_eq!(read(failed).answered, Answered::Failed("EOF".to_owned()));
    }
}
