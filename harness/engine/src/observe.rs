//! The world into evidence. Judges nothing.

mod cluster;
mod logs;
mod webhook;
mod words;

use std::collections::BTreeSet;

use serde_json::Value;
use wi_model::evidence::{EventEvidence, PodEvidence};
use wi_model::parse;
use wi_model::redact::Redactor;

use crate::azure::Azure;
use crate::cluster::{Cluster, sentence};

/// Looks at the pods of one case.
pub(crate) struct Observer<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) azure: &'a Azure,
    pub(crate) redactor: &'a Redactor,
    /// The registration of the webhook under test, where it is known.
    pub(crate) registration: Option<&'a str>,
    /// Number of the last entry of the request journal before the case began.
    pub(crate) journal_since: u64,
    /// Hosts of the case's own vaults.
    pub(crate) vaults: Vec<String>,
}

/// The annotation by which a Deployment tells its ReplicaSets' order.
const REVISION: &str = "deployment.kubernetes.io/revision";

impl Observer<'_> {
    /// Looks at everything about a pod, or the pods of a workload, that may have changed since it was created.
    ///
    /// # Errors
    /// Something could not be looked at.
    pub(crate) async fn look(&self, namespace: &str, pod: &mut PodEvidence) -> Result<(), String> {
        if pod.own {
            let documents = pod.runs.iter().flat_map(|run| &run.documents);
            let tokens: Vec<String> =
                documents.filter_map(|document| document["sha256"].as_str().map(str::to_owned)).collect();
            pod.exchanges = self.exchanges(&Asked::With(&tokens)).await?;
            return Ok(());
        }
        match pod.workload.clone() {
            Some(workload) => self.look_at_workload(namespace, pod, &workload).await,
            None => self.look_at_pod(namespace, pod).await,
        }
    }

    async fn look_at_workload(
        &self,
        namespace: &str,
        made: &mut PodEvidence,
        workload: &(String, String),
    ) -> Result<(), String> {
        let (wanted, found) = self.pods_of(namespace, workload).await?;
        made.wanted = wanted;
        let mut known = std::mem::take(&mut made.replicas);
        for object in found {
            let uid = &object["metadata"]["uid"];
            let of_uid =
                |pod: &PodEvidence| pod.stored.as_ref().is_some_and(|stored| stored["metadata"]["uid"] == *uid);
            let mut pod = match known.iter().position(of_uid) {
                Some(index) => known.swap_remove(index),
                None => PodEvidence {
                    sent: made.sent.clone(),
                    images: made.images.clone(),
                    account: made.account.clone(),
                    stored: Some(object),
                    ..PodEvidence::default()
                },
            };
            self.look_at_pod(namespace, &mut pod).await?;
            made.replicas.push(pod);
        }
        Ok(())
    }

    async fn look_at_pod(&self, namespace: &str, pod: &mut PodEvidence) -> Result<(), String> {
        let Some(stored) = &pod.stored else { return Ok(()) };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (name, uid) = (text(&stored["metadata"]["name"]), text(&stored["metadata"]["uid"]));
        if let Some(latest) = self.pod(namespace, &name).await? {
            pod.latest = Some(latest);
        }
        logs::look(&logs::OfPod { observer: self, namespace, name: &name }, self.redactor, pod).await?;
        // The journal is read after the log: what a pod says it did is then already recorded.
        pod.exchanges = self.exchanges(&Asked::By { namespace, name: &name, uid: &uid }).await?;
        Ok(())
    }

    async fn pod(&self, namespace: &str, name: &str) -> Result<Option<Value>, String> {
        self.cluster.get("v1", "Pod", Some(namespace), name).await.map_err(|error| sentence(&error))
    }

    /// Looks at what explains a pod: events, and what webhooks were asked.
    pub(crate) async fn explain(&self, namespace: &str, pod: &mut PodEvidence) -> Result<(), String> {
        if pod.own {
            return Ok(());
        }
        if let Some(workload) = pod.workload.clone() {
            for replica in &mut pod.replicas {
                self.explain_pod(namespace, replica).await?;
            }
            pod.unmade = self.unmade(namespace, &workload).await?;
            return Ok(());
        }
        self.explain_pod(namespace, pod).await
    }

    async fn explain_pod(&self, namespace: &str, pod: &mut PodEvidence) -> Result<(), String> {
        let name = pod.name().to_owned();
        let name = name.as_str();
        pod.events = self.cluster.events(namespace, name).await.map_err(|error| sentence(&error))?;
        let journal = self.cluster.admission_journal(namespace).await?;
        let about = |entry: &Value| {
            let object = &entry["request"]["request"]["object"]["metadata"];
            entry["name"] == name || object["name"] == name
        };
        pod.admission = journal.into_iter().filter(about).collect();
        Ok(())
    }

    /// How many pods a workload is to have, and those of its pods that count: none that is being deleted, of a Deployment
    /// those of its newest ReplicaSet, of a CronJob those of its newest Job, and of a Job none that failed and has a successor.
    async fn pods_of(&self, namespace: &str, (kind, name): &(String, String)) -> Result<(usize, Vec<Value>), String> {
        let fault = |error: kube::Error| sentence(&error);
        let object = self.cluster.get(api(kind), kind, Some(namespace), name).await.map_err(fault)?.unwrap_or_default();
        let number = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
        let wanted = match kind.as_str() {
            "DaemonSet" => number(&object["status"]["desiredNumberScheduled"]).unwrap_or(1),
            "Job" | "CronJob" => 1,
            _ => number(&object["spec"]["replicas"]).unwrap_or(1),
        };
        let mut owner = Some((kind.clone(), name.clone()));
        if let Some(between) = between(kind) {
            let mut made = self.cluster.all(api(between), between, Some(namespace)).await.map_err(fault)?;
            made.retain(|object| owned(object, (kind, name)));
            let newest = made.iter().max_by_key(|object| {
                let revision =
                    object["metadata"]["annotations"][REVISION].as_str().and_then(|text| text.parse::<u64>().ok());
                (revision, object["metadata"]["creationTimestamp"].to_string(), object["metadata"]["name"].to_string())
            });
            owner = newest
                .map(|object| (between.to_owned(), object["metadata"]["name"].as_str().unwrap_or_default().to_owned()));
        }
        let Some((owner_kind, owner_name)) = owner else { return Ok((wanted, Vec::new())) };
        let mut pods = self.cluster.all("v1", "Pod", Some(namespace)).await.map_err(fault)?;
        pods.retain(|pod| owned(pod, (&owner_kind, &owner_name)) && pod["metadata"]["deletionTimestamp"].is_null());
        pods.sort_by_key(|pod| (pod["metadata"]["creationTimestamp"].to_string(), pod["metadata"]["name"].to_string()));
        if owner_kind == "Job" {
            let last = pods.len().saturating_sub(1);
            let mut index = 0..;
            pods.retain(|pod| index.next() == Some(last) || pod["status"]["phase"] != "Failed");
        }
        Ok((wanted, pods))
    }

    /// A workload, and what it makes its pods through.
    async fn makers(&self, namespace: &str, (kind, name): (&str, &str)) -> Result<Vec<(String, String)>, String> {
        let mut makers = vec![(kind.to_owned(), name.to_owned())];
        if let Some(between) = between(kind) {
            let made =
                self.cluster.all(api(between), between, Some(namespace)).await.map_err(|error| sentence(&error))?;
            let names = made.iter().filter(|object| owned(object, (kind, name)));
            let names = names.filter_map(|object| object["metadata"]["name"].as_str());
            makers.extend(names.map(|name| (between.to_owned(), name.to_owned())));
        }
        Ok(makers)
    }

    /// Events about an object, or, of a workload as `deployment/NAME`, about it and about what it makes its pods through.
    pub(super) async fn events_about(&self, namespace: &str, of: &str) -> Result<Vec<EventEvidence>, String> {
        let workload = of.split_once('/').and_then(|(kind, name)| {
            let kind = parse::WORKLOADS.into_iter().find(|known| known.to_lowercase() == kind)?;
            Some((kind, name))
        });
        let makers = match workload {
            Some(workload) => self.makers(namespace, workload).await?.into_iter().map(|(_, name)| name).collect(),
            None => vec![of.to_owned()],
        };
        let mut events = Vec::new();
        for name in makers {
            events.extend(self.cluster.events(namespace, &name).await.map_err(|error| sentence(&error))?);
        }
        Ok(events)
    }

    /// Why a workload has no pods: what its own status says, and the warnings about it and about what it makes them through.
    async fn unmade(&self, namespace: &str, (kind, name): &(String, String)) -> Result<Vec<String>, String> {
        let fault = |error: kube::Error| sentence(&error);
        let mut why = Vec::new();
        for (kind, name) in self.makers(namespace, (kind, name)).await? {
            let object =
                self.cluster.get(api(&kind), &kind, Some(namespace), &name).await.map_err(fault)?.unwrap_or_default();
            for condition in object["status"]["conditions"].as_array().into_iter().flatten() {
                let tells = condition["type"] == "ReplicaFailure" || condition["type"] == "Failed";
                if tells && condition["status"] == "True" {
                    let message = condition["message"].as_str().unwrap_or_default();
                    why.push(format!("{kind} {name}: ReplicaFailure: {message}"));
                }
            }
            let events = self.cluster.events(namespace, &name).await.map_err(fault)?;
            let warnings = events.into_iter().filter(|event| event.kind == "Warning");
            why.extend(warnings.map(|event| format!("{kind} {name}: {}: {}", event.reason, event.message)));
        }
        if kind == "CronJob" && self.pods_of(namespace, &(kind.clone(), name.clone())).await?.1.is_empty() {
            let object =
                self.cluster.get(api(kind), kind, Some(namespace), name).await.map_err(fault)?.unwrap_or_default();
            let schedule = object["spec"]["schedule"].as_str().unwrap_or_default();
            why.push(format!(
                "CronJob {name} makes no Job before its schedule `{schedule}` comes round: let that time go by with `advance-time`"
            ));
        }
        let mut told = BTreeSet::new();
        why.retain(|line| told.insert(line.split_once(": ").map_or(line.clone(), |(_, rest)| rest.to_owned())));
        why.truncate(3);
        Ok(why)
    }

    /// What the identity provider saw of a pod's tokens, or of those with some hashes, and what vaults saw of the access
    /// tokens that it granted to them. What the case's own vaults answered to nobody in particular is among it.
    async fn exchanges(&self, asked: &Asked<'_>) -> Result<Vec<Value>, String> {
        let journal = self.azure.journal(self.journal_since).await.map_err(|error| error.to_string())?;
        let mut granted = BTreeSet::new();
        let mut mine = Vec::new();
        for entry in journal {
            let assertion = &entry["request"]["form"]["client_assertion"];
            let of_asker = asked.holds(assertion);
            let of_token = entry["principal"]["uti"].as_str().is_some_and(|uti| granted.contains(uti));
            if of_asker && let Some(uti) = entry["response"]["body"]["access_token"]["claims"]["uti"].as_str() {
                granted.insert(uti.to_owned());
            }
            let nameless = entry["plane"] == "vault"
                && entry["principal"].is_null()
                && self.vaults.iter().any(|host| entry["host"] == host.as_str());
            if of_asker || of_token || nameless {
                mine.push(entry);
            }
        }
        Ok(mine)
    }
}

