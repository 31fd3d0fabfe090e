//! Azure Resource Manager: resource groups, user-assigned identities, federated credentials, vaults.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use wi_model::evidence::Principal;
use wi_model::target::AzureTarget;

use super::{AzureError, Chosen, Client, scope};

/// Versions of the interfaces, each one that the service has had for long.
const GROUPS: &str = "2024-11-01";
pub(super) const IDENTITIES: &str = "2024-11-30";
/// The one that takes an expression in the place of a subject.
const EXPRESSIONS: &str = "2025-01-31-preview";
/// Older ones end in February 2027.
pub(super) const VAULTS: &str = "2026-02-01";

/// Tags of what a run makes: whose it is, since when, and until when.
pub const RUN_TAG: &str = "wi-conformance-run";
pub(crate) const MADE_TAG: &str = "wi-conformance-made";
const EXPIRES_TAG: &str = "wi-conformance-expires";
/// On what is made until it is known that it was not there before. A PUT changes what is there as readily as it makes it, so
/// until then the other tags prove nothing.
pub(crate) const MAKING_TAG: &str = "wi-conformance-making";

/// When a resource was created, as the service tells it.
pub(crate) fn created_at(resource: &Value) -> Option<&str> {
    resource["systemData"]["createdAt"].as_str()
}

/// Whether the service says that a resource has not been written since it was created.
pub(crate) fn untouched(resource: &Value) -> bool {
    let data = &resource["systemData"];
    data["createdAt"].is_string() && data["createdAt"] == data["lastModifiedAt"]
}

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
    pub(crate) subject: Option<String>,
    /// In the place of a subject.
    pub(crate) expression: Option<String>,
    pub(crate) audience: String,
}

impl FederatedCredential {
    /// What it trusts, as both services write it.
    pub(super) fn body(&self) -> Value {
        let mut body = json!({ "issuer": self.issuer, "audiences": [self.audience] });
        if let Some(subject) = &self.subject {
            body["subject"] = subject.clone().into();
        }
        if let Some(expression) = &self.expression {
            body["claimsMatchingExpression"] = json!({ "value": expression, "languageVersion": 1 });
        }
        body
    }
}

/// An access policy, ready to be written.
#[derive(Default)]
pub(crate) struct Policy {
    pub(crate) object_id: String,
    pub(crate) secrets: Vec<&'static str>,
    pub(crate) keys: Vec<&'static str>,
    pub(crate) certificates: Vec<&'static str>,
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

    /// Soft-deleted vaults of the whole subscription.
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

    /// A resource group, if it is there.
    pub(crate) async fn find_group(&self, name: &str) -> Result<Option<Value>, AzureError> {
        self.find(&group_path(name), GROUPS).await
    }

    /// An identity, if it is there.
    pub(crate) async fn find_identity(&self, group: &str, name: &str) -> Result<Option<Value>, AzureError> {
        self.find(&identity_path(group, name), IDENTITIES).await
    }

    /// A vault of a resource group, if it is there.
    pub(crate) async fn find_vault(&self, group: &str, name: &str) -> Result<Option<Value>, AzureError> {
        self.find(&vault_path(group, name), VAULTS).await
    }

    /// A soft-deleted vault, if it exists.
    pub(crate) async fn find_deleted_vault(&self, location: &str, name: &str) -> Result<Option<Value>, AzureError> {
        self.find(&deleted_path(location, name), VAULTS).await
    }

    async fn find(&self, path: &str, version: &str) -> Result<Option<Value>, AzureError> {
        self.client.find(&self.url(path, version), &scope(&self.azure.resource_manager)).await
    }

    /// What is in a resource group.
    pub(crate) async fn resources_of(&self, group: &str) -> Result<Vec<Value>, AzureError> {
        self.list(&self.url(&format!("resourceGroups/{group}/resources"), GROUPS)).await
    }

    /// Makes a resource group that may yet turn out to be another user's; `false` where it is.
    pub(crate) async fn make_group(&self, name: &str, run: &str, made: &str) -> Result<bool, AzureError> {
        let body = json!({ "location": self.azure.location, "tags": self.making(run, made) });
        let ours = |found: &Value| found["tags"][MADE_TAG] == made;
        Ok(self.create_marked(&group_path(name), GROUPS, &body, made, &ours).await?.is_some())
    }

    /// Says of a resource group that it is known to be ours.
    pub(crate) async fn confirm_group(&self, name: &str, made: &str) -> Result<(), AzureError> {
        self.confirm(&group_path(name), GROUPS, made).await
    }

