//! The scenario file: what a cluster and an Azure hold, what is done, and what must follow.
//!
//! The vocabulary is closed: every unknown word is an error. `scenarios/README.md` explains each word in a line.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::capability::Capability;
use crate::located::{Located, Text};

/// One scenario file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// One sentence that says what must hold.
    pub title: Text,
    /// Ids of the requirements that this scenario shows, from `requirements.yaml`.
    pub requirements: Vec<Text>,
    /// Where the set-up comes from, as a URL.
    pub source: Option<String>,
    /// Capabilities that a target must have; without them the scenario is not applicable there.
    #[serde(default)]
    pub needs: Vec<Located<Capability>>,
    /// Defects that must turn this scenario red.
    pub saboteurs: Vec<Text>,
    /// The state before anything is done.
    #[serde(default)]
    pub given: Given,
    /// What is done, in order.
    pub when: Vec<Located<Step>>,
    /// What must follow.
    pub then: Vec<Located<Expectation>>,
}

/// The state before anything is done.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Given {
    /// The name of the case's own namespace; one that is unique to the run when left out.
    pub namespace: Option<Text>,
    /// The state of the webhook's installation.
    #[serde(default)]
    pub webhook: WebhookState,
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
}

/// What Azure holds. The names on the left are the scenario's own handles.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AzureState {
    /// User-assigned managed identities.
    #[serde(default)]
    pub identities: BTreeMap<String, Identity>,
    /// App registrations with a service principal.
    #[serde(default)]
    pub service_principals: BTreeMap<String, ServicePrincipal>,
    /// Key vaults in access-policy mode.
    #[serde(default)]
    pub vaults: BTreeMap<String, Vault>,
}

/// A user-assigned managed identity.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Identity {
    /// The resource's name; made from the handle when left out.
    pub name: Option<Text>,
    /// Its federated identity credentials.
    #[serde(default)]
    pub federated: Vec<Located<FederatedCredential>>,
}

/// An app registration with its service principal.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServicePrincipal {
    /// Display name; made from the handle when left out.
    pub name: Option<Text>,
    /// Its federated identity credentials.
    #[serde(default)]
    pub federated: Vec<Located<FederatedCredential>>,
}

/// A federated identity credential: whom its parent trusts.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FederatedCredential {
    /// The credential's name; numbered when left out.
    pub name: Option<Text>,
    /// The issuer to trust, byte for byte; the cluster's when left out.
    pub issuer: Option<Text>,
    /// The subject to trust, `system:serviceaccount:NAMESPACE:NAME`.
    pub subject: Text,
    /// The audience to trust; `api://AzureADTokenExchange` when left out.
    pub audience: Option<Text>,
}

/// A key vault in access-policy mode.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Vault {
    /// The vault's secrets, name and value. `{{random}}` makes a value that is new each time.
    #[serde(default)]
    pub secrets: BTreeMap<String, Text>,
    /// Its access policies.
    #[serde(default)]
    pub access: Vec<Located<AccessPolicy>>,
    /// Set by a saboteur: the vault is given other values than `secrets` says.
    #[serde(skip)]
    #[schemars(skip)]
    pub decoy: bool,
}

/// An access policy of a vault.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AccessPolicy {
    /// Handle of the identity or service principal that gets the right.
    pub to: Text,
    /// The rights on secrets.
    pub secrets: Vec<SecretRight>,
}

/// A right on the secrets of a vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SecretRight {
    /// Read a secret's value.
    Get,
    /// List the secrets' names.
    List,
    /// Write a secret.
    Set,
    /// Delete a secret.
    Delete,
}

impl SecretRight {
    /// The word that ARM uses.
    pub fn word(self) -> &'static str {
        match self {
            SecretRight::Get => "get",
            SecretRight::List => "list",
            SecretRight::Set => "set",
            SecretRight::Delete => "delete",
        }
    }
}

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
#[derive(Debug, Clone, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Deserialize, JsonSchema)]
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

/// Something that is done.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Creates a pod with one container, called `app`.
    CreatePod(CreatePod),
    /// Creates the objects of manifests.
    Apply(Manifests),
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
    /// What the vault answered.
    SecretRead(SecretReadExpectation),
    /// What a container printed.
    Log(LogExpectation),
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

