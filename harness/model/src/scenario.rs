//! The scenario file: what a cluster and an Azure hold, what is done, and what must follow.
//!
//! The vocabulary is closed: every unknown word is an error. `scenarios/README.md` explains each word in a line.

pub mod azure;
pub mod cluster;
pub mod expectation;
pub mod patience;
pub mod step;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::capability::Capability;
use crate::located::{Located, Text};
use crate::texts::texts;

pub use azure::{
    AccessModel, AccessPolicy, AzureState, FederatedCredential, Identity, OtherTenant, RoleAssignment, RoleScope,
    SecretRight, ServicePrincipal, StoredSecret, Vault,
};
pub use cluster::{ClusterState, LoadedObject, Manifests, NamespaceState, Policy, ServiceAccountState};
pub use expectation::{
    AccessExpectation, AdmissionExpectation, AdmissionOutcome, ChallengeExpectation, EventExpectation,
    ExchangeExpectation, ExchangeOutcome, Expectation, IssuerExpectation, LogExpectation, MetadataExpectation,
    MetadataOutcome, NoCredentialExpectation, ObjectExpectation, PodExpectation, SecretReadExpectation,
    SecretReadOutcome, TokenExpectation, TokenReviewExpectation, TokenVolume, WebhookExpectation,
};
pub use patience::Patience;
pub use step::{
    ApiServerChange, AskToken, Change, CreatePod, Delete, Distrust, Fault, FaultKind, FaultPlace, Grant, IssuerChange,
    Refusal, SetSecret, Step, Trust,
};

/// One scenario file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// One sentence that says what must hold.
    pub title: Text,
    /// Ids of the requirements that this scenario shows, from `requirements.yaml`. A suite of one's own needs none.
    #[serde(default)]
    pub requirements: Vec<Text>,
    /// Where the set-up comes from, as a URL.
    pub source: Option<String>,
    /// Capabilities that a target must have; without them the scenario is not applicable there.
    #[serde(default)]
    pub needs: Vec<Located<Capability>>,
    /// The oldest Kubernetes that it makes sense on, such as `1.32`; on an older one it is not applicable.
    pub kubernetes: Option<Text>,
    /// The webhook profiles that it speaks of; under another one it is not applicable. Every profile when left out.
    #[serde(default)]
    pub profiles: Vec<Text>,
    /// Mutants that must turn this scenario red. A suite of one's own needs none.
    #[serde(default)]
    pub saboteurs: Vec<Text>,
    /// The state before anything is done.
    #[serde(default)]
    pub given: Given,
    /// What is done, in order.
    #[serde(default)]
    pub when: Vec<Located<Step>>,
    /// What must follow.
    #[serde(default)]
    pub then: Vec<Located<Expectation>>,
}

/// The state before anything is done.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Given {
    /// The name of the case's own namespace; one that is unique to the run when left out.
    pub namespace: Option<Text>,
    /// Labels of the case's own namespace.
    #[serde(default)]
    pub namespace_labels: std::collections::BTreeMap<String, Text>,
    /// The state of the webhook's installation.
    #[serde(default)]
    pub webhook: WebhookState,
    /// Settings of the webhook that differ from its defaults, by the names of its environment variables.
    #[serde(default)]
    pub webhook_settings: std::collections::BTreeMap<String, Text>,
    /// With these settings the webhook must not start, and say this; then nothing else is done or expected.
    pub webhook_refuses: Option<Text>,
    /// The issuer of the cluster's tokens, byte for byte, where manifests name it literally; the target's own when left out.
    pub issuer: Option<Text>,
    /// The version that the API server states, such as `1.31`; the target's own when left out.
    pub kubernetes: Option<Text>,
    /// What Azure holds.
    #[serde(default)]
    pub azure: AzureState,
    /// What the cluster holds, created in this order.
    #[serde(default)]
    pub cluster: Vec<Located<ClusterState>>,
}

/// The state of the webhook's installation. Anything but `installed` changes the cluster for everybody, so such a
/// scenario never runs beside another one on the same cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookState {
    /// Registered and answering.
    #[default]
    Installed,
    /// No webhook configuration is registered.
    Absent,
    /// Registered, but its Service has no endpoint.
    Unreachable,
    /// Registered with a CA bundle that its certificate does not chain to.
    Untrusted,
    /// Registered for namespaces that carry the label `wi-conformance/included`.
    Elsewhere,
    /// In a step: the next version is registered in place of the one that the case began with.
    Upgraded,
}

texts! {
    Scenario { given, when, then }
    Given { namespace, namespace_labels, webhook_settings, webhook_refuses, azure, cluster }
}
