//! Kinds: how each is called in paths, and whether it lives in namespaces.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::Cluster;
use crate::settle;

/// How long an API server may take until it serves the kinds of a new CustomResourceDefinition.
const SERVED: Duration = Duration::from_secs(30);

/// What a cluster told of a kind that is not Kubernetes' own.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    pub(super) plural: String,
    pub(super) namespaced: bool,
}

/// Kinds that are not Kubernetes' own, as far as they were asked for: by API version and kind.
#[derive(Clone, Default)]
pub(super) struct Kinds(Arc<Mutex<BTreeMap<(String, String), Kind>>>);

impl Kinds {
    pub(super) fn known(&self, api_version: &str, kind: &str) -> Option<Kind> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(api_version.to_owned(), kind.to_owned())).cloned()
    }
}

/// Whether a group is one of Kubernetes' own, whose plurals and scopes do not differ between clusters.
fn is_own(api_version: &str) -> bool {
    api_version.split_once('/').is_none_or(|(group, _)| !group.contains('.') || group.ends_with(".k8s.io"))
}

impl Cluster {
    /// Asks the cluster about a kind that is not Kubernetes' own, once. One that it does not know is not learned, and is for
    /// it to refuse.
    pub(super) async fn learn(&self, api_version: &str, kind: &str) {
        if is_own(api_version) || self.kinds.known(api_version, kind).is_some() {
            return;
        }
        let Ok(list) = self.get_path(&format!("/apis/{api_version}")).await else { return };
        let of_kind =
            |entry: &&Value| entry["kind"] == kind && entry["name"].as_str().is_some_and(|n| !n.contains('/'));
        let Some(found) = list["resources"].as_array().into_iter().flatten().find(of_kind) else { return };
        let plural = found["name"].as_str().unwrap_or_default().to_owned();
        let found = Kind { plural, namespaced: found["namespaced"] == true };
        let mut known = self.kinds.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((api_version.to_owned(), kind.to_owned()), found);
    }

    /// The same for the kind of an object.
    pub(super) async fn learn_of(&self, object: &Value) {
        self.learn(object["apiVersion"].as_str().unwrap_or_default(), object["kind"].as_str().unwrap_or_default())
            .await;
    }

    /// After a CustomResourceDefinition was made: waits until its kinds are served, as objects of them may come next.
    pub(super) async fn wait_for_kinds(&self, object: &Value) {
        if object["kind"] != "CustomResourceDefinition" {
            return;
        }
        let spec = &object["spec"];
        let versions = spec["versions"].as_array().into_iter().flatten().filter(|version| version["served"] == true);
        for version in versions {
            let (group, version) = (spec["group"].as_str().unwrap_or_default(), version["name"].as_str());
            let (api_version, kind) = (
                format!("{group}/{}", version.unwrap_or_default()),
                spec["names"]["kind"].as_str().unwrap_or_default(),
            );
            let served = || async {
                self.learn(&api_version, kind).await;
                self.kinds.known(&api_version, kind).map(|_| ())
            };
            // What is not served after that is told by whoever asks for it.
            let _ = settle::until(SERVED, &CancellationToken::new(), served).await;
        }
    }
}
