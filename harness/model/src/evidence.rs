//! Facts seen, each from one place in the world. No judgement.

mod facts;
mod run;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use facts::{Credential, Facts, Principal, Right, RightKind};
pub use run::{PrintedSecret, RunEvidence};

/// What was seen of one pod, or of the pods that a workload made.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PodEvidence {
    /// The pod as we sent it; of a workload's pod, the template.
    pub sent: Value,
    /// The images of the containers that were sent, as the scenario names them.
    pub images: BTreeMap<String, String>,
    /// The workload that makes the pods, where one does: kind and name.
    pub workload: Option<(String, String)>,
    /// The pods of the workload that count, each with evidence of its own.
    pub replicas: Vec<PodEvidence>,
    /// How many pods the workload is to have.
    pub wanted: usize,
    /// Why the workload has no pods, in the words of the cluster.
    pub unmade: Vec<String>,
    /// Its account as it was just before the pod was created.
    pub account: Option<Value>,
    /// How often we had it begin another round. What it says in a round that was begun for less counts no longer.
    pub asked: usize,
    /// Whether there is no pod behind it: an exchange that the harness made itself.
    pub own: bool,
    /// The tenant that an exchange of the harness itself asked, where it is not the target's.
    pub tenant: Option<String>,
    /// The pod as the API server first stored it.
    pub stored: Option<Value>,
    /// The API server's refusal.
    pub refused: Option<RefusalEvidence>,
    /// The pod as last seen.
    pub latest: Option<Value>,
    /// What its containers printed: each container in the order of the pod, each run of it from the first.
    pub runs: Vec<RunEvidence>,
    /// Events about it.
    pub events: Vec<EventEvidence>,
    /// What webhooks were asked about it and what they answered, where the target can tell.
    pub admission: Vec<Value>,
    /// What the identity provider and the vaults saw of it, where the target can tell; and what the case's vaults answered
    /// to who did not say who they are.
    pub exchanges: Vec<Value>,
}

impl PodEvidence {
    /// What the node lacked to run the pod as it is: then what the pod did not do is nobody's fault who is judged.
    pub fn fault_of_node(&self) -> Option<String> {
        const REASONS: [&str; 4] = ["FailedCreatePodSandBox", "FailedToWriteLog", "Evicted", "NodeNotReady"];
        if let Some(why) = self.replicas.iter().find_map(PodEvidence::fault_of_node) {
            return Some(why);
        }
        let event = self.events.iter().find(|event| REASONS.contains(&event.reason.as_str()));
        if let Some(event) = event {
            return Some(format!("{}: {}", event.reason, event.message));
        }
        let latest = self.latest.as_ref()?;
        let all = ["initContainerStatuses", "containerStatuses"].into_iter();
        let mut waiting = all
            .flat_map(|list| latest["status"][list].as_array().into_iter().flatten())
            .map(|status| &status["state"]["waiting"]);
        let waiting = waiting.find(|waiting| waiting["reason"] == "CreateContainerError")?;
        Some(format!("CreateContainerError: {}", waiting["message"].as_str().unwrap_or_default()))
    }
}

/// What was seen of the cluster beside its pods, for one expectation.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClusterEvidence {
    /// The object that is asked for.
    pub object: Option<Value>,
    /// Events about it.
    pub events: Vec<EventEvidence>,
    /// The discovery document, or why there is none.
    pub discovery: Option<Result<Value, String>>,
    /// The published keys, or why there are none.
    pub keys: Option<Result<Value, String>>,
    /// Header and claims of a token that the cluster issues now.
    pub issued: Option<(Value, Value)>,
    /// The status of a TokenReview.
    pub review: Option<Value>,
    /// Whether the cluster says that an account may do what is asked, and why.
    pub access: Option<(bool, String)>,
    /// Status and `WWW-Authenticate` of a vault's answer to nobody.
    pub challenge: Option<(u16, String)>,
    /// What each pod of the webhook says of itself.
    pub webhook: Vec<WebhookEvidence>,
    /// What the webhook's pods have written.
    pub webhook_log: String,
    /// Places where a credential was found.
    pub credentials: Vec<String>,
    /// How many objects were looked through.
    pub objects: usize,
}

/// What a pod of the webhook says of itself, or why it could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct WebhookEvidence {
    /// The pod's name.
    pub pod: String,
    /// Status and text of `/healthz`.
    pub health: Result<(u16, String), String>,
    /// Status and text of `/readyz`.
    pub readiness: Result<(u16, String), String>,
    /// How many reviews of the case's namespace its metrics count.
    pub reviews: Result<u64, String>,
    /// Why that is none, where the metric or its label is not there.
    pub uncounted: Option<String>,
}

