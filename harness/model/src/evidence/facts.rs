//! What the harness itself knows because it made it, or asked the target.

use std::collections::BTreeMap;

use serde_json::Value;

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
    /// Who was given rights on a vault: handles of the vault and of the principal.
    pub rights: Vec<(String, String)>,
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

impl Facts {
    /// The handle of the principal with a client id.
    pub fn with_client_id(&self, id: &str) -> Option<&str> {
        self.principals.iter().find(|(_, principal)| principal.client_id == id).map(|(handle, _)| handle.as_str())
    }

    /// The handle of the principal with an object id.
    pub fn with_principal_id(&self, id: &str) -> Option<&str> {
        self.principals.iter().find(|(_, principal)| principal.principal_id == id).map(|(handle, _)| handle.as_str())
    }
}
