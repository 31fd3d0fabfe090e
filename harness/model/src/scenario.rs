//! The scenario file: the initial state of a cluster and an Azure, the steps, and the expectations.
//!
//! The vocabulary is closed: every unknown key is an error. `scenarios/README.md` documents each key in a line.

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
    /// One sentence that states what must hold.
    pub title: Text,
    /// Ids of the requirements that this scenario covers, from `requirements.yaml`. Optional in a suite of your own.
    #[serde(default)]
    pub requirements: Vec<Text>,
    /// URL of the documentation or code that the setup is based on.
    pub source: Option<String>,
    /// Capabilities that a target must have; without one the scenario is not applicable there.
    #[serde(default)]
    pub needs: Vec<Located<Capability>>,
    /// The oldest Kubernetes version that the scenario applies to, such as `1.32`.
    pub kubernetes: Option<Text>,
    /// The webhook profiles that the scenario applies to; all profiles by default.
    #[serde(default)]
    pub profiles: Vec<Text>,
    /// Mutants under which this scenario must fail. Optional in a suite of your own.
    #[serde(default, rename = "mutants", alias = "saboteurs")]
    pub saboteurs: Vec<Text>,
    /// The initial state.
    #[serde(default)]
    pub given: Given,
    /// The steps, in order.
    #[serde(default)]
    pub when: Vec<Located<Step>>,
    /// The expectations.
    #[serde(default)]
    pub then: Vec<Located<Expectation>>,
}

/// The initial state.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Given {
    /// The name of the case's namespace; by default unique to the run.
    pub namespace: Option<Text>,
    /// Labels of the case's namespace.
    #[serde(default)]
    pub namespace_labels: std::collections::BTreeMap<String, Text>,
    /// The state of the webhook's installation.
    #[serde(default)]
    pub webhook: WebhookState,
    /// Webhook settings that differ from the defaults, by flag or environment variable.
    #[serde(default)]
    pub webhook_settings: std::collections::BTreeMap<String, Text>,
    /// With these settings the webhook must not start, and its log must contain this text; `when` and `then` are omitted.
    pub webhook_refuses: Option<Text>,
    /// The issuer of the cluster's tokens, byte for byte, if manifests contain it literally; by default the target's own.
    pub issuer: Option<Text>,
    /// The version that the API server reports, such as `1.31`; by default the target's own.
    pub kubernetes: Option<Text>,
    /// The state of Azure.
    #[serde(default)]
    pub azure: AzureState,
    /// The objects in the cluster, created in the order listed.
    #[serde(default)]
    pub cluster: Vec<Located<ClusterState>>,
}

/// The state of the webhook's installation. Anything but `installed` changes cluster-wide state, so such a scenario runs
/// in isolation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookState {
    /// Registered and running.
    #[default]
    Installed,
    /// No webhook configuration is registered.
    Absent,
    /// Registered, but its Service has no endpoints.
    Unreachable,
    /// Registered with a CA bundle that does not verify its certificate.
    Untrusted,
    /// Registered for namespaces that carry the label `wi-conformance/included`.
    Elsewhere,
    /// Only in a step: the next version replaces the one that the case started with.
    Upgraded,
}

texts! {
    Scenario { given, when, then }
    Given { namespace, namespace_labels, webhook_settings, webhook_refuses, azure, cluster }
}
