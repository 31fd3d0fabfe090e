//! What is done, one word a step.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::azure::{AzureState, FederatedCredential};
use super::{Expectation, Manifests, Patience, SecretRight, WebhookState};
use crate::located::{Located, Text};
use crate::texts::{texts, texts_of_one};

/// Something that is done.
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
    /// Deletes a pod and creates it once more as it was sent.
    RestartPod(Text),
    /// Has a running pod go through token, exchange and read once more; what follows is judged by that round alone.
    AskAgain(Text),
    /// Exchanges a token of an account ourselves, as a pod would; judged under this name like a pod.
    AskToken(AskToken),
    /// Waits until something holds; what comes after it is done only then.
    Check(Box<Located<Expectation>>),
    /// Lets time go by, for the cluster and for Azure.
    AdvanceTime(Patience),
    /// Lets time go by for the cluster and its node alone: their clock is then ahead of Azure's.
    AdvanceClusterTime(Patience),
    /// Brings the webhook's installation into a state.
    SetWebhook(WebhookState),
    /// Changes how the API server behaves.
    SetApiServer(ApiServerChange),
    /// Changes how the cluster signs tokens and what it publishes of it.
    SetIssuer(IssuerChange),
    /// Writes a new version of a secret.
    SetSecret(SetSecret),
    /// Gives a service principal a new client secret, and takes every other away.
    RotateClientSecret(Text),
    /// Adds a federated credential to an identity.
    Trust(Trust),
    /// Takes a federated credential from an identity.
    Distrust(Distrust),
    /// Gives rights on a vault.
    Grant(Grant),
    /// Makes a part of Azure fail: for this case's own identity or vault, or where Azure fetches the issuer's documents, or the
    /// control plane.
    Break(Fault),
}

/// A refusal by the API server or by Azure.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Text that the message must hold.
    pub message: Text,
}

/// An object and a merge patch.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Change {
    /// Kind of the object.
    pub kind: Text,
    /// Group and version; `v1` when left out.
    pub api_version: Option<Text>,
    /// Its name.
    pub name: Text,
    /// Its namespace; the case's own when left out.
    pub namespace: Option<Text>,
    /// The subresource that is changed, such as `ephemeralcontainers`.
    pub subresource: Option<Text>,
    /// The merge patch.
    pub with: Located<Value>,
    /// Whether an object is meant that was there before and that the case did not make. It is put back when the case is over,
    /// and the target must let it be changed.
    #[serde(default)]
    pub existing: bool,
    /// How it must be refused; it must be taken when left out.
    pub refused: Option<Refusal>,
}

/// An object that goes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Delete {
    /// Kind of the object.
    pub kind: Text,
    /// Group and version; `v1` when left out.
    pub api_version: Option<Text>,
    /// Its name.
    pub name: Text,
    /// Its namespace; the case's own when left out.
    pub namespace: Option<Text>,
    /// Whether an object is meant that was there before and that the case did not make. It is put back when the case is over,
    /// and the target must let it be taken away.
    #[serde(default)]
    pub existing: bool,
}

/// An exchange that the harness makes itself: with a token that the cluster issues for an account.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AskToken {
    /// What expectations call it.
    pub name: Text,
    /// The account.
    pub account: Text,
    /// The account's namespace; the case's own when left out.
    pub namespace: Option<Text>,
    /// Audience of the token; `api://AzureADTokenExchange` when left out.
    pub audience: Option<Text>,
    /// The client id that is asked for.
    pub client_id: Text,
    /// The tenant that is asked; the target's when left out.
    pub tenant_id: Option<Text>,
    /// The scope; that of vaults when left out.
    pub scope: Option<Text>,
    /// An earlier `ask-token` exchange whose token is used again; by default a new token.
    pub token_of: Option<Text>,
    /// Whether the token is altered after it was signed.
    #[serde(default)]
    pub forged: bool,
    /// A secret that is read with the access token.
    pub reads: Option<Reads>,
}

/// A secret that is read.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reads {
    /// Handle of the vault.
    pub vault: Text,
    /// Name of the secret.
    pub secret: Text,
    /// The version of the vault's interface; one that every vault knows when left out.
    pub api_version: Option<Text>,
}

/// How the cluster signs tokens and what it publishes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IssuerChange {
    /// A new key signs; the old one stays published beside it.
    NewKey,
    /// A new key signs; the old one is published no longer.
    NewKeyAlone,
    /// Keys that no longer sign are published no longer.
    DropOldKeys,
    /// A key signs that is not published.
    UnpublishedKey,
    /// The discovery document and the keys cannot be fetched.
    Unreachable,
    /// They can again.
    Reachable,
    /// A new key signs that is on an elliptic curve; the old one stays published beside it.
    EllipticKey,
    /// The discovery document names another issuer.
    NamesAnotherIssuer,
    /// The published keys are those of another cluster.
    KeysOfAnotherCluster,
    /// Whoever asks is sent to a page for people.
    RedirectsToLogin,
    /// New tokens name another issuer than the one that is published.
    SignsAsAnother,
}

/// How the API server behaves, as real ones sometimes do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ApiServerChange {
    /// Watches tell of service accounts a minute later; who asks is answered at once.
    TellsOfAccountsLate,
    /// It speaks TLS 1.2 to webhooks, as older ones do.
    #[serde(rename = "speaks-tls-1.2")]
    SpeaksOlderTls,
    /// It presents a token of its own to webhooks.
    PresentsAToken,
    /// As it did at first.
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
    /// How it must be refused; it must be taken when left out.
    pub refused: Option<Refusal>,
}

/// A federated credential that goes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Distrust {
    /// Handle of the identity.
    pub identity: Text,
    /// The credential's name.
    pub name: Text,
}

/// Rights on a vault, in place of those that it gave before.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Grant {
    /// Handle of the vault.
    pub vault: Text,
    /// Handle of the identity or service principal.
    pub to: Text,
    /// The rights on secrets.
    pub secrets: Vec<SecretRight>,
}

/// A fault of Azure.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Fault {
    /// What meets it: the handle of an identity, service principal or vault, which no other case has; or `issuer`,
    /// `resource-manager` or `graph`, for which the case is alone.
    pub of: Text,
    /// What goes wrong.
    pub how: FaultKind,
    /// For how many requests; until the case ends when left out.
    pub times: Option<u32>,
}

/// What can go wrong in Azure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// 429 with `Retry-After`.
    Throttled,
    /// 503.
    Unavailable,
    /// The connection is cut.
    Cut,
    /// Of a vault: its firewall refuses the caller's address.
    Firewalled,
    /// Of a vault: it takes connections by its private link alone.
    PrivateLink,
    /// Of an identity or service principal: a Conditional Access policy blocks it.
    BlockedByPolicy,
    /// Of an identity or service principal: three replicas of the directory, each of which learns of a federated credential a
    /// minute later.
    Lagging,
    /// Of the issuer: its host refuses connections.
    Unreachable,
    /// Of the issuer: it answers with a page for people.
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
    /// Its namespace; the case's own when left out.
    pub namespace: Option<Text>,
    /// The image; `quickstart/rust` is the quick-start program.
    pub image: Text,
    /// The service account; the namespace's default when left out.
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
    /// `automountServiceAccountToken`; not set when left out.
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
