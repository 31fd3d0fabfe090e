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
        let mut permissions = json!({ "secrets": policy.secrets });
        for (kind, rights) in [("keys", &policy.keys), ("certificates", &policy.certificates)] {
            if !rights.is_empty() {
                permissions[kind] = json!(rights);
            }
        }
        json!({ "tenantId": self.azure.tenant_id, "objectId": policy.object_id, "permissions": permissions })
    }

    /// Gives a principal the role that reads a vault's secrets.
    pub(crate) async fn make_secrets_user(&self, group: &str, vault: &str, principal: &str) -> Result<(), AzureError> {
        self.assign(&self.assignment(&Scope::Vault { group, vault }, principal, SECRETS_USER)).await
    }

    /// Gives ourselves the role that writes a vault's secrets.
    pub(crate) async fn make_secrets_officer(
        &self,
        group: &str,
        vault: &str,
        principal: &str,
    ) -> Result<(), AzureError> {
        self.assign(&self.assignment(&Scope::Vault { group, vault }, principal, SECRETS_OFFICER)).await
    }

    /// The id of a role by its name, built in or somebody's own; `None` where Azure knows none of this name.
    pub(crate) async fn role_named(&self, name: &str) -> Result<Option<String>, AzureError> {
        let filter = format!("roleName eq '{}'", name.replace('\'', "''"));
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("$filter", &filter).finish();
        let url = format!("{}&{query}", self.url("providers/Microsoft.Authorization/roleDefinitions", ROLES));
        let found = self.client.send(Method::GET, &url, &scope(&self.azure.resource_manager), None).await?.body;
        let of_name = |role: &&Value| {
            role["properties"]["roleName"].as_str().is_some_and(|found| found.eq_ignore_ascii_case(name))
        };
        let found = found["value"].as_array().and_then(|roles| roles.iter().find(of_name));
        Ok(found.and_then(|role| role["name"].as_str().map(str::to_owned)))
    }

    /// A role for a principal. Its name is a function of what it says, so that asking again makes no second one.
    pub(crate) fn assignment(&self, scope: &Scope<'_>, principal: &str, role: &str) -> Assignment {
        let scope = scope.path();
        let name = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, format!("{scope}\n{principal}\n{role}").as_bytes());
        let below = if scope.is_empty() { String::new() } else { format!("{scope}/") };
        Assignment {
            path: format!("{below}providers/Microsoft.Authorization/roleAssignments/{name}"),
            principal: principal.to_owned(),
            role: role.to_owned(),
        }
    }

    pub(crate) async fn assign(&self, assignment: &Assignment) -> Result<(), AzureError> {
        let definition = format!(
            "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/{}",
            self.azure.subscription_id, assignment.role
        );
        let body = json!({ "properties": {
            "roleDefinitionId": definition, "principalId": assignment.principal, "principalType": "ServicePrincipal",
        } });
        self.put(&assignment.path, ROLES, &body).await.map(|_| ())
    }

    /// A role assignment, if it is there.
    pub(crate) async fn find_assignment(&self, path: &str) -> Result<Option<Value>, AzureError> {
        self.client.find(&self.url(path, ROLES), &scope(&self.azure.resource_manager)).await
    }

    /// Takes a role away.
    pub(crate) async fn delete_assignment(&self, path: &str) -> Result<(), AzureError> {
        let url = self.url(path, ROLES);
        let deleted = self.client.send(Method::DELETE, &url, &scope(&self.azure.resource_manager), None).await;
        absent_is_fine(deleted.map(|_| ()))
    }
}

/// What a role is given on.
pub(crate) enum Scope<'a> {
    Vault { group: &'a str, vault: &'a str },
    Group(&'a str),
    Subscription,
}

impl Scope<'_> {
    /// Below the subscription.
    fn path(&self) -> String {
        match self {
            Scope::Vault { group, vault } => {
                format!("resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/{vault}")
            }
            Scope::Group(group) => format!("resourceGroups/{group}"),
            Scope::Subscription => String::new(),
        }
    }
}

/// A role for a principal, ready to be given.
pub(crate) struct Assignment {
    /// Where it is, below the subscription.
    pub(crate) path: String,
    /// Object id of who gets it.
    pub(crate) principal: String,
    role: String,
}
