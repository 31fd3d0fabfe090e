//! Changing and deleting objects, and pods once more.

use serde_json::{Value, json};
use wi_model::evidence::PodEvidence;
use wi_model::located::Text;
use wi_model::scenario::{Change, Delete};

use super::pods::AGAIN;
use super::{Done, Stage};
use crate::cluster::{Cluster, Created, ObjectRef, sentence};
use crate::existing::{remove_existing, somebody_elses, try_change_existing};
use crate::lease::Lease;

impl Stage<'_> {
    pub(super) async fn change(&self, change: &Change, lease: &mut Lease) -> Result<Done, String> {
        let object = self.named(&change.api_version, &change.kind, &change.namespace, &change.name).await;
        let subresource = change.subresource.as_ref().map(|text| text.value.as_str());
        let answer = match self.found(&object, change.existing, lease).await? {
            None => {
                let address = (&*object.api_version, &*object.kind, object.namespace.as_deref(), &*object.name);
                self.cluster.change(address, subresource, &change.with.value).await?
            }
            Some(_) if subresource.is_some() => {
                return Err(format!(
                    "{object} belongs to another user, and a change of a subresource cannot be restored"
                ));
            }
            Some(found) => try_change_existing(self.cluster, &found, &change.with.value, lease).await?,
        };
        Ok(match answer {
            Created::Stored(_) => Done::Accepted,
            Created::Refused(refused) => Done::Refused(format!("{} {}", change.kind.value, change.name.value), refused),
        })
    }

    pub(super) async fn delete(&self, gone: &Delete, lease: &mut Lease) -> Result<Done, String> {
        let object = self.named(&gone.api_version, &gone.kind, &gone.namespace, &gone.name).await;
        let removed = match self.found(&object, gone.existing, lease).await? {
            Some(found) => remove_existing(self.cluster, &found, lease).await,
            None => self.cluster.delete_found(&object).await,
        };
        removed.map(|()| Done::Accepted)
    }

    /// The object that a step speaks of.
    async fn named(&self, api_version: &Option<Text>, kind: &Text, namespace: &Option<Text>, name: &Text) -> ObjectRef {
        let api_version = api_version.as_ref().map_or("v1", |text| text.value.as_str());
        let namespace = namespace.as_ref().map_or(self.ready.namespace.as_str(), |text| text.value.as_str());
        self.cluster.named(ObjectRef::new(api_version, &kind.value, Some(namespace), &name.value)).await
    }

    /// The object, where it is there and another user's: then the scenario must have said so. `None` where it is the case's
    /// own, or not there.
    async fn found(&self, object: &ObjectRef, existing: bool, lease: &Lease) -> Result<Option<Value>, String> {
        self.own_still(object, lease).await?;
        match somebody_elses(self.cluster, object, lease).await? {
            Some(_) if !existing => Err(format!(
                "{object} exists and was not created by the case, so it is not changed; write `existing: true` for an existing object"
            )),
            found => Ok(found),
        }
    }

    /// What the case made is its own as long as it is the one that it made, and so is what is in a namespace that it made.
    async fn own_still(&self, object: &ObjectRef, lease: &Lease) -> Result<(), String> {
        let namespace = object.namespace.as_deref().map(|name| ObjectRef::new("v1", "Namespace", None, name));
        let made = namespace.iter().chain([object]).find_map(|made| Some((made, lease.uid_of(made)?)));
        let Some((made, uid)) = made else { return Ok(()) };
        match self.cluster.find(made).await.map_err(|error| sentence(&error))? {
            Some(found) if found["metadata"]["uid"] != uid => {
                Err(format!("{made} was replaced since the case created it, so {object} is not changed"))
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn restart(&mut self, name: &str, lease: &mut Lease) -> Result<Done, String> {
        let key = (self.ready.namespace.clone(), name.to_owned());
        let Some(before) = self.pods.get(&key) else { return Err(format!("no step created pod {name}")) };
        let (sent, images) = (before.sent.clone(), before.images.clone());
        let pod = ObjectRef::of(&sent);
        if let Some(uid) = lease.uid_of(&pod) {
            self.cluster.remove_within(&pod, uid).await.map_err(|why| why.to_string())?;
        }
        let done = self.create(sent, false, lease).await?;
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
        Created::Refused(refused) => Err(format!("pod {name} cannot repeat the flow: {}", refused.message)),
    }
}