/// A review of a pod that the webhook under test answered.
#[derive(Debug, Clone, PartialEq)]
pub struct AdmissionEvidence {
    /// The namespace that the pod is made in.
    pub namespace: String,
    /// The pod as the webhook was shown it.
    pub sent: Value,
    /// The account that it runs as, as it is after the review; `None` where there is none.
    pub account: Option<Value>,
    /// What became of it.
    pub answered: Answered,
    /// Namespace and name of the Service by which the webhook was reached.
    pub service: Option<(String, String)>,
}

/// What the webhook wrote and counted while a case went on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookWords {
    /// The case's namespace.
    pub namespace: String,
    /// What is in its log and must not be, by its pods.
    pub leaks: BTreeMap<String, Vec<String>>,
    /// How many reviews of the namespace it counted, and how many it answered; `None` where one of them is not known.
    pub counted: Option<(u64, u64)>,
    /// Why none is counted, where that can be told.
    pub uncounted: Option<String>,
}

/// What became of a review.
#[derive(Debug, Clone, PartialEq)]
pub enum Answered {
    /// The pod with the answer's patch applied.
    Admitted(Value),
    /// A refusal, with the webhook's own words.
    Refused(RefusalEvidence),
    /// No usable answer.
    Failed(String),
}

impl AdmissionEvidence {
    /// The pod's name, or what it will be made of.
    pub fn shown_name(&self) -> String {
        let text = |field: &str| self.sent["metadata"][field].as_str().filter(|text| !text.is_empty());
        text("name").map(str::to_owned).or(text("generateName").map(|prefix| format!("{prefix}…"))).unwrap_or_default()
    }
}

/// A refusal by the API server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RefusalEvidence {
    /// HTTP status.
    pub status: u16,
    /// Reason word, often empty for webhooks.
    pub reason: String,
    /// The message.
    pub message: String,
}

/// An event about a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EventEvidence {
    /// `Normal` or `Warning`.
    pub kind: String,
    /// Reason word.
    pub reason: String,
    /// The message.
    pub message: String,
}

impl PodEvidence {
    /// The pods that an expectation about it speaks of.
    pub fn pods(&self) -> Vec<&PodEvidence> {
        if self.workload.is_some() { self.replicas.iter().collect() } else { vec![self] }
    }

    /// The pod's name.
    pub fn name(&self) -> &str {
        let pod = self.stored.as_ref().unwrap_or(&self.sent);
        pod["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// The runs of a container, from the first that was seen.
    pub fn runs_of<'a>(&'a self, container: &'a str) -> impl Iterator<Item = &'a RunEvidence> {
        self.runs.iter().filter(move |run| run.container == container)
    }

    /// A container's status as last seen.
    pub fn status_of(&self, container: &str) -> Option<&Value> {
        let latest = self.latest.as_ref()?;
        let lists = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"];
        let mut all = lists.iter().flat_map(|list| latest["status"][list].as_array().into_iter().flatten());
        all.find(|status| status["name"] == container)
    }

    /// The phase as last seen.
    pub fn phase(&self) -> &str {
        self.latest.as_ref().and_then(|pod| pod["status"]["phase"].as_str()).unwrap_or("unknown")
    }

    /// Whether nothing that it says or is can change any more.
    pub fn is_over(&self) -> bool {
        match &self.workload {
            None => self.refused.is_some() || matches!(self.phase(), "Succeeded" | "Failed"),
            // A workload may make another pod at any time.
            Some(_) => false,
        }
    }

    /// Why its containers wait or how they ended, in a phrase.
    pub fn condition(&self) -> String {
        let Some(latest) = &self.latest else { return "never seen".to_owned() };
        let mut phrases = vec![format!("phase {}", self.phase())];
        for list in ["initContainerStatuses", "containerStatuses"] {
            for status in latest["status"][list].as_array().into_iter().flatten() {
                let name = status["name"].as_str().unwrap_or("?");
                for (state, detail) in status["state"].as_object().into_iter().flatten() {
                    let reason = detail["reason"].as_str().unwrap_or_default();
                    let message = detail["message"].as_str().unwrap_or_default();
                    let code = detail["exitCode"].as_i64().map(|code| format!(" exit {code}")).unwrap_or_default();
                    phrases.push(format!("{name} {state} {reason}{code} {message}").trim_end().to_owned());
                }
            }
        }
        for condition in latest["status"]["conditions"].as_array().into_iter().flatten() {
            if condition["type"] == "PodScheduled" && condition["status"] == "False" {
                let word = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
                phrases.push(format!("{}: {}", word("reason"), word("message")));
            }
        }
        for event in self.events.iter().filter(|event| event.kind == "Warning") {
            phrases.push(format!("{}: {}", event.reason, event.message));
        }
        phrases.join("; ")
    }
}
