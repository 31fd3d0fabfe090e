//! Rights as they change while a case runs: federated credentials that go, access policies, role assignments.

use reqwest::Method;
use serde_json::{Value, json};

use super::arm::{Arm, IDENTITIES, VAULTS, absent_is_fine};
use super::{AzureError, Policy, scope};

/// Version of the role assignments' interface.
const ROLES: &str = "2022-04-01";
/// Key Vault Secrets User, the same in every tenant.
const SECRETS_USER: &str = "4633458b-17de-408a-b874-0445c86b69e6";
/// Key Vault Secrets Officer, by which we write secrets in a vault that heeds roles.
const SECRETS_OFFICER: &str = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7";

impl Arm<'_> {
    /// Takes a federated credential away.
    pub(crate) async fn delete_federated(&self, group: &str, identity: &str, name: &str) -> Result<(), AzureError> {
        let path = format!(
            "resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{identity}/federatedIdentityCredentials/{name}"
        );
        let url = self.url(&path, IDENTITIES);
        let deleted = self.client.send(Method::DELETE, &url, &scope(&self.azure.resource_manager), None).await;
        absent_is_fine(deleted.map(|_| ()))
    }

    /// Gives a principal rights by an access policy, beside those of others.
    pub(crate) async fn set_policy(&self, group: &str, vault: &str, policy: &Policy) -> Result<(), AzureError> {
        let path = format!("resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/{vault}/accessPolicies/replace");
        let body = json!({ "properties": { "accessPolicies": [self.policy(policy)] } });
        self.put(&path, VAULTS, &body).await.map(|_| ())
    }

    pub(super) fn policy(&self, policy: &Policy) -> Value {
        json!({
            "tenantId": self.azure.tenant_id, "objectId": policy.object_id, "permissions": { "secrets": policy.secrets },
        })
    }

    /// Gives a principal the role that reads a vault's secrets.
    pub(crate) async fn make_secrets_user(&self, group: &str, vault: &str, principal: &str) -> Result<(), AzureError> {
        self.assign(group, vault, principal, SECRETS_USER, "ServicePrincipal").await
    }

    /// Gives ourselves the role that writes a vault's secrets.
    pub(crate) async fn make_secrets_officer(
        &self,
        group: &str,
        vault: &str,
        principal: &str,
    ) -> Result<(), AzureError> {
        self.assign(group, vault, principal, SECRETS_OFFICER, "ServicePrincipal").await
    }

    async fn assign(
        &self,
        group: &str,
        vault: &str,
        principal: &str,
        role: &str,
        kind: &str,
    ) -> Result<(), AzureError> {
        let scope = format!("resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/{vault}");
        // The name is a function of what it says, so that asking again makes no second one.
        let name = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, format!("{scope}\n{principal}\n{role}").as_bytes());
        let path = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}");
        let definition = format!(
            "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/{role}",
            self.azure.subscription_id
        );
        let body = json!({ "properties": {
            "roleDefinitionId": definition, "principalId": principal, "principalType": kind,
        } });
        self.put(&path, ROLES, &body).await.map(|_| ())
    }
}