    /// The same of an identity.
    pub(crate) async fn confirm_identity(&self, group: &str, name: &str, made: &str) -> Result<(), AzureError> {
        self.confirm(&identity_path(group, name), IDENTITIES, made).await
    }

    /// The same of a vault.
    pub(crate) async fn confirm_vault(&self, group: &str, name: &str, made: &str) -> Result<(), AzureError> {
        self.confirm(&vault_path(group, name), VAULTS, made).await
    }

    async fn confirm(&self, path: &str, version: &str, made: &str) -> Result<(), AzureError> {
        // Somebody may have taken it over or replaced it since: then it is not marked again.
        let found = self.find(path, version).await?.unwrap_or_default();
        if found["tags"][MADE_TAG] != made {
            return Err(AzureError::unexpected(
                path,
                "the tags that it was created with",
                "it has other tags, so another user took it over",
            ));
        }
        let (url, scope) = (self.url(path, version), scope(&self.azure.resource_manager));
        let mut tags = found["tags"].clone();
        if let Some(tags) = tags.as_object_mut() {
            tags.remove(MAKING_TAG);
        }
        let body = json!({ "tags": tags });
        self.client.send(Method::PATCH, &url, &scope, Some(&body)).await.map(|_| ())
    }

    /// The tags of what may yet turn out to be another user's.
    fn making(&self, run: &str, made: &str) -> Value {
        let mut tags = self.tags(run, made);
        tags[MAKING_TAG] = "true".into();
        tags
    }

    /// By these a sweep finds what a run made, from any machine.
    fn tags(&self, run: &str, made: &str) -> Value {
        let expires = jiff::Timestamp::now() + self.azure.marks.expires_after;
        json!({ RUN_TAG: run, MADE_TAG: made, EXPIRES_TAG: expires.to_string() })
    }

    /// Creates a resource; `None` if one with its name exists.
    async fn create(&self, path: &str, version: &str, body: &Value, made: &str) -> Result<Option<Value>, AzureError> {
        let ours =
            |found: &Value| found["tags"][MADE_TAG] == made && (found["systemData"].is_null() || untouched(found));
        self.create_marked(path, version, body, made, &ours).await
    }

    /// The same. Where somebody else made it after our look, our PUT has written our marks on it: they are taken off.
    async fn create_marked(
        &self,
        path: &str,
        version: &str,
        body: &Value,
        made: &str,
        ours: &(dyn Fn(&Value) -> bool + Sync),
    ) -> Result<Option<Value>, AzureError> {
        let (url, scope) = (self.url(path, version), scope(&self.azure.resource_manager));
        let created = self.client.create(&url, &scope, body, ours).await?;
        if created.is_none() && self.find(path, version).await?.is_some_and(|found| found["tags"][MADE_TAG] == made) {
            self.client.send(Method::PATCH, &url, &scope, Some(&json!({ "tags": {} }))).await?;
        }
        Ok(created)
    }

    pub(crate) async fn delete_group(&self, name: &str) -> Result<(), AzureError> {
        let url = self.url(&group_path(name), GROUPS);
        let deleted = self.client.send_and_wait(Method::DELETE, &url, &scope(&self.azure.resource_manager), None).await;
        absent_is_fine(deleted.map(|_| ()))
    }

    /// Deletes an identity with the federated credentials on it.
    pub(crate) async fn delete_identity(&self, group: &str, name: &str) -> Result<(), AzureError> {
        self.delete(&identity_path(group, name), IDENTITIES).await
    }

    /// Deletes a vault, and waits until it is listed as soft-deleted: one that is not seen yet cannot be purged, and would
    /// stay for days.
    pub(crate) async fn delete_vault(&self, group: &str, name: &str, location: &str) -> Result<(), AzureError> {
        let scope = scope(&self.azure.resource_manager);
        let url = self.url(&vault_path(group, name), VAULTS);
        let deleted = self.client.send_and_wait(Method::DELETE, &url, &scope, None).await;
        match deleted {
            Ok(answer) if answer.status != StatusCode::NO_CONTENT => {}
            other => return absent_is_fine(other.map(|_| ())),
        }
        let url = self.url(&deleted_path(location, name), VAULTS);
        let unseen = |error: &AzureError| error.status() == Some(404);
        let see = || async { self.client.send(Method::GET, &url, &scope, None).await.map(|_| ()) };
        self.client.eventually("a deleted vault was seen", unseen, see).await
    }

