//! What must follow, one word an expectation.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Patience, Refusal};
use crate::located::{Located, Text};
use crate::texts::{texts, texts_of_one};

/// An expectation.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Expectation {
    /// The result of a pod's admission review.
    Admission(AdmissionExpectation),
    /// The stored pod.
    Pod(PodExpectation),
    /// The claims of the projected token.
    Token(TokenExpectation),
    /// The answer of the identity provider.
    Exchange(ExchangeExpectation),
    /// The answer of the instance metadata service.
    Metadata(MetadataExpectation),
    /// The answer of the vault.
    SecretRead(SecretReadExpectation),
    /// The output of a container.
    Log(LogExpectation),
    /// An event about an object.
    Event(EventExpectation),
    /// The fields of an object.
    Object(ObjectExpectation),
    /// The published documents of the issuer.
    Issuer(IssuerExpectation),
    /// Whether the API server accepts a token for another audience.
    TokenReview(TokenReviewExpectation),
    /// The cluster stores no credential.
    NoCredential(NoCredentialExpectation),
    /// The permissions of a service account.
    Access(AccessExpectation),
    /// How a vault answers an unauthenticated request.
    Challenge(ChallengeExpectation),
    /// The webhook's own health and metrics.
    Webhook(WebhookExpectation),
}

/// The result of a pod's admission review.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AdmissionExpectation {
    /// The pod's name.
    pub of: Text,
    /// Its namespace; by default the case's.
    pub namespace: Option<Text>,
    /// The expected result.
    pub outcome: AdmissionOutcome,
    /// Time limit until it holds, such as `10s`.
    pub within: Option<Patience>,
    /// How long it must then continue to hold.
    pub throughout: Option<Patience>,
}

/// Results of an admission review.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AdmissionOutcome {
    /// Admitted, with everything that workload identity adds, nothing missing or wrong.
    Mutated,
    /// Admitted without mutation.
    Unchanged,
    /// Refused.
    Refused(Refusal),
}

/// The stored pod.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PodExpectation {
    /// The pod's name.
    pub name: Text,
    /// Its namespace; by default the case's.
    pub namespace: Option<Text>,
    /// The container; by default every container, including init containers.
    pub container: Option<Text>,
    /// Environment variables that must have these values.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// Environment variables that must not be set.
    #[serde(default)]
    pub without_env: Vec<Text>,
    /// The projected token volume, which must exist once and be mounted.
    pub token_volume: Option<TokenVolume>,
    /// True: the container must not mount the token volume.
    #[serde(default)]
    pub without_token_mount: bool,
    /// True: there must be no `kube-api-access-*` volume.
    #[serde(default)]
    pub without_api_token: bool,
    /// Fields that must have these values, by path: `spec.containers[app].image`, `metadata.labels[a/b]`.
    #[serde(default)]
    pub fields: BTreeMap<String, Located<Value>>,
    /// Fields that must be absent.
    #[serde(default)]
    pub without_fields: Vec<Text>,
    /// Time limit until it holds.
    pub within: Option<Patience>,
    /// How long it must then continue to hold.
    pub throughout: Option<Patience>,
}

/// The projected token volume.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TokenVolume {
    /// Audience of the projected token.
    pub audience: Text,
    /// Requested lifetime in seconds.
    pub expiration: i64,
}

/// The claims of the projected token, as the pod read it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TokenExpectation {
    /// The pod's name.
    pub of: Text,
    /// Its namespace; by default the case's.
    pub namespace: Option<Text>,
    /// The container; by default every container with output.
    pub container: Option<Text>,
    /// `iss`; by default the cluster's issuer.
    pub issuer: Option<Text>,
    /// `sub`.
    pub subject: Text,
    /// The one entry of `aud`; by default `api://AzureADTokenExchange`.
    pub audience: Option<Text>,
    /// `exp` − `iat` in seconds.
    pub lifetime: Option<i64>,
    /// True: it was issued after the first token that the pod read. False: it is still the first token.
    pub renewed: Option<bool>,
    /// Time limit until it holds.
    pub within: Option<Patience>,
    /// How long it must then continue to hold.
    pub throughout: Option<Patience>,
}

/// The answer of the identity provider.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExchangeExpectation {
    /// The pod that sent the request.
    pub by: Text,
    /// Its namespace; by default the case's.
    pub namespace: Option<Text>,
    /// The container; by default every container with output.
    pub container: Option<Text>,
    /// Handle of the requested identity.
    #[serde(rename = "as")]
    pub identity: Option<Text>,
    /// Handle of the tenant of the token; by default the target's own, or the one of `ask-token`.
    pub tenant: Option<Text>,
    /// The answer.
    pub outcome: ExchangeOutcome,
    /// Time limit until it holds.
    pub within: Option<Patience>,
    /// How long it must then continue to hold.
    pub throughout: Option<Patience>,
}

