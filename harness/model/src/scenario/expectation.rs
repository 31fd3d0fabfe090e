//! What must follow, one word an expectation.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Patience, Refusal};
use crate::located::{Located, Text};
use crate::texts::{texts, texts_of_one};

/// Something that must follow.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Expectation {
    /// What admission made of a pod.
    Admission(AdmissionExpectation),
    /// What the stored pod says.
    Pod(PodExpectation),
    /// What the projected token says.
    Token(TokenExpectation),
    /// What the identity provider answered.
    Exchange(ExchangeExpectation),
    /// What was answered at the address of the instance metadata service.
    Metadata(MetadataExpectation),
    /// What the vault answered.
    SecretRead(SecretReadExpectation),
    /// What a container printed.
    Log(LogExpectation),
    /// What the cluster tells about an object.
    Event(EventExpectation),
    /// What an object of the cluster says.
    Object(ObjectExpectation),
    /// What the cluster publishes of its issuer.
    Issuer(IssuerExpectation),
    /// What the API server makes of a token that was made for somebody else.
    TokenReview(TokenReviewExpectation),
    /// No credential lies in the cluster.
    NoCredential(NoCredentialExpectation),
    /// What an account may do.
    Access(AccessExpectation),
    /// How a vault answers an unauthenticated request.
    Challenge(ChallengeExpectation),
    /// What the webhook says of itself.
    Webhook(WebhookExpectation),
}

/// What admission made of a pod.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AdmissionExpectation {
    /// The pod's name.
    pub of: Text,
    /// Its namespace; the case's own when left out.
    pub namespace: Option<Text>,
    /// What must have happened.
    pub outcome: AdmissionOutcome,
    /// How long it may take, such as `10s`.
    pub within: Option<Patience>,
    /// For how long it must then go on to hold.
    pub throughout: Option<Patience>,
}

/// What can happen at admission.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AdmissionOutcome {
    /// Admitted, with everything that workload identity adds and nothing of it missing or wrong.
    Mutated,
    /// Admitted, with nothing of what workload identity adds.
    Unchanged,
    /// Refused.
    Refused(Refusal),
}

/// What the stored pod says.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PodExpectation {
    /// The pod's name.
    pub name: Text,
    /// Its namespace; the case's own when left out.
    pub namespace: Option<Text>,
    /// The container looked at; every container, init containers included, when left out.
    pub container: Option<Text>,
    /// Environment entries that must be there with these values.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// Environment entries that must not be there.
    #[serde(default)]
    pub without_env: Vec<Text>,
    /// The projected token volume, which must be there once and be mounted.
    pub token_volume: Option<TokenVolume>,
    /// True: the container must not mount the token volume.
    #[serde(default)]
    pub without_token_mount: bool,
    /// True: no `kube-api-access-*` volume may be there.
    #[serde(default)]
    pub without_api_token: bool,
    /// Fields that must be there with these values, by path: `spec.containers[app].image`, `metadata.labels[a/b]`.
    #[serde(default)]
    pub fields: BTreeMap<String, Located<Value>>,
    /// Fields that must not be there.
    #[serde(default)]
    pub without_fields: Vec<Text>,
    /// How long it may take.
    pub within: Option<Patience>,
    /// For how long it must then go on to hold.
    pub throughout: Option<Patience>,
}

/// The projected token volume.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TokenVolume {
    /// Audience of the projected token.
    pub audience: Text,
    /// Requested life in seconds.
    pub expiration: i64,
}

/// What the projected token says, as the pod read it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TokenExpectation {
    /// The pod's name.
    pub of: Text,
    /// Its namespace; the case's own when left out.
    pub namespace: Option<Text>,
    /// The container that is meant; every container that speaks when left out.
    pub container: Option<Text>,
    /// `iss`; the cluster's issuer when left out.
    pub issuer: Option<Text>,
    /// `sub`.
    pub subject: Text,
    /// The one entry of `aud`; `api://AzureADTokenExchange` when left out.
    pub audience: Option<Text>,
    /// `exp` − `iat` in seconds.
    pub lifetime: Option<i64>,
    /// True: it is another one than the pod read first, and was issued later. False: it is still the same.
    pub renewed: Option<bool>,
    /// How long it may take.
    pub within: Option<Patience>,
    /// For how long it must then go on to hold.
    pub throughout: Option<Patience>,
}

