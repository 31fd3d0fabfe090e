//! Azure Resource Manager: resource groups, user-assigned identities, federated credentials, vaults.

use reqwest::Method;
use serde_json::{Value, json};
use wi_model::evidence::Principal;
use wi_model::target::AzureTarget;

use super::{AzureError, Client, scope};

/// Versions of the interfaces, each one that the service has had for long.
const GROUPS: &str = "2024-11-01";
pub(super) const IDENTITIES: &str = "2024-11-30";
pub(super) const VAULTS: &str = "2023-07-01";

/// Resource Manager.
pub(crate) struct Arm<'a> {
    pub(super) azure: &'a AzureTarget,
    pub(super) client: &'a Client,
}

/// A federated credential, ready to be written.
#[derive(Debug, Clone)]
pub(crate) struct FederatedCredential {
    pub(crate) name: String,
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) audience: String,
}

/// An access policy, ready to be written.
pub(crate) struct Policy {
    pub(crate) object_id: String,
    pub(crate) secrets: Vec<&'static str>,
}

impl Arm<'_> {
    pub(super) fn url(&self, path: &str, version: &str) -> String {
        let base = self.azure.resource_manager.trim_end_matches('/');
        format!("{base}/subscriptions/{}/{path}?api-version={version}", self.azure.subscription_id)
    }

    pub(super) async fn put(&self, path: &str, version: &str, body: &Value) -> Result<Value, AzureError> {
        let scope = scope(&self.azure.resource_manager);
        Ok(self.client.send_and_wait(Method::PUT, &self.url(path, version), &scope, Some(body)).await?.body)
    }

    /// Whether our credential may read the subscription.
    pub(crate) async fn subscription(&self) -> Result<(), AzureError> {
        let url = format!("{}?api-version=2022-12-01", self.url("", "x").split("/?").next().unwrap_or_default());
        self.client.send(Method::GET, &url, &scope(&self.azure.resource_manager), None).await.map(|_| ())
    }

    pub(crate) async fn put_group(&self, name: &str, run: &str) -> Result<(), AzureError> {
        let body = json!({ "location": self.azure.location, "tags": { "wi-conformance-run": run } });
        self.put(&format!("resourcegroups/{name}"), GROUPS, &body).await.map(|_| ())
    }

    pub(crate) async fn delete_group(&self, name: &str) -> Result<(), AzureError> {
        let url = self.url(&format!("resourcegroups/{name}"), GROUPS);
        let deleted = self.client.send_and_wait(Method::DELETE, &url, &scope(&self.azure.resource_manager), None).await;
        absent_is_fine(deleted.map(|_| ()))
    }

    pub(crate) async fn put_identity(&self, group: &str, name: &str) -> Result<Principal, AzureError> {
        let path = format!("resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}");
        let made = self.put(&path, IDENTITIES, &json!({ "location": self.azure.location })).await?;
        let field = |name: &str| {
            let value = made["properties"][name].as_str().map(str::to_owned);
            value.ok_or_else(|| AzureError::unexpected(&path, &format!("properties.{name}"), "none"))
        };
        Ok(Principal { client_id: field("clientId")?, principal_id: field("principalId")? })
    }

    /// Writes one federated credential. Concurrent writes on one identity are refused, so callers go one by one.
    pub(crate) async fn put_federated(
        &self,
        group: &str,
        identity: &str,
        credential: &FederatedCredential,
    ) -> Result<(), AzureError> {
        let path = format!(
            "resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{identity}/federatedIdentityCredentials/{}",
            credential.name
        );
        let body = json!({ "properties": { "issuer": credential.issuer, "subject": credential.subject, "audiences": [credential.audience] } });
        self.put(&path, IDENTITIES, &body).await.map(|_| ())
    }

    /// Makes a vault and returns its address. One that heeds roles keeps its policies and does not look at them.
    pub(crate) async fn put_vault(
        &self,
        group: &str,
        name: &str,
        by_roles: bool,
        policies: &[Policy],
    ) -> Result<String, AzureError> {
        let path = format!("resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/{name}");
        let policies: Vec<Value> = policies.iter().map(|policy| self.policy(policy)).collect();
        let body = json!({ "location": self.azure.location, "properties": {
            "tenantId": self.azure.tenant_id, "sku": { "family": "A", "name": "standard" },
            "enableRbacAuthorization": by_roles, "softDeleteRetentionInDays": 7, "accessPolicies": policies,
        } });
        let made = self.put(&path, VAULTS, &body).await?;
        let url = made["properties"]["vaultUri"].as_str().map(str::to_owned);
        url.ok_or_else(|| AzureError::unexpected(&path, "properties.vaultUri", "none"))
    }

    /// Purges a vault that was deleted with its group, so that its name is free again.
    pub(crate) async fn purge_vault(&self, location: &str, name: &str) -> Result<(), AzureError> {
        let url =
            self.url(&format!("providers/Microsoft.KeyVault/locations/{location}/deletedVaults/{name}/purge"), VAULTS);
        let purged = self.client.send_and_wait(Method::POST, &url, &scope(&self.azure.resource_manager), None).await;
        absent_is_fine(purged.map(|_| ()))
    }
}

pub(super) fn absent_is_fine(result: Result<(), AzureError>) -> Result<(), AzureError> {
    match result {
        Err(error) if error.status() == Some(404) => Ok(()),
        other => other,
    }
}