/// Answers of the identity provider.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExchangeOutcome {
    /// An access token of the identity.
    Granted,
    /// A refusal with this code, such as `AADSTS700213`.
    Refused(Text),
    /// No request was sent, because the program in the pod was not configured. The text is a part of its message.
    NotConfigured(Text),
}

/// The answer to a pod's request to the instance metadata service in `QUICKSTART_METADATA_URL`, which is the
/// proxy that the webhook injects.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MetadataExpectation {
    /// The pod that sent the request.
    pub by: Text,
    /// Its namespace; by default the case's.
    pub namespace: Option<Text>,
    /// The container; by default every container with output.
    pub container: Option<Text>,
    /// Handle of the identity of the token.
    #[serde(rename = "as")]
    pub identity: Option<Text>,
    /// Handle of the tenant of the token; by default the target's own, or the one of `ask-token`.
    pub tenant: Option<Text>,
    /// The requested resource; by default `https://vault.azure.net`.
    pub resource: Option<Text>,
    /// The answer.
    pub outcome: MetadataOutcome,
    /// Time limit until it holds.
    pub within: Option<Patience>,
    /// How long it must then continue to hold.
    pub throughout: Option<Patience>,
}

/// Answers of the token path of the instance metadata service.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MetadataOutcome {
    /// An access token, with every field that clients of the service read.
    Granted,
    /// A refusal with this status; the text is a part of its message.
    Refused(Refusal),
    /// Nobody answers there.
    Unanswered,
}

/// The answer of the vault.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SecretReadExpectation {
    /// The pod that sent the request.
    pub by: Text,
    /// Its namespace; by default the case's.
    pub namespace: Option<Text>,
    /// The container; by default every container with output.
    pub container: Option<Text>,
    /// Handle of the vault.
    pub vault: Text,
    /// Name of the secret.
    pub secret: Text,
    /// The answer.
    pub outcome: SecretReadOutcome,
    /// Time limit until it holds.
    pub within: Option<Patience>,
    /// How long it must then continue to hold.
    pub throughout: Option<Patience>,
}

/// Answers of a vault.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SecretReadOutcome {
    /// The secret, with the stored value.
    Allowed,
    /// 403 with this inner code: `AccessDenied` (`ForbiddenByPolicy` in newer services counts as the same).
    Forbidden(Text),
    /// 404 with this code: `SecretNotFound`.
    Missing(Text),
    /// 401: the vault does not accept tokens of that issuer. The text is a part of its message.
    Unauthorized(Text),
    /// Any other refusal, with this status and a part of its message, such as an unknown API version.
    Refused(Refusal),
    /// Not requested, because an earlier hop failed.
    NotAttempted,
}

/// The output of a container.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogExpectation {
    /// The pod's name.
    pub of: Text,
    /// Its namespace; by default the case's.
    pub namespace: Option<Text>,
    /// The container; by default every container with output.
    pub container: Option<Text>,
    /// A part of a line.
    pub line: Text,
    /// Time limit until it holds.
    pub within: Option<Patience>,
    /// How long it must then continue to hold.
    pub throughout: Option<Patience>,
}

/// An event about an object.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EventExpectation {
    /// Name of the object.
    pub of: Text,
    /// Its namespace; by default the case's.
    pub namespace: Option<Text>,
    /// The event's reason, such as `FailedCreate`.
    pub reason: Text,
    /// A part of its message.
    pub message: Text,
    /// Time limit until it holds.
    pub within: Option<Patience>,
    /// How long it must then continue to hold.
    pub throughout: Option<Patience>,
}

/// The fields of an object.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ObjectExpectation {
    /// Its kind.
    pub kind: Text,
    /// Group and version; by default `v1`.
    pub api_version: Option<Text>,
    /// Its name.
    pub name: Text,
    /// Its namespace; by default the case's.
    pub namespace: Option<Text>,
    /// True: it must be absent.
    #[serde(default)]
    pub absent: bool,
    /// Fields that must have these values, by path.
    #[serde(default)]
    pub fields: BTreeMap<String, Located<Value>>,
    /// Fields that must be absent.
    #[serde(default)]
    pub without_fields: Vec<Text>,
    /// Time limit until it holds.
    pub within: Option<Patience>,
    /// How long it must then continue to hold.
    pub throughout: Option<Patience>,
}

