//! Key Vault: writing secrets.

use reqwest::Method;
use serde_json::json;
use wi_model::secret::Secret;

use super::{AzureError, Client};

/// Secrets' interface version.
const SECRETS: &str = "7.4";

/// A vault.
pub(crate) struct Vault<'a> {
    pub(super) url: &'a str,
    pub(super) domain: &'a str,
    pub(super) client: &'a Client,
}

impl Vault<'_> {
    /// Writes a secret.
    pub(crate) async fn set(&self, name: &str, value: &Secret) -> Result<(), AzureError> {
        let url = format!("{}/secrets/{name}?api-version={SECRETS}", self.url.trim_end_matches('/'));
        // The audience of vaults is their domain, in every cloud.
        let scope = format!("https://{}/.default", self.domain);
        self.client.send(Method::PUT, &url, &scope, Some(&json!({ "value": value.expose() }))).await.map(|_| ())
    }
}
