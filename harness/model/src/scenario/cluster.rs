//! What the cluster holds.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::located::{Located, Text};
use crate::texts::{texts, texts_of_one};

/// One piece of the cluster's state.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterState {
    /// A further namespace.
    Namespace(NamespaceState),
    /// A service account.
    ServiceAccount(ServiceAccountState),
    /// Kubernetes manifests, unchanged.
    Manifests(Manifests),
    /// An admission policy: a webhook that runs in a pod.
    Policy(Policy),
}

/// An admission policy for the case's namespace: a separate webhook in addition to the one under test. API servers call
/// webhooks in the order of their configurations' names.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    /// Name of its configuration.
    pub name: Text,
    /// The resource that it reviews: `pods` or `serviceaccounts`.
    pub on: Text,
    /// Operations of the JSON patch that it answers with.
    #[serde(default)]
    pub patch: Vec<Located<Value>>,
    /// The fields that an object must have; any other is refused.
    pub require: Option<Located<Value>>,
    /// The message of a refusal.
    pub message: Option<Text>,
}

/// A namespace.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NamespaceState {
    /// Its name.
    pub name: Text,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, Text>,
}

/// A service account.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServiceAccountState {
    /// Its name.
    pub name: Text,
    /// Its namespace; by default the case's.
    pub namespace: Option<Text>,
    /// Its annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, Text>,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, Text>,
    /// `automountServiceAccountToken`; by default not set.
    pub automount: Option<bool>,
}

/// Kubernetes manifests: unchanged YAML or JSON files, or inline objects. An object without a namespace
/// is created in the case's.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifests {
    /// Paths of files, relative to the scenario file.
    #[serde(default)]
    pub files: Vec<Text>,
    /// Values for `${NAME}` in the files, as in `envsubst`.
    #[serde(default)]
    pub values: BTreeMap<String, Text>,
    /// Inline objects.
    #[serde(default)]
    pub objects: Vec<Located<Value>>,
    /// Whether an object with one of these names may exist already: then it is changed, and restored
    /// when the case ends, and the target must permit the change. By default it is a conflict.
    #[serde(default)]
    pub existing: bool,
    /// In a step: the expected refusal of the first object; by default all must be accepted.
    pub refused: Option<super::Refusal>,
    /// The objects of `files`, read by whoever loads the scenario.
    #[serde(skip)]
    #[schemars(skip)]
    pub loaded: Vec<LoadedObject>,
}

/// An object read from a manifest file.
#[derive(Debug, Clone)]
pub struct LoadedObject {
    /// The file, as the scenario names it.
    pub file: String,
    /// The object.
    pub object: Value,
}

texts! {
    NamespaceState { name, labels }
    ServiceAccountState { name, namespace, annotations, labels }
    Manifests { values, objects, refused }
    Policy { name, on, patch, require, message }
}
texts_of_one! { ClusterState { Namespace, ServiceAccount, Manifests, Policy } }