/// The published documents: a discovery document that names the cluster's issuer, and keys that a verifier
/// can use.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IssuerExpectation {
    /// The number of published keys.
    pub keys: u32,
    /// Time limit until it holds.
    pub within: Option<Patience>,
    /// How long it must then continue to hold.
    pub throughout: Option<Patience>,
}

/// Whether the API server accepts a token.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TokenReviewExpectation {
    /// The service account of the token.
    pub account: Text,
    /// Its namespace; by default the case's.
    pub namespace: Option<Text>,
    /// The audience of the token.
    pub audience: Text,
    /// Whether the API server accepts it.
    pub authenticated: bool,
    /// Time limit until it holds.
    pub within: Option<Patience>,
    /// How long it must then continue to hold.
    pub throughout: Option<Patience>,
}

/// The permissions of a service account, as the API server reports them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AccessExpectation {
    /// The account.
    pub account: Text,
    /// Its namespace; by default the case's.
    pub namespace: Option<Text>,
    /// The verb: `get`, `list`, `create`.
    pub verb: Text,
    /// The resource, in the plural: `serviceaccounts`.
    pub resource: Text,
    /// The API group; by default the core group.
    pub group: Option<Text>,
    /// The namespace; by default the case's.
    pub r#in: Option<Text>,
    /// Whether it is permitted.
    pub allowed: bool,
    /// Time limit until it holds.
    pub within: Option<Patience>,
    /// How long it must then continue to hold.
    pub throughout: Option<Patience>,
}

/// How a vault answers an unauthenticated request: with 401, and with a challenge that names the authority and the resource.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ChallengeExpectation {
    /// Handle of the vault.
    pub vault: Text,
    /// Time limit until it holds.
    pub within: Option<Patience>,
    /// How long it must then continue to hold.
    pub throughout: Option<Patience>,
}

/// The webhook's own health and metrics, on the ports for kubelets and Prometheus.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WebhookExpectation {
    /// True: each of its pods answers both probes with 200.
    #[serde(default)]
    pub well: bool,
    /// The number of reviews of the case's namespace that it has counted.
    pub reviews: Option<u64>,
    /// Texts that one line of its log must hold together, which is a JSON object.
    #[serde(default)]
    pub logged: Vec<Text>,
    /// Time limit until it holds.
    pub within: Option<Patience>,
    /// How long it must then continue to hold.
    pub throughout: Option<Patience>,
}

/// The cluster stores no credential: no object in the case's namespaces contains a value that Azure accepts.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NoCredentialExpectation {
    /// Kinds that are searched in the case's namespace.
    pub in_kinds: Vec<Text>,
    /// Time limit until it holds.
    pub within: Option<Patience>,
    /// How long it must then continue to hold.
    pub throughout: Option<Patience>,
}

/// What an expectation speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// A pod, or the pods of a workload written as `deployment/NAME`, by name and namespace.
    Pod(&'a str, Option<&'a str>),
    /// Anything else in the cluster.
    Cluster,
}

/// What an expectation asks of what a pod's containers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// Nothing: what they say does not decide.
    Nothing,
    /// That they say something, whatever came of what they tried.
    Word,
    /// That they were granted a token or read a secret.
    Success,
}

impl Expectation {
    /// How long it may take until it holds, if the scenario says so.
    pub fn within(&self) -> Option<std::time::Duration> {
        self.bounds().0.map(|patience| patience.0)
    }

    /// How long it must then continue to hold.
    pub fn throughout(&self) -> Option<std::time::Duration> {
        self.bounds().1.map(|patience| patience.0)
    }

    fn bounds(&self) -> (Option<Patience>, Option<Patience>) {
        match self {
            Expectation::Admission(e) => (e.within, e.throughout),
            Expectation::Pod(e) => (e.within, e.throughout),
            Expectation::Token(e) => (e.within, e.throughout),
            Expectation::Exchange(e) => (e.within, e.throughout),
            Expectation::Metadata(e) => (e.within, e.throughout),
            Expectation::SecretRead(e) => (e.within, e.throughout),
            Expectation::Log(e) => (e.within, e.throughout),
            Expectation::Event(e) => (e.within, e.throughout),
            Expectation::Object(e) => (e.within, e.throughout),
            Expectation::Issuer(e) => (e.within, e.throughout),
            Expectation::TokenReview(e) => (e.within, e.throughout),
            Expectation::NoCredential(e) => (e.within, e.throughout),
            Expectation::Access(e) => (e.within, e.throughout),
            Expectation::Challenge(e) => (e.within, e.throughout),
            Expectation::Webhook(e) => (e.within, e.throughout),
        }
    }

