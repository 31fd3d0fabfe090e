//! What is done, one word a step.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::azure::{AzureState, FederatedCredential};
use super::{Expectation, Manifests, Patience, SecretRight, WebhookState};
use crate::located::{Located, Text};
use crate::texts::{texts, texts_of_one};

/// A step.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Creates a pod with one container, called `app`.
    CreatePod(CreatePod),
    /// Creates the objects of manifests.
    Apply(Manifests),
    /// Changes an object by a merge patch.
    Patch(Change),
    /// Deletes an object and waits until it is gone.
    Delete(Delete),
    /// Deletes a pod and creates it again as it was first sent.
    RestartPod(Text),
    /// Tells a running pod to repeat token, exchange and secret read; later expectations look only at that round.
    AskAgain(Text),
    /// Performs a token exchange from the harness itself; expectations refer to it by name.
    AskToken(AskToken),
    /// Waits until an expectation holds before the next step starts.
    Check(Box<Located<Expectation>>),
    /// Advances the virtual clock of the cluster and of Azure.
    AdvanceTime(Patience),
    /// Advances only the clock of the cluster and its node, which is then ahead of Azure's.
    AdvanceClusterTime(Patience),
    /// Changes the webhook's installation.
    SetWebhook(WebhookState),
    /// Changes how the API server behaves.
    SetApiServer(ApiServerChange),
    /// Changes how the cluster signs tokens, and its published documents.
    SetIssuer(IssuerChange),
    /// Writes a new version of a secret.
    SetSecret(SetSecret),
    /// Gives a service principal a new client secret and removes all others.
    RotateClientSecret(Text),
    /// Adds a federated credential to an identity.
    Trust(Trust),
    /// Removes a federated credential from an identity.
    Distrust(Distrust),
    /// Grants permissions on a vault.
    Grant(Grant),
    /// Injects a fault of Azure: for an identity or vault of this case, for Azure's requests to the issuer, or for the
    /// control plane.
    Break(Fault),
}

/// A refusal by the API server or by Azure.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// A part of the message.
    pub message: Text,
}

/// An object and a merge patch.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Change {
    /// Kind of the object.
    pub kind: Text,
    /// Group and version; by default `v1`.
    pub api_version: Option<Text>,
    /// Its name.
    pub name: Text,
    /// Its namespace; by default the case's.
    pub namespace: Option<Text>,
    /// The subresource that is changed, such as `ephemeralcontainers`.
    pub subresource: Option<Text>,
    /// The merge patch.
    pub with: Located<Value>,
    /// Whether the object may exist already. It is restored when the case ends, and the target must permit the
    /// change.
    #[serde(default)]
    pub existing: bool,
    /// The expected refusal; by default it must be accepted.
    pub refused: Option<Refusal>,
}

/// An object to delete.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Delete {
    /// Kind of the object.
    pub kind: Text,
    /// Group and version; by default `v1`.
    pub api_version: Option<Text>,
    /// Its name.
    pub name: Text,
    /// Its namespace; by default the case's.
    pub namespace: Option<Text>,
    /// Whether the object may exist already. It is restored when the case ends, and the target must permit the
    /// deletion.
    #[serde(default)]
    pub existing: bool,
}

/// A token exchange by the harness itself, with a token that the cluster issues for a service account.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AskToken {
    /// The name for expectations.
    pub name: Text,
    /// The account.
    pub account: Text,
    /// The account's namespace; by default the case's.
    pub namespace: Option<Text>,
    /// Audience of the token; by default `api://AzureADTokenExchange`.
    pub audience: Option<Text>,
    /// The requested client id.
    pub client_id: Text,
    /// The tenant; by default the target's.
    pub tenant_id: Option<Text>,
    /// The scope; by default that of Key Vault.
    pub scope: Option<Text>,
    /// An earlier `ask-token` exchange whose token is used again; by default a new token.
    pub token_of: Option<Text>,
    /// Whether the token is altered after signing.
    #[serde(default)]
    pub forged: bool,
    /// A secret to read with the access token.
    pub reads: Option<Reads>,
}

/// A secret to read.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reads {
    /// Handle of the vault.
    pub vault: Text,
    /// Name of the secret.
    pub secret: Text,
    /// The API version of the vault; by default one that every vault supports.
    pub api_version: Option<Text>,
}

/// How the cluster signs tokens, and its published documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IssuerChange {
    /// A new key signs; the old one remains published.
    NewKey,
    /// A new key signs; the old one is no longer published.
    NewKeyAlone,
    /// Keys that no longer sign are no longer published.
    DropOldKeys,
    /// An unpublished key signs.
    UnpublishedKey,
    /// The discovery document and the keys cannot be fetched.
    Unreachable,
    /// They can be fetched again.
    Reachable,
    /// A new elliptic-curve key signs; the old key remains published.
    EllipticKey,
    /// The discovery document names another issuer.
    NamesAnotherIssuer,
    /// The published keys are those of another cluster.
    KeysOfAnotherCluster,
    /// Requests are redirected to a login page.
    RedirectsToLogin,
    /// New tokens name another issuer than the published one.
    SignsAsAnother,
}

/// Behaviour of real API servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ApiServerChange {
    /// Watch events for service accounts are delayed by one minute; reads are not.
    TellsOfAccountsLate,
    /// It uses TLS 1.2 for calls to webhooks, like older versions.
    #[serde(rename = "speaks-tls-1.2")]
    SpeaksOlderTls,
    /// It presents a token of its own to webhooks.
    PresentsAToken,
    /// The initial behaviour.
    AsBefore,
}

/// A new version of a secret.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SetSecret {
    /// Handle of the vault.
    pub vault: Text,
    /// Name of the secret.
    pub secret: Text,
    /// Its new value.
    pub value: Text,
}

