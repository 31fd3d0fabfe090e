//! Objects that are removed or put back only where it is proved that they are ours, or that nobody else changed them.

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Cluster, Created, GONE, cluster_scoped, created, sentence};
use crate::provision::RUN_LABEL;
use crate::settle;
use crate::undo::{Kept, back};

/// How often an object is looked at again that changed between the look and the request.
const LOOKS: u32 = 5;
/// What a server writes into an object by itself, so that it says nothing about who changed what.
const VOLATILE: [&str; 6] = ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink"];

/// Which object is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ObjectRef {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

impl ObjectRef {
    /// What an object says of itself. One that lives in no namespace names none, whatever it says.
    pub(crate) fn of(object: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let kind = text(&object["kind"]);
        ObjectRef {
            api_version: text(&object["apiVersion"]),
            namespace: object["metadata"]["namespace"].as_str().filter(|_| !cluster_scoped(&kind)).map(str::to_owned),
            kind,
            name: text(&object["metadata"]["name"]),
        }
    }

    pub(crate) fn new(api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Self {
        ObjectRef {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.filter(|_| !cluster_scoped(kind)).map(str::to_owned),
            name: name.to_owned(),
        }
    }
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// What an object of this run must show.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark<'a> {
    /// Value of the run's label.
    pub(crate) label: &'a str,
    /// The uid that the answer to our creation named, where there was an answer.
    pub(crate) uid: Option<&'a str>,
    /// When we wrote down that we would create it.
    pub(crate) written: Option<jiff::Timestamp>,
}

impl Mark<'_> {
    /// Whether an object is the one that we made.
    pub(crate) fn proves(&self, found: &Value) -> Result<(), Kept> {
        let metadata = &found["metadata"];
        let shown = |value: &Value| value.as_str().unwrap_or("none").to_owned();
        if let Some(uid) = self.uid
            && metadata["uid"] != uid
        {
            return Err(Kept::Replaced {
                expected: format!("uid {uid}"),
                found: format!("uid {}", shown(&metadata["uid"])),
            });
        }
        if metadata["labels"][RUN_LABEL] != self.label {
            let mark = format!("{RUN_LABEL}={}", self.label);
            return Err(match self.uid {
                Some(_) => Kept::TakenOver { mark },
                None => Kept::Unproven { why: format!("it does not carry {mark}") },
            });
        }
        if self.uid.is_some() {
            return Ok(());
        }
        // Without an answer there is the label, which anybody can copy, and the time, which nobody can.
        let created: Option<jiff::Timestamp> =
            metadata["creationTimestamp"].as_str().and_then(|time| time.parse().ok());
        match (created, self.written) {
            // The server's time has whole seconds.
            (Some(created), Some(written)) if created.as_second() >= written.as_second() => Ok(()),
            (Some(created), Some(written)) => {
                let why = format!("it was created at {created}, before its ledger entry at {written}");
                Err(Kept::Unproven { why })
            }
            (None, _) | (_, None) => Err(Kept::Unproven { why: "its creation time is unknown".to_owned() }),
        }
    }
}

/// Whether the answer is that something else was met than what the request stated.
fn conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

fn failed(error: kube::Error) -> Kept {
    Kept::Failed(sentence(&error))
}

/// An object without what a server writes into it by itself.
fn plain(object: &Value) -> Value {
    let mut plain = object.clone();
    if let Some(metadata) = plain["metadata"].as_object_mut() {
        VOLATILE.iter().for_each(|field| _ = metadata.remove(*field));
    }
    plain
}

impl Cluster {
    fn api_of_ref(&self, object: &ObjectRef) -> Api<DynamicObject> {
        self.api(&object.api_version, &object.kind, object.namespace.as_deref())
    }

    /// Which object is meant; one of a kind that lives in no namespace is in none, whatever is written.
    pub(crate) async fn named(&self, mut object: ObjectRef) -> ObjectRef {
        self.learn(&object.api_version, &object.kind).await;
        if self.kinds.known(&object.api_version, &object.kind).is_some_and(|kind| !kind.namespaced) {
            object.namespace = None;
        }
        object
    }