/// What the identity provider answered.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExchangeExpectation {
    /// The pod that asked.
    pub by: Text,
    /// Its namespace; the case's own when left out.
    pub namespace: Option<Text>,
    /// The container that is meant; every container that speaks when left out.
    pub container: Option<Text>,
    /// Handle of the identity that it asked for.
    #[serde(rename = "as")]
    pub identity: Option<Text>,
    /// Handle of the tenant that the token is of; the target's own when left out, or the one that `ask-token` asked.
    pub tenant: Option<Text>,
    /// The answer.
    pub outcome: ExchangeOutcome,
    /// How long it may take.
    pub within: Option<Patience>,
    /// For how long it must then go on to hold.
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
    /// Nothing was asked: the program in the pod was not configured. The text is a part of what it said.
    NotConfigured(Text),
}

/// What a pod was answered at the address of the instance metadata service that `QUICKSTART_METADATA_URL` names: by the
/// proxy that the webhook injects.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MetadataExpectation {
    /// The pod that asked.
    pub by: Text,
    /// Its namespace; the case's own when left out.
    pub namespace: Option<Text>,
    /// The container that is meant; every container that speaks when left out.
    pub container: Option<Text>,
    /// Handle of the identity that it was given a token of.
    #[serde(rename = "as")]
    pub identity: Option<Text>,
    /// Handle of the tenant that the token is of; the target's own when left out, or the one that `ask-token` asked.
    pub tenant: Option<Text>,
    /// The resource that it asked for; `https://vault.azure.net` when left out.
    pub resource: Option<Text>,
    /// The answer.
    pub outcome: MetadataOutcome,
    /// How long it may take.
    pub within: Option<Patience>,
    /// For how long it must then go on to hold.
    pub throughout: Option<Patience>,
}

/// Answers of the token path of the instance metadata service.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MetadataOutcome {
    /// An access token, with everything that the service's clients read.
    Granted,
    /// A refusal with this status; the text is a part of what it says.
    Refused(Refusal),
    /// Nobody answers there.
    Unanswered,
}

/// What the vault answered.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SecretReadExpectation {
    /// The pod that asked.
    pub by: Text,
    /// Its namespace; the case's own when left out.
    pub namespace: Option<Text>,
    /// The container that is meant; every container that speaks when left out.
    pub container: Option<Text>,
    /// Handle of the vault.
    pub vault: Text,
    /// Name of the secret.
    pub secret: Text,
    /// The answer.
    pub outcome: SecretReadOutcome,
    /// How long it may take.
    pub within: Option<Patience>,
    /// For how long it must then go on to hold.
    pub throughout: Option<Patience>,
}

/// Answers of a vault.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SecretReadOutcome {
    /// The secret, with the value that was stored.
    Allowed,
    /// 403 with this inner code: `AccessDenied` (`ForbiddenByPolicy` in newer services counts as the same).
    Forbidden(Text),
    /// 404 with this code: `SecretNotFound`.
    Missing(Text),
    /// 401: the vault takes no token of that issuer. The text is a part of what it says.
    Unauthorized(Text),
    /// Any other refusal, with this status and a part of what is said: a version of the interface that is not known.
    Refused(Refusal),
    /// Never asked, because an earlier hop broke.
    NotAttempted,
}

/// What a container printed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogExpectation {
    /// The pod's name.
    pub of: Text,
    /// Its namespace; the case's own when left out.
    pub namespace: Option<Text>,
    /// The container that is meant; every container that prints anything when left out.
    pub container: Option<Text>,
    /// Text that a line must hold.
    pub line: Text,
    /// How long it may take.
    pub within: Option<Patience>,
    /// For how long it must then go on to hold.
    pub throughout: Option<Patience>,
}

