//! Microsoft Graph: app registrations and their service principals.

use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use serde_json::{Value, json};
use wi_model::evidence::Principal;
use wi_model::target::AzureTarget;

use super::arm::{FederatedCredential, MADE_TAG, RUN_TAG};
use super::{AzureError, Chosen, Client, scope};

/// The version of Graph that we speak.
const STABLE: &str = "v1.0";
/// How many answers to one request may be lost before it is given up.
const LOST: u32 = 5;

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

/// How applications are looked for.
pub(crate) enum NamedBy<'a> {
    /// By their whole name.
    Whole(&'a str),
    /// By how it begins.
    Prefix(&'a str),
}

fn query(filter: &str) -> String {
    url::form_urlencoded::Serializer::new(String::new()).append_pair("$filter", filter).finish()
}

impl Graph<'_> {
    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, AzureError> {
        self.send_to(STABLE, method, path, body).await
    }

    async fn send_to(
        &self,
        version: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, AzureError> {
        let url = format!("{}/{version}/{path}", self.azure.graph.trim_end_matches('/'));
        Ok(self.client.send(method, &url, &scope(&self.azure.graph), body).await?.body)
    }

    /// Applications of this name, or whose name begins so.
    pub(crate) async fn applications(&self, condition: NamedBy<'_>) -> Result<Vec<Value>, AzureError> {
        let quoted = |text: &str| text.replace('\'', "''");
        let filter = match condition {
            NamedBy::Whole(name) => format!("displayName eq '{}'", quoted(name)),
            NamedBy::Prefix(prefix) => format!("startswith(displayName,'{}')", quoted(prefix)),
        };
        self.list(&format!("applications?{}", query(&filter))).await
    }

    /// Every page of a list.
    async fn list(&self, path: &str) -> Result<Vec<Value>, AzureError> {
        let mut all = Vec::new();
        let mut url = format!("{}/v1.0/{path}", self.azure.graph.trim_end_matches('/'));
        loop {
            let mut page = self.client.send(Method::GET, &url, &scope(&self.azure.graph), None).await?.body;
            if let Value::Array(items) = page["value"].take() {
                all.extend(items);
            }
            match page["@odata.nextLink"].as_str() {
                Some(next) => next.clone_into(&mut url),
                None => return Ok(all),
            }
        }
    }

    /// An application by its object id, if it is there.
    pub(crate) async fn find_application(&self, object_id: &str) -> Result<Option<Value>, AzureError> {
        let url = format!("{}/v1.0/applications/{object_id}", self.azure.graph.trim_end_matches('/'));
        self.client.find(&url, &scope(&self.azure.graph)).await
    }

    /// The run that an application says it was made by.
    pub(crate) fn run_of(&self, application: &Value) -> Option<String> {
        let mut tags = application["tags"].as_array().into_iter().flatten().filter_map(Value::as_str);
        tags.find_map(|tag| tag.strip_prefix(RUN_TAG)?.strip_prefix('=').map(str::to_owned))
    }

    /// Whether an application says that a run made it, and when.
    pub(crate) fn is_marked(&self, application: &Value, run: &str, made: Option<&str>) -> bool {
        let tags = application["tags"].as_array().cloned().unwrap_or_default();
        let has = |tag: String| tags.contains(&tag.into());
        has(format!("{RUN_TAG}={run}")) && made.is_none_or(|made| has(format!("{MADE_TAG}={made}")))
    }

    /// Registers an application. An answer that was lost is made up for by looking: a second one would be nobody's.
    pub(crate) async fn register(
        &self,
        name: &str,
        run: &str,
        made_at: &str,
        chosen: &Chosen,
    ) -> Result<(String, String), AzureError> {
        let mut tags = vec![format!("{RUN_TAG}={run}"), format!("{MADE_TAG}={made_at}")];
        tags.extend(chosen.list());
        let body = json!({ "displayName": name, "signInAudience": "AzureADMyOrg", "tags": tags });
        let made = match self.send(Method::POST, "applications", Some(&body)).await {
            Err(AzureError::NoAnswer { .. }) => {
                let mut found = self.applications(NamedBy::Whole(name)).await?;
                found.retain(|one| self.is_marked(one, run, Some(made_at)));
                match found.pop() {
                    Some(made) => made,
                    None => self.send(Method::POST, "applications", Some(&body)).await?,
                }
            }
            answer => answer?,
        };
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
        chosen: &Chosen,
    ) -> Result<Application, AzureError> {
        let body = json!({ "appId": app_id, "tags": chosen.list() });
        // A directory that has just made an application may not know it yet.
        let unknown = |error: &AzureError| {
            matches!(error.status(), Some(400 | 404)) || matches!(error, AzureError::NoAnswer { .. })
        };
        let filter = format!("appId eq '{app_id}'");
        let make = || async {
            match self.send(Method::POST, "servicePrincipals", Some(&body)).await {
                Err(error) if error.status() == Some(409) || matches!(error, AzureError::NoAnswer { .. }) => {
                    let found = self.list(&format!("servicePrincipals?{}", query(&filter))).await?.pop();
                    found.ok_or(error)
                }
                answer => answer,
            }
        };
        let made = self.client.eventually("the directory knew the new application", unknown, make).await?;
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
        let mut body = credential.body();
        body["name"] = credential.name.clone().into();
        // Expressions are of the beta.
        let version = if credential.expression.is_some() { "beta" } else { STABLE };
        let path = format!("applications/{object_id}/federatedIdentityCredentials");
        let lost = AtomicBool::new(false);
        let unknown = |error: &AzureError| error.status() == Some(404) || matches!(error, AzureError::NoAnswer { .. });
        let write = || async {
            match self.send_to(version, Method::POST, &path, Some(&body)).await {
                // It was written, and the answer was lost.
                Err(error) if lost.load(Ordering::Relaxed) && error.status() == Some(409) => Ok(()),
                Err(error) => {
                    lost.fetch_or(matches!(error, AzureError::NoAnswer { .. }), Ordering::Relaxed);
                    Err(error)
                }
                Ok(_) => Ok(()),
            }
        };
        self.client.eventually("the directory took a federated credential", unknown, write).await
    }

    /// Gives an application a new client secret, which nobody learns, and takes every other away.
    pub(crate) async fn rotate_secret(&self, object_id: &str) -> Result<(), AzureError> {
        let secrets = async || {
            let application = self.send(Method::GET, &format!("applications/{object_id}"), None).await?;
            let all = application["passwordCredentials"].as_array().into_iter().flatten();
            Ok::<Vec<Value>, AzureError>(all.map(|secret| secret["keyId"].clone()).collect())
        };
        let old = secrets().await?;
        let added = json!({ "passwordCredential": { "displayName": "rotated" } });
        let is_added = async || Ok(secrets().await?.iter().any(|id| !old.contains(id)));
        self.post_once(&format!("applications/{object_id}/addPassword"), &added, is_added).await?;
        for id in &old {
            let is_gone = async || Ok(!secrets().await?.contains(id));
            let gone = json!({ "keyId": id });
            self.post_once(&format!("applications/{object_id}/removePassword"), &gone, is_gone).await?;
        }
        Ok(())
    }

    /// Posts what must not be done twice. Where the answer is lost, `done` looks whether it was done.
    async fn post_once(
        &self,
        path: &str,
        body: &Value,
        done: impl AsyncFn() -> Result<bool, AzureError>,
    ) -> Result<(), AzureError> {
        let mut lost = 0;
        loop {
            match self.send(Method::POST, path, Some(body)).await {
                Err(AzureError::NoAnswer { .. }) if lost < LOST => lost += 1,
                answer => return answer.map(|_| ()),
            }
            if done().await? {
                return Ok(());
            }
        }
    }

    /// Deletes an application, and its place among the deleted ones.
    pub(crate) async fn delete_application(&self, object_id: &str) -> Result<(), AzureError> {
        let deleted = match self.send(Method::DELETE, &format!("applications/{object_id}"), None).await {
            Ok(_) => true,
            Err(error) if error.status() == Some(404) => false,
            Err(error) => return Err(error),
        };
        // One that was deleted this moment may not be seen among the deleted ones yet, where it would stay for a month.
        let path = format!("directory/deletedItems/{object_id}");
        if deleted {
            let unseen = |error: &AzureError| error.status() == Some(404);
            let see = || async { self.send(Method::GET, &path, None).await.map(|_| ()) };
            self.client.eventually("a deleted application was seen", unseen, see).await?;
        }
        match self.send(Method::DELETE, &path, None).await {
            Err(error) if error.status() != Some(404) => Err(error),
            _ => Ok(()),
        }
    }
}
