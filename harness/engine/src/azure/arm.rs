//! Azure Resource Manager: resource groups, user-assigned identities, federated credentials, vaults.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use wi_model::evidence::Principal;
use wi_model::target::AzureTarget;

use super::{AzureError, Chosen, Client, scope};

/// Versions of the interfaces, each one that the service has had for long.
const GROUPS: &str = "2024-11-01";
pub(super) const IDENTITIES: &str = "2024-11-30";
/// Older ones end in February 2027.
pub(super) const VAULTS: &str = "2026-02-01";

/// Tags of what a run makes: whose it is, since when, and until when.
pub const RUN_TAG: &str = "wi-conformance-run";
pub(crate) const MADE_TAG: &str = "wi-conformance-made";
const EXPIRES_TAG: &str = "wi-conformance-expires";

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

    /// Asks a path that begins with a slash, whatever is below it.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        version: &str,
        body: Option<&Value>,
    ) -> Result<Value, AzureError> {
        let url = format!("{}{path}?api-version={version}", self.azure.resource_manager.trim_end_matches('/'));
        Ok(self.client.send(method, &url, &scope(&self.azure.resource_manager), body).await?.body)
    }

    /// Resource groups with the tag of a run.
    pub(crate) async fn groups(&self) -> Result<Vec<Value>, AzureError> {
        let filter = format!("&$filter=tagName%20eq%20'{RUN_TAG}'");
        self.list(&format!("{}{filter}", self.url("resourcegroups", GROUPS))).await
    }

    /// The vaults of a resource group.
    pub(crate) async fn vaults_of(&self, group: &str) -> Result<Vec<Value>, AzureError> {
        self.list(&self.url(&format!("resourceGroups/{group}/providers/Microsoft.KeyVault/vaults"), VAULTS)).await
    }

    /// Vaults in deleted state, of the whole subscription.
    pub(crate) async fn deleted_vaults(&self) -> Result<Vec<Value>, AzureError> {
        self.list(&self.url("providers/Microsoft.KeyVault/deletedVaults", VAULTS)).await
    }

    /// Every page of a list.
    async fn list(&self, first: &str) -> Result<Vec<Value>, AzureError> {
        let (mut all, mut url) = (Vec::new(), first.to_owned());
        let scope = scope(&self.azure.resource_manager);
        loop {
            let mut page = self.client.send(Method::GET, &url, &scope, None).await?.body;
            if let Value::Array(items) = page["value"].take() {
                all.extend(items);
            }
            match page["nextLink"].as_str() {
                Some(next) if !next.is_empty() => next.clone_into(&mut url),
                _ => return Ok(all),
            }
        }
    }

    /// Whether our credential may read the subscription.
    pub(crate) async fn subscription(&self) -> Result<(), AzureError> {
        let url = format!("{}?api-version=2022-12-01", self.url("", "x").split("/?").next().unwrap_or_default());
        self.client.send(Method::GET, &url, &scope(&self.azure.resource_manager), None).await.map(|_| ())
    }

    /// Makes a resource group that says whose it is and until when.
    pub(crate) async fn put_group(&self, name: &str, run: &str) -> Result<(), AzureError> {
        let body = json!({ "location": self.azure.location, "tags": self.tags(run) });
        self.put(&format!("resourcegroups/{name}"), GROUPS, &body).await.map(|_| ())
    }

    /// By these a sweep finds what a run made, from any machine.
    fn tags(&self, run: &str) -> Value {
        let now = jiff::Timestamp::now();
        let expires = now + self.azure.marks.expires_after;
        json!({ RUN_TAG: run, MADE_TAG: now.to_string(), EXPIRES_TAG: expires.to_string() })
    }

    pub(crate) async fn delete_group(&self, name: &str) -> Result<(), AzureError> {
        let url = self.url(&format!("resourcegroups/{name}"), GROUPS);
        let deleted = self.client.send_and_wait(Method::DELETE, &url, &scope(&self.azure.resource_manager), None).await;
        absent_is_fine(deleted.map(|_| ()))
    }

    /// Deletes an identity with the federated credentials on it.
    pub(crate) async fn delete_identity(&self, group: &str, name: &str) -> Result<(), AzureError> {
        let path = format!("resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}");
        self.delete(&path, IDENTITIES).await
    }

    /// Deletes a vault, and waits until it is seen in deleted state: one that is not seen yet cannot be purged, and would
    /// stay for days.
    pub(crate) async fn delete_vault(&self, group: &str, name: &str, location: &str) -> Result<(), AzureError> {
        let path = format!("resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/{name}");
        let scope = scope(&self.azure.resource_manager);
        let deleted = self.client.send_and_wait(Method::DELETE, &self.url(&path, VAULTS), &scope, None).await;
        match deleted {
            Ok(answer) if answer.status != StatusCode::NO_CONTENT => {}
            other => return absent_is_fine(other.map(|_| ())),
        }
        let path = format!("providers/Microsoft.KeyVault/locations/{location}/deletedVaults/{name}");
        let url = self.url(&path, VAULTS);
        let unseen = |error: &AzureError| error.status() == Some(404);
        let see = || async { self.client.send(Method::GET, &url, &scope, None).await.map(|_| ()) };
        self.client.eventually("a deleted vault was seen", unseen, see).await
    }

    async fn delete(&self, path: &str, version: &str) -> Result<(), AzureError> {
        let scope = scope(&self.azure.resource_manager);
        let deleted = self.client.send_and_wait(Method::DELETE, &self.url(path, version), &scope, None).await;
        absent_is_fine(deleted.map(|_| ()))
    }

    /// Whether a vault of this name is in deleted state here, where it can be purged.
    pub(crate) async fn is_deleted_vault(&self, location: &str, name: &str) -> bool {
        let path = format!("providers/Microsoft.KeyVault/locations/{location}/deletedVaults/{name}");
        let url = self.url(&path, VAULTS);
        self.client.send(Method::GET, &url, &scope(&self.azure.resource_manager), None).await.is_ok()
    }

    pub(crate) async fn put_identity(&self, group: &str, name: &str, chosen: &Chosen) -> Result<Principal, AzureError> {
        let path = format!("resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}");
        let made =
            self.put(&path, IDENTITIES, &json!({ "location": self.azure.location, "tags": chosen.tags() })).await?;
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
        run: &str,
    ) -> Result<String, AzureError> {
        let path = format!("resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/{name}");
        let policies: Vec<Value> = policies.iter().map(|policy| self.policy(policy)).collect();
        let body = json!({ "location": self.azure.location, "tags": self.tags(run), "properties": {
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
