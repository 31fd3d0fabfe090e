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
        self.send(Method::PUT, name, Some(&json!({ "value": value.expose() }))).await
    }

    /// Reads a secret with another user's token, by a version of the interface: status and body.
    pub(crate) async fn read(
        &self,
        name: &str,
        version: Option<&str>,
        token: &Secret,
    ) -> Result<(u16, serde_json::Value), AzureError> {
        let version = version.unwrap_or(SECRETS);
        let url = format!("{}/secrets/{name}?api-version={version}", self.url.trim_end_matches('/'));
        self.client.get_as(&url, token).await
    }

    /// Asks without a token: the status, and the challenge.
    pub(crate) async fn knock(&self) -> Result<(u16, String), AzureError> {
        self.client.knock(&format!("{}/secrets?api-version={SECRETS}", self.url.trim_end_matches('/'))).await
    }

    /// Makes a secret unreadable without taking it away.
    pub(crate) async fn disable(&self, name: &str) -> Result<(), AzureError> {
        self.send(Method::PATCH, name, Some(&json!({ "attributes": { "enabled": false } }))).await
    }

    /// Deletes a secret, which stays recoverable.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), AzureError> {
        self.send(Method::DELETE, name, None).await
    }

    async fn send(&self, method: Method, name: &str, body: Option<&serde_json::Value>) -> Result<(), AzureError> {
        let version = if method == Method::PATCH { "/" } else { "" };
        let url = format!("{}/secrets/{name}{version}?api-version={SECRETS}", self.url.trim_end_matches('/'));
        // The audience of vaults is their domain, in every cloud.
        let scope = format!("https://{}/.default", self.domain);
        // A new vault's name and its access policy take a while to be known where secrets are kept.
        let unknown = |error: &AzureError| {
            matches!(error.status(), Some(401 | 403)) || matches!(error, AzureError::NoAnswer { .. })
        };
        let write = || async { self.client.send(method.clone(), &url, &scope, body).await.map(|_| ()) };
        self.client.eventually("a new vault took secrets from us", unknown, write).await
    }
}
