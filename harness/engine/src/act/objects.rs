//! Changing and deleting objects, and pods once more.

use serde_json::json;
use wi_model::evidence::PodEvidence;
use wi_model::scenario::{Change, Delete};

use super::pods::AGAIN;
use super::{Done, Stage};
use crate::cluster::{Cluster, Created, sentence};
use crate::lease::Lease;

impl Stage<'_> {
    pub(super) async fn change(&self, change: &Change) -> Result<Done, String> {
        let api_version = change.api_version.as_ref().map_or("v1", |text| text.value.as_str());
        let namespace = change.namespace.as_ref().map_or(self.ready.namespace.as_str(), |text| text.value.as_str());
        let object = (api_version, change.kind.value.as_str(), Some(namespace), change.name.value.as_str());
        let subresource = change.subresource.as_ref().map(|text| text.value.as_str());
        Ok(match self.cluster.change(object, subresource, &change.with.value).await? {
            Created::Stored(_) => Done::Accepted,
            Created::Refused(refused) => Done::Refused(format!("{} {}", change.kind.value, change.name.value), refused),
        })
    }

    pub(super) async fn delete(&self, gone: &Delete) -> Result<Done, String> {
        let api_version = gone.api_version.as_ref().map_or("v1", |text| text.value.as_str());
        let namespace = gone.namespace.as_ref().map_or(self.ready.namespace.as_str(), |text| text.value.as_str());
        let removed = self.cluster.remove(api_version, &gone.kind, Some(namespace), &gone.name).await;
        removed.map(|()| Done::Accepted).map_err(|error| sentence(&error))
    }

    pub(super) async fn restart(&mut self, name: &str, lease: &mut Lease) -> Result<Done, String> {
        let key = (self.ready.namespace.clone(), name.to_owned());
        let Some(before) = self.pods.get(&key) else { return Err(format!("no step created pod {name}")) };
        let (sent, images) = (before.sent.clone(), before.images.clone());
        let removed = self.cluster.remove("v1", "Pod", Some(&key.0), name).await;
        removed.map_err(|error| sentence(&error))?;
        let done = self.create(sent, lease).await?;
        // It was sent as this target needs it; the scenario's names of its images are known from the first time.
        if let Some(pod) = self.pods.get_mut(&key) {
            pod.images = images;
        }
        Ok(done)
    }

    pub(super) async fn ask_again(&mut self, namespace: &str, name: &str) -> Result<Done, String> {
        let key = (namespace.to_owned(), name.to_owned());
        let Some(pod) = self.pods.get_mut(&key) else { return Err(format!("no step created pod {name}")) };
        ask_again(self.cluster, namespace, pod).await.map(|()| Done::Accepted)
    }
}

/// Asks a running program to begin another round, and forgets the rounds before it.
pub(crate) async fn ask_again(cluster: &Cluster, namespace: &str, pod: &mut PodEvidence) -> Result<(), String> {
    let name = pod.sent["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    pod.asked += 1;
    let patch = json!({ "metadata": { "annotations": { AGAIN: pod.asked.to_string() } } });
    match cluster.change(("v1", "Pod", Some(namespace), &name), None, &patch).await? {
        Created::Stored(_) => Ok(()),
        Created::Refused(refused) => Err(format!("pod {name} cannot be asked again: {}", refused.message)),
    }
}
