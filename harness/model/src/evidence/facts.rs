//! What the harness itself knows because it made it, or asked the target.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::scenario::AccessModel;

/// What the harness itself knows because it made it, or asked the target.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The cluster's issuer, byte for byte.
    pub issuer: String,
    /// The tenant.
    pub tenant_id: String,
    /// The identity provider's address, with trailing slash.
    pub authority: String,
    /// The webhook's profile, where known.
    pub profile: Option<String>,
    /// The identity providers whose names must lead somewhere in pods: that of the target, and that of the case's cloud.
    pub authorities: Vec<String>,
    /// The domain of vaults, as pods know them.
    pub vault_domain: String,
    /// Principals by handle.
    pub principals: BTreeMap<String, Principal>,
    /// Ids of the tenants beside the target's, by handle.
    pub tenants: BTreeMap<String, String>,
    /// Vault addresses by handle, with trailing slash.
    pub vaults: BTreeMap<String, String>,
    /// Hashes of secret values, by vault handle and secret name.
    pub secret_sha256: BTreeMap<(String, String), String>,
    /// Whether pods run, so that what they print is to be waited for.
    pub pods_run: bool,
    /// Whether the identity provider's and vaults' own record can be read, so that both sides must agree.
    pub request_journal: bool,
    /// The version that the API server states.
    pub kubernetes: String,
    /// Settings of the webhook that the case asked for.
    pub webhook_settings: BTreeMap<String, String>,
    /// Federated credentials as they were given.
    pub credentials: Vec<Credential>,
    /// The rights on vaults that were given.
    pub rights: Vec<Right>,
    /// Which rights each vault heeds, by its handle.
    pub access_models: BTreeMap<String, AccessModel>,
    /// The accounts of the given state, as they were sent.
    pub accounts: Vec<Value>,
}

/// An identity or service principal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Principal {
    /// The id that pods name.
    pub client_id: String,
    /// The id that rights are given to.
    pub principal_id: String,
}

/// A federated credential as it was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credential {
    /// Handle of the identity or service principal that holds it.
    pub holder: String,
    /// Its issuer.
    pub issuer: String,
    /// Its subject.
    pub subject: String,
    /// Its audience.
    pub audience: String,
}

/// A right on a vault as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// Handle of the vault.
    pub vault: String,
    /// Handle of who has it.
    pub holder: String,
    /// What it is.
    pub kind: RightKind,
}

/// How a right on a vault is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RightKind {
    /// By an access policy, with these words.
    Policy(Vec<&'static str>),
    /// By a role of this name.
    Role(String),
}

impl Facts {
    /// The rights that a vault is given to somebody.
    pub fn rights_on<'a>(&'a self, vault: &'a str, holder: &'a str) -> impl Iterator<Item = &'a RightKind> {
        self.rights.iter().filter(move |right| right.vault == vault && right.holder == holder).map(|right| &right.kind)
    }

    /// Whether a vault looks at rights of a kind.
    pub fn heeds(&self, vault: &str, kind: &RightKind) -> bool {
        let by_roles = !matches!(self.access_models.get(vault), None | Some(AccessModel::Policies));
        by_roles == matches!(kind, RightKind::Role(_))
    }

    /// The handle of the principal with a client id.
    pub fn with_client_id(&self, id: &str) -> Option<&str> {
        self.principals.iter().find(|(_, principal)| principal.client_id == id).map(|(handle, _)| handle.as_str())
    }

    /// The handle of the principal with an object id.
    pub fn with_principal_id(&self, id: &str) -> Option<&str> {
        self.principals.iter().find(|(_, principal)| principal.principal_id == id).map(|(handle, _)| handle.as_str())
    }
}