    /// An object, if it is there, with its own kind.
    pub(crate) async fn find(&self, object: &ObjectRef) -> Result<Option<Value>, kube::Error> {
        self.learn(&object.api_version, &object.kind).await;
        let found = self.api_of_ref(object).get_opt(&object.name).await?;
        Ok(found.map(|found| {
            let mut found = serde_json::to_value(found).unwrap_or_default();
            found["apiVersion"] = object.api_version.clone().into();
            found["kind"] = object.kind.clone().into();
            found
        }))
    }

    /// Removes an object that is proved to be ours, and waits until it is gone.
    pub(crate) async fn remove_proved(&self, object: &ObjectRef, mark: Mark<'_>) -> Result<(), Kept> {
        for _ in 0..LOOKS {
            let Some(found) = self.find(object).await.map_err(failed)? else { return Ok(()) };
            mark.proves(&found)?;
            match self.delete_exactly(object, &found).await {
                Err(error) if conflict(&error) => {}
                outcome => return outcome.map_err(failed),
            }
        }
        Err(Kept::Failed(format!("it was changed {LOOKS} times between a check and its deletion")))
    }

    /// Removes an object of a namespace that goes as a whole. Whatever has its name now and is another one goes with that.
    pub(crate) async fn remove_within(&self, object: &ObjectRef, uid: &str) -> Result<(), Kept> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        match self.delete_if(object, preconditions).await {
            Err(error) if conflict(&error) => Ok(()),
            outcome => outcome.map_err(failed),
        }
    }

    /// Deletes the very object that was found, unchanged since, and waits until it is gone.
    pub(crate) async fn delete_exactly(&self, object: &ObjectRef, found: &Value) -> Result<(), kube::Error> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let metadata = &found["metadata"];
        let (uid, resource_version) = (text(&metadata["uid"]), text(&metadata["resourceVersion"]));
        self.delete_if(object, Preconditions { uid, resource_version }).await
    }

    /// Deletes an object that meets the preconditions. Pods are ended at once: nobody needs what they would still say. A
    /// namespace of a cluster that ends with the run is left to its own end.
    async fn delete_if(&self, object: &ObjectRef, preconditions: Preconditions) -> Result<(), kube::Error> {
        self.learn(&object.api_version, &object.kind).await;
        let api = self.api_of_ref(object);
        let params =
            if object.kind == "Pod" { DeleteParams::default().grace_period(0) } else { DeleteParams::background() };
        let uid = preconditions.uid.clone();
        match api.delete(&object.name, &params.preconditions(preconditions)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(error) => return Err(error),
        }
        if self.transient && object.kind == "Namespace" {
            return Ok(());
        }
        let gone = || async {
            let found = api.get_opt(&object.name).await.ok()?;
            found.is_none_or(|found| found.metadata.uid != uid).then_some(())
        };
        settle::until(GONE, &CancellationToken::new(), gone).await.map_err(|_| {
            kube::Error::Service(format!("{object} is still there {} s after its deletion", GONE.as_secs()).into())
        })
    }

    /// Deletes an object as it is found, whoever made it; one that is not there is as good as deleted.
    pub(crate) async fn delete_found(&self, object: &ObjectRef) -> Result<(), String> {
        for _ in 0..LOOKS {
            let Some(found) = self.find(object).await.map_err(|error| sentence(&error))? else { return Ok(()) };
            // Its status may change all the time; that it is this one is what counts.
            let uid = found["metadata"]["uid"].as_str().map(str::to_owned);
            match self.delete_if(object, Preconditions { uid, resource_version: None }).await {
                Err(error) if conflict(&error) => {}
                outcome => return outcome.map_err(|error| sentence(&error)),
            }
        }
        Err(format!("{object} was replaced {LOOKS} times between a look and its deletion"))
    }

    /// Replaces the very object that `object` was read as.
    pub(crate) async fn replace(&self, object: &Value) -> Result<(), kube::Error> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let typed: DynamicObject = serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
        self.api_of(object).replace(name, &PostParams::default(), &typed).await.map(|_| ())
    }

    /// Changes an object by a merge patch that holds for this very one, unchanged since it was read; a refusal is an answer.
    pub(crate) async fn merge_exactly(&self, found: &Value, patch: &Value) -> Result<Created, String> {
        let mut patch = patch.clone();
        patch["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"].clone();
        let name = found["metadata"]["name"].as_str().unwrap_or_default();
        created(self.api_of(found).patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await)
    }

    /// Puts an object back as it was before our changes, where it is as one of them left it. What somebody else changed
    /// since is left as it is.
    pub(crate) async fn put_back(&self, before: &Value, changes: &[Option<Value>]) -> Result<(), Kept> {
        let object = ObjectRef::of(before);
        let taken_away = changes.iter().any(Option::is_none);
        let ours: Vec<Value> = changes.iter().flatten().map(plain).collect();
        let was = plain(before);
        for _ in 0..LOOKS {
            let written = match self.find(&object).await.map_err(failed)? {
                None if taken_away => self.create_again(&was).await,
                None if changes.is_empty() => return Ok(()),
                None => return Err(Kept::Changed { what: "it was deleted".to_owned() }),
                Some(now) => {
                    let is = plain(&now);
                    if is == was || changes.is_empty() {
                        return Ok(());
                    }
                    let same = now["metadata"]["uid"] == before["metadata"]["uid"];
                    if !same && (!taken_away || ours.is_empty()) {
                        let uid =
                            |object: &Value| format!("uid {}", object["metadata"]["uid"].as_str().unwrap_or("none"));
                        return Err(Kept::Replaced { expected: uid(before), found: uid(&now) });
                    }
                    let mut lost = Vec::new();
                    let mut wanted = back(&was, &ours, &is, &mut lost);
                    if wanted != is {
                        for field in ["uid", "resourceVersion"] {
                            wanted["metadata"][field] = now["metadata"][field].clone();
                        }
                        match self.replace(&wanted).await {
                            Err(error) if conflict(&error) => continue,
                            outcome => outcome.map_err(failed)?,
                        }
                    }
                    return if lost.is_empty() { Ok(()) } else { Err(Kept::Changed { what: lost.join(", ") }) };
                }
            };
            match written {
                // Somebody else was quicker; what they made is looked at.
                Err(error) if conflict(&error) => {}
                outcome => return outcome.map_err(failed),
            }
        }
        Err(Kept::Failed(format!("it was changed {LOOKS} times while it was put back")))
    }

    async fn create_again(&self, object: &Value) -> Result<(), kube::Error> {
        let typed: DynamicObject = serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
        self.api_of(object).create(&PostParams::default(), &typed).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(uid: &str, label: &str, created: &str) -> Value {
        json!({ "metadata": { "uid": uid, "labels": { RUN_LABEL: label }, "creationTimestamp": created } })
    }

    #[test]
    fn an_object_is_ours_by_uid_and_label_or_by_label_and_a_creation_after_the_line() {
        let written = "2026-01-02T03:04:05.9Z".parse().ok();
        let answered = Mark { label: "r", uid: Some("u"), written };
        let unanswered = Mark { uid: None, ..answered };
        let (later, earlier) = ("2026-01-02T03:04:05Z", "2026-01-02T03:04:04Z");
        assert_eq!(answered.proves(&object("u", "r", earlier)), Ok(()));
        assert_eq!(unanswered.proves(&object("other", "r", later)), Ok(()));
        assert!(matches!(answered.proves(&object("other", "r", later)), Err(Kept::Replaced { .. })));
        assert!(matches!(answered.proves(&object("u", "other", later)), Err(Kept::TakenOver { .. })));
        assert!(matches!(unanswered.proves(&object("u", "other", later)), Err(Kept::Unproven { .. })));
        assert!(matches!(unanswered.proves(&object("u", "r", earlier)), Err(Kept::Unproven { .. })));
        assert!(matches!(unanswered.proves(&object("u", "r", "")), Err(Kept::Unproven { .. })));
        let old = Mark { written: None, ..unanswered };
        assert!(matches!(old.proves(&object("u", "r", later)), Err(Kept::Unproven { .. })));
    }
}
