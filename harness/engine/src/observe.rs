//! The world into evidence. Judges nothing.

mod cluster;
mod webhook;

use std::collections::BTreeSet;

use serde_json::Value;
use wi_model::evidence::PodEvidence;
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
}

impl Observer<'_> {
    /// Looks at everything about a pod that may have changed since it was created.
    ///
    /// # Errors
    /// Something could not be looked at.
    pub(crate) async fn look(&self, namespace: &str, pod: &mut PodEvidence) -> Result<(), String> {
        if pod.own {
            let tokens: Vec<String> =
                pod.documents.iter().filter_map(|document| document["sha256"].as_str().map(str::to_owned)).collect();
            pod.exchanges = self.exchanges(namespace, "", &tokens).await?;
            return Ok(());
        }
        if let (None, Some(workload)) = (&pod.stored, pod.workload.clone()) {
            let owners = self.owners(namespace, &workload).await?;
            pod.stored = self.pod_of(namespace, &owners).await?;
            pod.not_made = match &pod.stored {
                Some(_) => None,
                None => self.not_made(namespace, &owners).await?,
            };
        }
        let Some(name) = pod.stored.as_ref().and_then(|stored| stored["metadata"]["name"].as_str()).map(str::to_owned)
        else {
            return Ok(());
        };
        let name = name.as_str();
        let fault = |error: kube::Error| sentence(&error);
        // The journal is read after the log: what a pod says it did is then already recorded.
        if let Some(latest) = self.cluster.get("v1", "Pod", Some(namespace), name).await.map_err(fault)? {
            pod.latest = Some(latest);
        }
        self.logs(namespace, name, pod).await?;
        pod.exchanges = self.exchanges(namespace, name, &[]).await?;
        Ok(())
    }

    /// Looks at what explains a pod: events, and what webhooks were asked.
    pub(crate) async fn explain(&self, namespace: &str, pod: &mut PodEvidence) -> Result<(), String> {
        if pod.own {
            return Ok(());
        }
        let shown = pod.stored.as_ref().unwrap_or(&pod.sent);
        let name = shown["metadata"]["name"].as_str().unwrap_or_default().to_owned();
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

    /// A workload, or what stands between it and its pods.
    async fn owners(&self, namespace: &str, (kind, name): &(String, String)) -> Result<Vec<(String, String)>, String> {
        let api = |kind: &str| match kind {
            "ReplicationController" => "v1",
            "Job" | "CronJob" => "batch/v1",
            _ => "apps/v1",
        };
        let mut owners = vec![(kind.clone(), name.clone())];
        if let Some(between) = match kind.as_str() {
            "Deployment" => Some("ReplicaSet"),
            "CronJob" => Some("Job"),
            _ => None,
        } {
            let made =
                self.cluster.all(api(between), between, Some(namespace)).await.map_err(|error| sentence(&error))?;
            let made = made.iter().filter(|object| owned(object, &owners));
            let names: Vec<_> =
                made.filter_map(|object| object["metadata"]["name"].as_str()).map(str::to_owned).collect();
            owners = names.into_iter().map(|name| (between.to_owned(), name)).collect();
        }
        Ok(owners)
    }

    /// What the API server said when pods of these were to be made.
    async fn not_made(&self, namespace: &str, owners: &[(String, String)]) -> Result<Option<String>, String> {
        for (_, name) in owners {
            let events = self.cluster.events(namespace, name).await.map_err(|error| sentence(&error))?;
            if let Some(failed) = events.into_iter().rfind(|event| event.reason == "FailedCreate") {
                return Ok(Some(format!("{}: {}", failed.reason, failed.message)));
            }
        }
        Ok(None)
    }

    /// A pod that one of these made: the first by name.
    async fn pod_of(&self, namespace: &str, owners: &[(String, String)]) -> Result<Option<Value>, String> {
        let mut pods = self.cluster.all("v1", "Pod", Some(namespace)).await.map_err(|error| sentence(&error))?;
        pods.retain(|pod| owned(pod, owners));
        pods.sort_by_key(|pod| pod["metadata"]["name"].to_string());
        Ok(pods.into_iter().next())
    }

    async fn logs(&self, namespace: &str, name: &str, pod: &mut PodEvidence) -> Result<(), String> {
        let started = started_containers(pod.latest.as_ref());
        pod.documents.clear();
        pod.printed.clear();
        for container in started {
            let raw = self.cluster.log(namespace, name, &container).await.map_err(|error| sentence(&error))?;
            pod.read_log(&raw);
            pod.logs.insert(container, self.redactor.text(&raw));
        }
        Ok(())
    }

    /// What the identity provider saw of this pod, and what vaults saw of the tokens that it was granted.
    /// Or, of an exchange of our own, what it saw of the tokens with these hashes.
    async fn exchanges(&self, namespace: &str, name: &str, tokens: &[String]) -> Result<Vec<Value>, String> {
        let journal = self.azure.journal(self.journal_since).await.map_err(|error| error.to_string())?;
        let mut granted = BTreeSet::new();
        let mut mine = Vec::new();
        for entry in journal {
            let assertion = &entry["request"]["form"]["client_assertion"];
            let kubernetes = &assertion["claims"]["kubernetes.io"];
            let of_pod = (kubernetes["namespace"] == namespace && kubernetes["pod"]["name"] == name)
                || tokens.iter().any(|token| assertion["sha256"] == token.as_str());
            let of_token = entry["principal"]["uti"].as_str().is_some_and(|uti| granted.contains(uti));
            if of_pod && let Some(uti) = entry["response"]["body"]["access_token"]["claims"]["uti"].as_str() {
                granted.insert(uti.to_owned());
            }
            if of_pod || of_token {
                mine.push(entry);
            }
        }
        Ok(mine)
    }
}

fn owned(object: &Value, owners: &[(String, String)]) -> bool {
    let mut references = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    references.any(|owner| owners.iter().any(|(kind, name)| owner["kind"] == **kind && owner["name"] == **name))
}

/// Containers that have printed or may have, init containers first.
fn started_containers(pod: Option<&Value>) -> Vec<String> {
    let Some(pod) = pod else { return Vec::new() };
    ["initContainerStatuses", "containerStatuses"]
        .iter()
        .flat_map(|list| pod["status"][list].as_array().into_iter().flatten())
        .filter(|status| status["state"]["waiting"].is_null() || !status["lastState"]["terminated"].is_null())
        .filter_map(|status| status["name"].as_str().map(str::to_owned))
        .collect()
}
