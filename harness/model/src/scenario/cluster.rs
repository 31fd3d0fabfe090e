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
    /// A namespace beside the case's own.
    Namespace(NamespaceState),
    /// A service account.
    ServiceAccount(ServiceAccountState),
    /// Kubernetes manifests, unchanged.
    Manifests(Manifests),
    /// An admission policy, as a webhook that runs in a pod.
    Policy(Policy),
}

/// An admission policy for the case's own namespace: a webhook of its own, beside the one under test. API servers call
/// webhooks in the order of their configurations' names.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    /// Name of its configuration.
    pub name: Text,
    /// What it looks at, in the plural: `pods`, `serviceaccounts`.
    pub on: Text,
    /// Operations of a JSON patch that it answers with; where it changes nothing, none.
    #[serde(default)]
    pub patch: Vec<Located<Value>>,
    /// What an object must hold; one that does not is refused.
    pub require: Option<Located<Value>>,
    /// What it says when it refuses.
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
    /// Its namespace; the case's own when left out.
    pub namespace: Option<Text>,
    /// Its annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, Text>,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, Text>,
    /// `automountServiceAccountToken`; not set when left out.
    pub automount: Option<bool>,
}

/// Kubernetes manifests: YAML or JSON files as they are, or objects written here. An object without a namespace
/// goes to the case's own.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifests {
    /// Paths of files, relative to the scenario file.
    #[serde(default)]
    pub files: Vec<Text>,
    /// Values for `${NAME}` in the files, as `envsubst` would fill them.
    #[serde(default)]
    pub values: BTreeMap<String, Text>,
    /// Objects written here.
    #[serde(default)]
    pub objects: Vec<Located<Value>>,
    /// Whether an object of one of these names may have been there before: then it is changed to what is written, and put back
    /// when the case is over, and the target must let it be changed. It is a conflict when left out.
    #[serde(default)]
    pub existing: bool,
    /// In a step: how the first of them must be refused; all must be taken when left out.
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
