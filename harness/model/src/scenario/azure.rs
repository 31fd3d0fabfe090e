//! What Azure holds: identities, service principals, vaults.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::located::{Located, Text};
use crate::texts::{texts, texts_of_one};

/// The state of Azure. The keys are handles of the scenario.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AzureState {
    /// User-assigned managed identities.
    #[serde(default)]
    pub identities: BTreeMap<String, Identity>,
    /// App registrations with a service principal.
    #[serde(default)]
    pub service_principals: BTreeMap<String, ServicePrincipal>,
    /// Key vaults.
    #[serde(default)]
    pub vaults: BTreeMap<String, Vault>,
    /// Further tenants.
    #[serde(default)]
    pub tenants: BTreeMap<String, OtherTenant>,
}

impl AzureState {
    /// Every id that is stated instead of made up by Azure.
    pub fn chosen_ids(&self) -> impl Iterator<Item = &Text> {
        let identities = self.identities.values().flat_map(|of| [&of.client_id, &of.principal_id]);
        let principals = self.service_principals.values().flat_map(|of| [&of.client_id, &of.principal_id]);
        identities.chain(principals).flatten()
    }

    /// Whether an id is stated.
    pub fn chooses_ids(&self) -> bool {
        self.chosen_ids().next().is_some()
    }

    /// Whether something is named that there is once in the world.
    pub fn chooses_names(&self) -> bool {
        self.chooses_ids() || self.vaults.values().any(|vault| vault.name.is_some())
    }
}

/// A further tenant.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OtherTenant {
    /// Handles of service principals whose applications it also knows and issues tokens for. A managed identity has
    /// one tenant.
    #[serde(default)]
    pub knows: Vec<Text>,
}

/// A user-assigned managed identity.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Identity {
    /// The resource's name; by default derived from the handle.
    pub name: Option<Text>,
    /// Its client id, if manifests contain it literally; by default Azure assigns one.
    pub client_id: Option<Text>,
    /// The object id of its service principal, likewise.
    pub principal_id: Option<Text>,
    /// Whether it has its own resource group; by default it is in the case's.
    #[serde(default)]
    pub other_group: bool,
    /// Its federated identity credentials.
    #[serde(default)]
    pub federated: Vec<Located<FederatedCredential>>,
}

/// An app registration with its service principal.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServicePrincipal {
    /// Display name; by default derived from the handle.
    pub name: Option<Text>,
    /// Its client id, if manifests contain it literally; by default Azure assigns one.
    pub client_id: Option<Text>,
    /// Its object id, likewise.
    pub principal_id: Option<Text>,
    /// Its federated identity credentials.
    #[serde(default)]
    pub federated: Vec<Located<FederatedCredential>>,
}

/// A federated identity credential.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FederatedCredential {
    /// The credential's name; by default numbered.
    pub name: Option<Text>,
    /// The issuer to trust, byte for byte; by default the cluster's.
    pub issuer: Option<Text>,
    /// The subject to trust, `system:serviceaccount:NAMESPACE:NAME`.
    pub subject: Option<Text>,
    /// An expression over the claims of tokens to trust, in the place of a subject: for issuers that Azure lets have one.
    pub claims_matching_expression: Option<Text>,
    /// The audience to trust; by default `api://AzureADTokenExchange`.
    pub audience: Option<Text>,
}

/// A key vault.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Vault {
    /// Its name, if manifests contain its address literally; by default a generated one.
    pub name: Option<Text>,
    /// The vault's secrets. `{{random}}` makes a value that is new each time.
    #[serde(default)]
    pub secrets: BTreeMap<String, StoredSecret>,
    /// Its access model.
    #[serde(default)]
    pub access_model: AccessModel,
    /// Its access policies.
    #[serde(default)]
    pub access: Vec<Located<AccessPolicy>>,
    /// Handles of principals with the role Key Vault Secrets User on it.
    #[serde(default)]
    pub secrets_user: Vec<Text>,
    /// Role assignments on it, on its resource group or on the subscription.
    #[serde(default)]
    pub roles: Vec<Located<RoleAssignment>>,
    /// Set by a mutant: the vault stores other values than `secrets` says.
    #[serde(skip)]
    #[schemars(skip)]
    pub decoy: bool,
}

/// The access model of a vault.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AccessModel {
    /// Access policies.
    #[default]
    Policies,
    /// Role assignments.
    Roles,
    /// Not stated when the vault is created, so that Azure applies its default.
    Unstated,
}

/// A secret: its value, or its value with attributes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum StoredSecret {
    /// The value alone.
    Value(Text),
    /// The value with its attributes.
    With(SecretWith),
}

/// A secret with attributes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SecretWith {
    /// The value.
    pub value: Text,
    /// Whether it may be read.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether it was deleted after writing.
    #[serde(default)]
    pub deleted: bool,
}

fn yes() -> bool {
    true
}

impl StoredSecret {
    /// Its value.
    pub fn value(&self) -> &Text {
        match self {
            StoredSecret::Value(value) => value,
            StoredSecret::With(with) => &with.value,
        }
    }

    /// Whether it may be read.
    pub fn enabled(&self) -> bool {
        !matches!(self, StoredSecret::With(with) if !with.enabled)
    }

    /// Whether it was deleted after writing.
    pub fn deleted(&self) -> bool {
        matches!(self, StoredSecret::With(with) if with.deleted)
    }
}

/// A role assignment.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RoleAssignment {
    /// Handle of the identity or service principal.
    pub to: Text,
    /// The role by its name in Azure, built-in or custom: `Key Vault Secrets User`.
    pub role: Text,
    /// The scope; by default the vault.
    #[serde(default)]
    pub at: RoleScope,
}

/// The scope of a role assignment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RoleScope {
    /// The vault.
    #[default]
    Vault,
    /// The vault's resource group.
    Group,
    /// The subscription.
    Subscription,
}

/// An access policy of a vault.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AccessPolicy {
    /// Handle of the identity or service principal.
    pub to: Text,
    /// The permissions on secrets.
    #[serde(default)]
    pub secrets: Vec<SecretRight>,
    /// The permissions on keys.
    #[serde(default)]
    pub keys: Vec<ObjectRight>,
    /// The permissions on certificates.
    #[serde(default)]
    pub certificates: Vec<ObjectRight>,
}

/// A permission on the keys or the certificates of a vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectRight {
    /// Read the public part.
    Get,
    /// List the names.
    List,
    /// Make one.
    Create,
    /// Delete one.
    Delete,
}

impl ObjectRight {
    /// The word that ARM uses.
    pub fn word(self) -> &'static str {
        match self {
            ObjectRight::Get => "get",
            ObjectRight::List => "list",
            ObjectRight::Create => "create",
            ObjectRight::Delete => "delete",
        }
    }
}

/// A permission on the secrets of a vault.
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

texts! {
    AzureState { identities, service_principals, vaults }
    Identity { name, federated }
    ServicePrincipal { name, federated }
    FederatedCredential { name, issuer, subject, claims_matching_expression, audience }
    Vault { name, secrets, roles }
    RoleAssignment { role }
    SecretWith { value }
}
texts_of_one! { StoredSecret { Value, With } }