/// A federated credential for an identity.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Trust {
    /// Handle of the identity.
    pub identity: Text,
    /// The credential.
    pub federated: FederatedCredential,
    /// The expected refusal; by default it must be accepted.
    pub refused: Option<Refusal>,
}

/// A federated credential to remove.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Distrust {
    /// Handle of the identity.
    pub identity: Text,
    /// The credential's name.
    pub name: Text,
}

/// Permissions on a vault, replacing the previous ones.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Grant {
    /// Handle of the vault.
    pub vault: Text,
    /// Handle of the identity or service principal.
    pub to: Text,
    /// The permissions on secrets.
    pub secrets: Vec<SecretRight>,
}

/// A fault of Azure.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Fault {
    /// Where it occurs: the handle of an identity, service principal or vault of the case; or `issuer`,
    /// `resource-manager` or `graph`, for which the case runs in isolation.
    pub of: Text,
    /// The kind of fault.
    pub how: FaultKind,
    /// The number of affected requests; by default until the case ends.
    pub times: Option<u32>,
}

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// 429 with `Retry-After`.
    Throttled,
    /// 503.
    Unavailable,
    /// The connection is reset.
    Cut,
    /// Of a vault: its firewall refuses the caller's address.
    Firewalled,
    /// Of a vault: it accepts only private link connections.
    PrivateLink,
    /// Of an identity or service principal: a Conditional Access policy blocks it.
    BlockedByPolicy,
    /// Of an identity or service principal: three replicas of the directory, each of which sees a federated credential one
    /// minute later.
    Lagging,
    /// Of the issuer: its host refuses connections.
    Unreachable,
    /// Of the issuer: it answers with an HTML page.
    NotJson,
    /// Of the issuer: it publishes no keys.
    WithoutKeys,
}

/// What a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultPlace {
    /// An identity or service principal of the case.
    Principal,
    /// A vault of the case.
    Vault,
    /// What Azure fetches from the cluster's issuer.
    Issuer,
    /// Azure Resource Manager.
    ResourceManager,
    /// Microsoft Graph.
    Graph,
}

impl FaultPlace {
    /// The places that are there once for everybody, by the words that scenarios use.
    pub const SHARED: [(&'static str, FaultPlace); 3] = [
        ("issuer", FaultPlace::Issuer),
        ("resource-manager", FaultPlace::ResourceManager),
        ("graph", FaultPlace::Graph),
    ];

    /// The place in words.
    pub fn words(self) -> &'static str {
        match self {
            FaultPlace::Principal => "an identity or service principal",
            FaultPlace::Vault => "a vault",
            FaultPlace::Issuer => "the issuer",
            FaultPlace::ResourceManager => "resource-manager",
            FaultPlace::Graph => "graph",
        }
    }

    /// Whether it is the case's own, so that other cases do not meet its faults.
    pub fn is_own(self) -> bool {
        matches!(self, FaultPlace::Principal | FaultPlace::Vault)
    }
}

impl Fault {
    /// What it strikes; `None` where its handle is not declared. A handle comes before the word of a shared place.
    pub fn place(&self, azure: &AzureState) -> Option<FaultPlace> {
        let of = &self.of.value;
        if azure.identities.contains_key(of) || azure.service_principals.contains_key(of) {
            return Some(FaultPlace::Principal);
        }
        if azure.vaults.contains_key(of) {
            return Some(FaultPlace::Vault);
        }
        FaultPlace::SHARED.into_iter().find(|(word, _)| word == of).map(|(_, place)| place)
    }
}

impl FaultKind {
    /// The places where it happens.
    pub fn places(self) -> &'static [FaultPlace] {
        use FaultPlace::{Graph, Issuer, Principal, ResourceManager, Vault};
        match self {
            FaultKind::Throttled | FaultKind::Cut => &[Principal, Vault, ResourceManager, Graph],
            FaultKind::Unavailable => &[Principal, Vault, Issuer, ResourceManager, Graph],
            FaultKind::Firewalled | FaultKind::PrivateLink => &[Vault],
            FaultKind::BlockedByPolicy | FaultKind::Lagging => &[Principal],
            FaultKind::Unreachable | FaultKind::NotJson | FaultKind::WithoutKeys => &[Issuer],
        }
    }

    /// Whether it is a state of things, so that how often it strikes cannot be said.
    pub fn stands(self) -> bool {
        matches!(self, FaultKind::Lagging)
    }
}

/// A pod with one container, called `app`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CreatePod {
    /// Its name.
    pub name: Text,
    /// Its namespace; by default the case's.
    pub namespace: Option<Text>,
    /// The image; `quickstart/rust` is the quick-start program.
    pub image: Text,
    /// The service account; by default the namespace's default.
    pub service_account: Option<Text>,
    /// Labels of the pod.
    #[serde(default)]
    pub labels: BTreeMap<String, Text>,
    /// Annotations of the pod.
    #[serde(default)]
    pub annotations: BTreeMap<String, Text>,
    /// Environment of the container.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// `automountServiceAccountToken`; by default not set.
    pub automount: Option<bool>,
}

texts! {
    Refusal { message }
    Change { kind, api_version, name, namespace, subresource, with, refused }
    Delete { kind, api_version, name, namespace }
    AskToken { name, account, namespace, audience, client_id, tenant_id, scope, reads }
    Reads { api_version }
    SetSecret { value }
    Trust { federated, refused }
    Distrust { name }
    CreatePod { name, namespace, image, service_account, labels, annotations, env }
}
texts_of_one! {
    Step { CreatePod, Apply, Patch, Delete, RestartPod, AskAgain, AskToken, Check, SetSecret, Trust, Distrust .. _ }
}