/// A refusal by the API server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// Text that the message must hold.
    pub message: Text,
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
    /// How long it may take.
    pub within: Option<Patience>,
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
    /// `iss`; the cluster's issuer when left out.
    pub issuer: Option<Text>,
    /// `sub`.
    pub subject: Text,
    /// The one entry of `aud`; `api://AzureADTokenExchange` when left out.
    pub audience: Option<Text>,
    /// `exp` − `iat` in seconds.
    pub lifetime: Option<i64>,
    /// How long it may take.
    pub within: Option<Patience>,
}

/// What the identity provider answered.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExchangeExpectation {
    /// The pod that asked.
    pub by: Text,
    /// Its namespace; the case's own when left out.
    pub namespace: Option<Text>,
    /// Handle of the identity that it asked for.
    #[serde(rename = "as")]
    pub identity: Option<Text>,
    /// The answer.
    pub outcome: ExchangeOutcome,
    /// How long it may take.
    pub within: Option<Patience>,
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

/// What the vault answered.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SecretReadExpectation {
    /// The pod that asked.
    pub by: Text,
    /// Its namespace; the case's own when left out.
    pub namespace: Option<Text>,
    /// Handle of the vault.
    pub vault: Text,
    /// Name of the secret.
    pub secret: Text,
    /// The answer.
    pub outcome: SecretReadOutcome,
    /// How long it may take.
    pub within: Option<Patience>,
}

/// Answers of a vault.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SecretReadOutcome {
    /// The secret, with the value that was stored.
    Allowed,
    /// 403 with this inner code: `AccessDenied` (`ForbiddenByPolicy` in newer services counts as the same).
    Forbidden(Text),
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
    /// The container; the first when left out.
    pub container: Option<Text>,
    /// Text that a line must hold.
    pub line: Text,
    /// How long it may take.
    pub within: Option<Patience>,
}

/// A duration such as `500ms`, `10s` or `2m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct Patience(pub std::time::Duration);

impl<'de> Deserialize<'de> for Patience {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_patience(&text).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "`{text}` is not a duration; write a number and ms, s or m, such as `10s`"
            ))
        })
    }
}

impl serde::Serialize for Patience {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_millis() {
            millis if millis % 1000 == 0 => serializer.collect_str(&format_args!("{}s", millis / 1000)),
            millis => serializer.collect_str(&format_args!("{millis}ms")),
        }
    }
}

fn parse_patience(text: &str) -> Option<Patience> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..split].parse().ok()?;
    let millis = match &text[split..] {
        "ms" => number,
        "s" => number.checked_mul(1000)?,
        "m" => number.checked_mul(60_000)?,
        _ => return None,
    };
    (millis > 0).then_some(Patience(std::time::Duration::from_millis(millis)))
}

impl Expectation {
    /// How long it may take, if the scenario says so.
    pub fn within(&self) -> Option<std::time::Duration> {
        match self {
            Expectation::Admission(e) => e.within,
            Expectation::Pod(e) => e.within,
            Expectation::Token(e) => e.within,
            Expectation::Exchange(e) => e.within,
            Expectation::SecretRead(e) => e.within,
            Expectation::Log(e) => e.within,
        }
        .map(|patience| patience.0)
    }

    /// The pod that it speaks of: name, and namespace where one is written.
    pub fn pod(&self) -> (&str, Option<&str>) {
        fn namespace(text: &Option<Text>) -> Option<&str> {
            text.as_ref().map(|t| t.value.as_str())
        }
        match self {
            Expectation::Admission(e) => (&e.of, namespace(&e.namespace)),
            Expectation::Pod(e) => (&e.name, namespace(&e.namespace)),
            Expectation::Token(e) => (&e.of, namespace(&e.namespace)),
            Expectation::Exchange(e) => (&e.by, namespace(&e.namespace)),
            Expectation::SecretRead(e) => (&e.by, namespace(&e.namespace)),
            Expectation::Log(e) => (&e.of, namespace(&e.namespace)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        let millis = |text| parse_patience(text).map(|p| p.0.as_millis());
        assert_eq!(millis("500ms"), Some(500));
        assert_eq!(millis("10s"), Some(10_000));
        assert_eq!(millis("2m"), Some(120_000));
        for wrong in ["", "10", "s", "0s", "-1s", "1h", "1.5s", "99999999999999999999s"] {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
    }
}
