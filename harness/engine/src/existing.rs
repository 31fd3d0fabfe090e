//! Objects that were there before a case and belong to another user: changed or taken away only where the scenario says so and
//! the target lets it, written down as they were before they are touched.

use serde_json::Value;

use crate::cluster::{Cluster, Created, ObjectRef, sentence};
use crate::lease::Lease;

/// How often an object is read again that somebody else changed in the meantime.
const LOOKS: u32 = 5;
/// Kinds whose objects hold more than themselves: what goes with one cannot be put back.
const HOLD_MORE: [&str; 4] = ["Namespace", "CustomResourceDefinition", "PersistentVolume", "PersistentVolumeClaim"];

/// An object that is there and that the case did not make; `None` where it is the case's own, or not there.
pub(crate) async fn somebody_elses(
    cluster: &Cluster,
    object: &ObjectRef,
    lease: &Lease,
) -> Result<Option<Value>, String> {
    let object = &cluster.named(object.clone()).await;
    if lease.owns(object) {
        return Ok(None);
    }
    cluster.find(object).await.map_err(|error| format!("{object}: {}", sentence(&error)))
}

/// Changes another user's object by a merge patch, which is undone when the case is over. Gives back what was stored.
pub(crate) async fn change_existing(
    cluster: &Cluster,
    found: &Value,
    patch: &Value,
    lease: &mut Lease,
) -> Result<Value, String> {
    match try_change_existing(cluster, found, patch, lease).await? {
        Created::Stored(stored) => Ok(stored),
        Created::Refused(refused) => {
            Err(format!("{} was refused: {} {}", ObjectRef::of(found), refused.status, refused.message))
        }
    }
}

/// The same where a refusal is an answer.
pub(crate) async fn try_change_existing(
    cluster: &Cluster,
    found: &Value,
    patch: &Value,
    lease: &mut Lease,
) -> Result<Created, String> {
    let object = ObjectRef::of(found);
    let mut found = found.clone();
    for _ in 0..LOOKS {
        let mut wanted = found.clone();
        merge(&mut wanted, patch);
        lease.remember(&found, Some(wanted), None).map_err(|error| sentence(&error))?;
        match cluster.merge_exactly(&found, patch).await? {
            Created::Refused(refused) if refused.status == 409 => {}
            answer => return Ok(answer),
        }
        let again = cluster.find(&object).await.map_err(|error| sentence(&error))?;
        found = again.ok_or_else(|| format!("{object} was deleted while it was to be changed"))?;
    }
    Err(format!("{object} was changed {LOOKS} times while it was to be changed"))
}

/// Takes another user's object away, which is put back when the case is over.
pub(crate) async fn remove_existing(cluster: &Cluster, found: &Value, lease: &mut Lease) -> Result<(), String> {
    let object = ObjectRef::of(found);
    if HOLD_MORE.contains(&object.kind.as_str()) {
        return Err(format!(
            "{object} belongs to another user and its dependents cannot be restored, so it is not deleted"
        ));
    }
    let mut found = found.clone();
    for _ in 0..LOOKS {
        lease.remember(&found, None, None).map_err(|error| sentence(&error))?;
        match cluster.delete_exactly(&object, &found).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            outcome => return outcome.map_err(|error| sentence(&error)),
        }
        match cluster.find(&object).await.map_err(|error| sentence(&error))? {
            Some(again) => found = again,
            None => return Ok(()),
        }
    }
    Err(format!("{object} was changed {LOOKS} times while it was to be deleted"))
}

/// A merge patch, as RFC 7386 says.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Some(target) = target.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_merge_patch_is_worked_out_as_the_api_server_does_it() {
        let mut target = json!({ "a": { "b": 1, "c": [1] }, "d": 1 });
        merge(&mut target, &json!({ "a": { "b": null, "c": [2], "e": { "f": null, "g": 1 } }, "d": { "h": 1 } }));
        assert_eq!(target, json!({ "a": { "c": [2], "e": { "g": 1 } }, "d": { "h": 1 } }));
    }
}
