//! What Azure holds: identities, service principals, vaults.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::located::{Located, Text};
use crate::texts::{texts, texts_of_one};

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
    /// Key vaults.
    #[serde(default)]
    pub vaults: BTreeMap<String, Vault>,
    /// Tenants beside the target's.
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

/// A tenant beside the target's.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OtherTenant {
    /// Handles of service principals whose applications it knows too, and gives tokens of its own. A managed identity has
    /// one tenant.
    #[serde(default)]
    pub knows: Vec<Text>,
}

/// A user-assigned managed identity.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Identity {
    /// The resource's name; made from the handle when left out.
    pub name: Option<Text>,
    /// Its client id, where manifests name one literally; Azure makes one up when left out.
    pub client_id: Option<Text>,
    /// The object id of its service principal, the same way.
    pub principal_id: Option<Text>,
    /// A resource group of its own, apart from the case's; the case's when left out.
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
    /// Display name; made from the handle when left out.
    pub name: Option<Text>,
    /// Its client id, where manifests name one literally; Azure makes one up when left out.
    pub client_id: Option<Text>,
    /// Its object id, the same way.
    pub principal_id: Option<Text>,
    /// Its federated identity credentials.
    #[serde(default)]
    pub federated: Vec<Located<FederatedCredential>>,
}

/// A federated identity credential: whom its parent trusts.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FederatedCredential {
    /// The credential's name; numbered when left out.
    pub name: Option<Text>,
    /// The issuer to trust, byte for byte; the cluster's when left out.
    pub issuer: Option<Text>,
    /// The subject to trust, `system:serviceaccount:NAMESPACE:NAME`.
    pub subject: Option<Text>,
    /// An expression over the claims of tokens to trust, in the place of a subject: for issuers that Azure lets have one.
    pub claims_matching_expression: Option<Text>,
    /// The audience to trust; `api://AzureADTokenExchange` when left out.
    pub audience: Option<Text>,
}

/// A key vault.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Vault {
    /// Its name, where manifests name its address literally; one that nobody else has when left out.
    pub name: Option<Text>,
    /// The vault's secrets. `{{random}}` makes a value that is new each time.
    #[serde(default)]
    pub secrets: BTreeMap<String, StoredSecret>,
    /// Which of its two ways to give rights it heeds.
    #[serde(default)]
    pub access_model: AccessModel,
    /// Its access policies.
    #[serde(default)]
    pub access: Vec<Located<AccessPolicy>>,
    /// Who is given the role Key Vault Secrets User on it, by handle.
    #[serde(default)]
    pub secrets_user: Vec<Text>,
    /// Roles that are given on it, on its resource group or on the subscription.
    #[serde(default)]
    pub roles: Vec<Located<RoleAssignment>>,
    /// Set by a mutant: the vault stores other values than `secrets` says.
    #[serde(skip)]
    #[schemars(skip)]
    pub decoy: bool,
}

/// How a vault gives rights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AccessModel {
    /// By its access policies.
    #[default]
    Policies,
    /// By role assignments.
    Roles,
    /// The vault is made without saying so, and Azure decides.
    Unstated,
}

/// A secret: its value, or its value with what makes it unreadable.
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
    /// Whether it was deleted after it was written.
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

    /// Whether it was deleted after it was written.
    pub fn deleted(&self) -> bool {
        matches!(self, StoredSecret::With(with) if with.deleted)
    }
}

/// A role that a principal is given.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RoleAssignment {
    /// Handle of the identity or service principal that gets it.
    pub to: Text,
    /// The role by its name in Azure, built in or somebody's own: `Key Vault Secrets User`.
    pub role: Text,
    /// What it is given on; the vault when left out.
    #[serde(default)]
    pub at: RoleScope,
}

/// What a role is given on.
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
    /// Handle of the identity or service principal that gets the right.
    pub to: Text,
    /// The rights on secrets.
    #[serde(default)]
    pub secrets: Vec<SecretRight>,
    /// The rights on keys.
    #[serde(default)]
    pub keys: Vec<ObjectRight>,
    /// The rights on certificates.
    #[serde(default)]
    pub certificates: Vec<ObjectRight>,
}

/// A right on the keys or the certificates of a vault.
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