    /// What it asks of what a pod's containers say of themselves.
    pub fn asks(&self) -> Asks {
        match self {
            Expectation::Exchange(e) if matches!(e.outcome, ExchangeOutcome::Granted) => Asks::Success,
            Expectation::SecretRead(e) => match e.outcome {
                SecretReadOutcome::Allowed => Asks::Success,
                SecretReadOutcome::NotAttempted => Asks::Nothing,
                SecretReadOutcome::Forbidden(_)
                | SecretReadOutcome::Missing(_)
                | SecretReadOutcome::Unauthorized(_)
                | SecretReadOutcome::Refused(_) => Asks::Word,
            },
            Expectation::Token(_) | Expectation::Exchange(_) | Expectation::Metadata(_) | Expectation::Log(_) => {
                Asks::Word
            }
            Expectation::Admission(_)
            | Expectation::Pod(_)
            | Expectation::Event(_)
            | Expectation::Object(_)
            | Expectation::Issuer(_)
            | Expectation::TokenReview(_)
            | Expectation::NoCredential(_)
            | Expectation::Access(_)
            | Expectation::Challenge(_)
            | Expectation::Webhook(_) => Asks::Nothing,
        }
    }

    /// The container that it speaks of, where it names one.
    pub fn container(&self) -> Option<&str> {
        match self {
            Expectation::Pod(e) => e.container.as_ref(),
            Expectation::Log(e) => e.container.as_ref(),
            Expectation::Token(e) => e.container.as_ref(),
            Expectation::Exchange(e) => e.container.as_ref(),
            Expectation::Metadata(e) => e.container.as_ref(),
            Expectation::SecretRead(e) => e.container.as_ref(),
            Expectation::Admission(_)
            | Expectation::Event(_)
            | Expectation::Object(_)
            | Expectation::Issuer(_)
            | Expectation::TokenReview(_)
            | Expectation::NoCredential(_)
            | Expectation::Access(_)
            | Expectation::Challenge(_)
            | Expectation::Webhook(_) => None,
        }
        .map(|name| name.value.as_str())
    }

    /// What it speaks of.
    pub fn subject(&self) -> Subject<'_> {
        fn pod<'a>(name: &'a Text, namespace: &'a Option<Text>) -> Subject<'a> {
            Subject::Pod(name, namespace.as_ref().map(|text| text.value.as_str()))
        }
        match self {
            Expectation::Admission(e) => pod(&e.of, &e.namespace),
            Expectation::Pod(e) => pod(&e.name, &e.namespace),
            Expectation::Token(e) => pod(&e.of, &e.namespace),
            Expectation::Exchange(e) => pod(&e.by, &e.namespace),
            Expectation::Metadata(e) => pod(&e.by, &e.namespace),
            Expectation::SecretRead(e) => pod(&e.by, &e.namespace),
            Expectation::Log(e) => pod(&e.of, &e.namespace),
            Expectation::Event(_)
            | Expectation::Object(_)
            | Expectation::Issuer(_)
            | Expectation::TokenReview(_)
            | Expectation::NoCredential(_)
            | Expectation::Access(_)
            | Expectation::Challenge(_)
            | Expectation::Webhook(_) => Subject::Cluster,
        }
    }
}

texts! {
    AdmissionExpectation { of, namespace, outcome }
    PodExpectation { name, namespace, container, env, without_env, token_volume, fields, without_fields }
    TokenVolume { audience }
    TokenExpectation { of, namespace, container, issuer, subject, audience }
    ExchangeExpectation { by, namespace, container, outcome }
    MetadataExpectation { by, namespace, container, resource, outcome }
    SecretReadExpectation { by, namespace, container, outcome }
    LogExpectation { of, namespace, container, line }
    EventExpectation { of, namespace, reason, message }
    ObjectExpectation { kind, api_version, name, namespace, fields, without_fields }
    TokenReviewExpectation { account, namespace, audience }
    NoCredentialExpectation { in_kinds }
    AccessExpectation { account, namespace, verb, resource, group, r#in }
    WebhookExpectation { logged }
}
texts_of_one! {
    AdmissionOutcome { Refused .. _ }
    ExchangeOutcome { Refused, NotConfigured .. _ }
    MetadataOutcome { Refused .. _ }
    SecretReadOutcome { Forbidden, Missing, Unauthorized, Refused .. _ }
    Expectation {
        Admission, Pod, Token, Exchange, Metadata, SecretRead, Log, Event, Object, TokenReview, NoCredential, Access, Webhook
        .. _
    }
}