    async fn delete(&self, path: &str, version: &str) -> Result<(), AzureError> {
        let scope = scope(&self.azure.resource_manager);
        let deleted = self.client.send_and_wait(Method::DELETE, &self.url(path, version), &scope, None).await;
        absent_is_fine(deleted.map(|_| ()))
    }

    /// Makes an identity; `None` where one of this name is there.
    pub(crate) async fn make_identity(
        &self,
        group: &str,
        name: &str,
        run: &str,
        made: &str,
        chosen: &Chosen,
    ) -> Result<Option<Principal>, AzureError> {
        let path = identity_path(group, name);
        let mut tags = self.making(run, made);
        if let Some(tags) = tags.as_object_mut() {
            tags.extend(chosen.tags());
        }
        let body = json!({ "location": self.azure.location, "tags": tags });
        let Some(made) = self.create(&path, IDENTITIES, &body, made).await? else { return Ok(None) };
        let field = |name: &str| {
            let value = made["properties"][name].as_str().map(str::to_owned);
            value.ok_or_else(|| AzureError::unexpected(&path, &format!("properties.{name}"), "none"))
        };
        Ok(Some(Principal { client_id: field("clientId")?, principal_id: field("principalId")? }))
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
        let body = json!({ "properties": credential.body() });
        let version = if credential.expression.is_some() { EXPRESSIONS } else { IDENTITIES };
        self.put(&path, version, &body).await.map(|_| ())
    }

    /// Makes a vault; `None` where one of this name is in the group. One that heeds roles keeps its policies and does not
    /// look at them; which of the two it heeds is left to Azure where nothing is said.
    pub(crate) async fn make_vault(
        &self,
        (group, name): (&str, &str),
        by_roles: Option<bool>,
        policies: &[Policy],
        run: &str,
        made: &str,
    ) -> Result<Option<NewVault>, AzureError> {
        let path = vault_path(group, name);
        let policies: Vec<Value> = policies.iter().map(|policy| self.policy(policy)).collect();
        let mut body = json!({ "location": self.azure.location, "tags": self.making(run, made), "properties": {
            "tenantId": self.azure.tenant_id, "sku": { "family": "A", "name": "standard" },
            "softDeleteRetentionInDays": 7, "accessPolicies": policies,
        } });
        if let Some(by_roles) = by_roles {
            body["properties"]["enableRbacAuthorization"] = by_roles.into();
        }
        let Some(made) = self.create(&path, VAULTS, &body, made).await? else { return Ok(None) };
        let url = made["properties"]["vaultUri"].as_str().map(str::to_owned);
        let url = url.ok_or_else(|| AzureError::unexpected(&path, "properties.vaultUri", "none"))?;
        // A service that does not tell the time leaves the tags to tell it from another one.
        let identity = created_at(&made).or(made["tags"][MADE_TAG].as_str()).unwrap_or_default().to_owned();
        let by_roles = made["properties"]["enableRbacAuthorization"].as_bool().or(by_roles).unwrap_or_default();
        Ok(Some(NewVault { url, identity, by_roles }))
    }

    /// Purges a vault that was deleted with its group, so that its name is free again.
    pub(crate) async fn purge_vault(&self, location: &str, name: &str) -> Result<(), AzureError> {
        let url = self.url(&format!("{}/purge", deleted_path(location, name)), VAULTS);
        let purged = self.client.send_and_wait(Method::POST, &url, &scope(&self.azure.resource_manager), None).await;
        absent_is_fine(purged.map(|_| ()))
    }
}

/// A vault that was made just now.
pub(crate) struct NewVault {
    /// Its address.
    pub(crate) url: String,
    /// What tells it from another one of its name.
    pub(crate) identity: String,
    /// Whether it heeds role assignments, as Azure says.
    pub(crate) by_roles: bool,
}

fn group_path(name: &str) -> String {
    format!("resourcegroups/{name}")
}

fn identity_path(group: &str, name: &str) -> String {
    format!("resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}")
}

fn vault_path(group: &str, name: &str) -> String {
    format!("resourceGroups/{group}/providers/Microsoft.KeyVault/vaults/{name}")
}

fn deleted_path(location: &str, name: &str) -> String {
    format!("providers/Microsoft.KeyVault/locations/{location}/deletedVaults/{name}")
}

pub(super) fn absent_is_fine(result: Result<(), AzureError>) -> Result<(), AzureError> {
    match result {
        Err(error) if error.status() == Some(404) => Ok(()),
        other => other,
    }
}