/// Whose exchanges are looked for.
enum Asked<'a> {
    /// Those with the tokens of a pod.
    By { namespace: &'a str, name: &'a str, uid: &'a str },
    /// Those with tokens of these hashes.
    With(&'a [String]),
}

impl Asked<'_> {
    fn holds(&self, assertion: &Value) -> bool {
        match self {
            Asked::By { namespace, name, uid } => {
                let kubernetes = &assertion["claims"]["kubernetes.io"];
                let pod = &kubernetes["pod"];
                kubernetes["namespace"] == *namespace && pod["name"] == *name && pod["uid"] == *uid
            }
            Asked::With(tokens) => tokens.iter().any(|token| assertion["sha256"] == token.as_str()),
        }
    }
}

fn api(kind: &str) -> &'static str {
    match kind {
        "ReplicationController" => "v1",
        "Job" | "CronJob" => "batch/v1",
        _ => "apps/v1",
    }
}

/// What a workload makes its pods through.
fn between(kind: &str) -> Option<&'static str> {
    match kind {
        "Deployment" => Some("ReplicaSet"),
        "CronJob" => Some("Job"),
        _ => None,
    }
}

fn owned(object: &Value, (kind, name): (&str, &str)) -> bool {
    let mut references = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    references.any(|owner| owner["kind"] == kind && owner["name"] == name)
}
