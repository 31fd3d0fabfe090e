//! Microsoft Graph: app registrations and their service principals.

use reqwest::Method;
use serde_json::{Value, json};
use wi_model::evidence::Principal;
use wi_model::target::AzureTarget;

use super::arm::FederatedCredential;
use super::{AzureError, Client, scope};

/// Graph.
pub(crate) struct Graph<'a> {
    pub(super) azure: &'a AzureTarget,
    pub(super) client: &'a Client,
}

/// An app registration.
pub(crate) struct Application {
    /// Its object id, by which it is changed and deleted.
    pub(crate) object_id: String,
    /// The ids that pods and rights name.
    pub(crate) principal: Principal,
}

impl Graph<'_> {
    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, AzureError> {
        let url = format!("{}/v1.0/{path}", self.azure.graph.trim_end_matches('/'));
        Ok(self.client.send(method, &url, &scope(&self.azure.graph), body).await?.body)
    }

    /// Registers an application; its object id is told before anything else is made.
    pub(crate) async fn register(&self, name: &str) -> Result<(String, String), AzureError> {
        let made = self.send(Method::POST, "applications", Some(&json!({ "displayName": name }))).await?;
        let field = |name: &str| {
            made[name]
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| AzureError::unexpected("the new application", name, "none"))
        };
        Ok((field("id")?, field("appId")?))
    }

    /// Makes the service principal of an application.
    pub(crate) async fn add_service_principal(
        &self,
        object_id: String,
        app_id: String,
    ) -> Result<Application, AzureError> {
        let made = self.send(Method::POST, "servicePrincipals", Some(&json!({ "appId": app_id }))).await?;
        let principal_id = made["id"].as_str().map(str::to_owned);
        let principal_id =
            principal_id.ok_or_else(|| AzureError::unexpected("the new service principal", "id", "none"))?;
        Ok(Application { object_id, principal: Principal { client_id: app_id, principal_id } })
    }

    pub(crate) async fn add_federated(
        &self,
        object_id: &str,
        credential: &FederatedCredential,
    ) -> Result<(), AzureError> {
        let body = json!({ "name": credential.name, "issuer": credential.issuer, "subject": credential.subject, "audiences": [credential.audience] });
        self.send(Method::POST, &format!("applications/{object_id}/federatedIdentityCredentials"), Some(&body))
            .await
            .map(|_| ())
    }

    /// Deletes an application, and its place among the deleted ones.
    pub(crate) async fn delete_application(&self, object_id: &str) -> Result<(), AzureError> {
        for path in [format!("applications/{object_id}"), format!("directory/deletedItems/{object_id}")] {
            match self.send(Method::DELETE, &path, None).await {
                Err(error) if error.status() != Some(404) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}