/// What the cluster tells about an object.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EventExpectation {
    /// Name of the object.
    pub of: Text,
    /// Its namespace; the case's own when left out.
    pub namespace: Option<Text>,
    /// The event's reason, such as `FailedCreate`.
    pub reason: Text,
    /// Text that its message must hold.
    pub message: Text,
    /// How long it may take.
    pub within: Option<Patience>,
    /// For how long it must then go on to hold.
    pub throughout: Option<Patience>,
}

/// What an object of the cluster says.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ObjectExpectation {
    /// Its kind.
    pub kind: Text,
    /// Group and version; `v1` when left out.
    pub api_version: Option<Text>,
    /// Its name.
    pub name: Text,
    /// Its namespace; the case's own when left out.
    pub namespace: Option<Text>,
    /// True: it must not be there.
    #[serde(default)]
    pub absent: bool,
    /// Fields that must be there with these values, by path.
    #[serde(default)]
    pub fields: BTreeMap<String, Located<Value>>,
    /// Fields that must not be there.
    #[serde(default)]
    pub without_fields: Vec<Text>,
    /// How long it may take.
    pub within: Option<Patience>,
    /// For how long it must then go on to hold.
    pub throughout: Option<Patience>,
}

/// What the cluster publishes of its issuer: a discovery document that names the very issuer, and keys that a verifier
/// can use.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IssuerExpectation {
    /// How many keys are published.
    pub keys: u32,
    /// How long it may take.
    pub within: Option<Patience>,
    /// For how long it must then go on to hold.
    pub throughout: Option<Patience>,
}

/// What the API server makes of a token.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TokenReviewExpectation {
    /// The account that the token is made for.
    pub account: Text,
    /// Its namespace; the case's own when left out.
    pub namespace: Option<Text>,
    /// The audience that it is made for.
    pub audience: Text,
    /// Whether the API server takes it for itself.
    pub authenticated: bool,
    /// How long it may take.
    pub within: Option<Patience>,
    /// For how long it must then go on to hold.
    pub throughout: Option<Patience>,
}

/// What an account may do, by the cluster's own word.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AccessExpectation {
    /// The account.
    pub account: Text,
    /// Its namespace; the case's own when left out.
    pub namespace: Option<Text>,
    /// What it would do: `get`, `list`, `create`.
    pub verb: Text,
    /// With what, in the plural: `serviceaccounts`.
    pub resource: Text,
    /// The API group of that; the core group when left out.
    pub group: Option<Text>,
    /// In which namespace; the case's own when left out.
    pub r#in: Option<Text>,
    /// Whether it may.
    pub allowed: bool,
    /// How long it may take.
    pub within: Option<Patience>,
    /// For how long it must then go on to hold.
    pub throughout: Option<Patience>,
}

/// How a vault answers an unauthenticated request: with 401, and with a challenge that names the authority and the resource.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ChallengeExpectation {
    /// Handle of the vault.
    pub vault: Text,
    /// How long it may take.
    pub within: Option<Patience>,
    /// For how long it must then go on to hold.
    pub throughout: Option<Patience>,
}

/// What the webhook says of itself, on the ports where kubelets and Prometheus ask it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WebhookExpectation {
    /// True: each of its pods answers both probes with 200.
    #[serde(default)]
    pub well: bool,
    /// How many reviews of pods of the case's own namespace it has counted.
    pub reviews: Option<u64>,
    /// Texts that one line of its log must hold together, which is a JSON object.
    #[serde(default)]
    pub logged: Vec<Text>,
    /// How long it may take.
    pub within: Option<Patience>,
    /// For how long it must then go on to hold.
    pub throughout: Option<Patience>,
}

/// No credential lies in the cluster: no value that Azure would take, in any object of the case's namespaces.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NoCredentialExpectation {
    /// Kinds that are looked through, in the case's own namespace.
    pub in_kinds: Vec<Text>,
    /// How long it may take.
    pub within: Option<Patience>,
    /// For how long it must then go on to hold.
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

    /// For how long it must then go on to hold.
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
