//! Tokens of service accounts: issued by the cluster for us, and what its API server makes of one.

use serde_json::{Value, json};
use wi_model::secret::Secret;

use super::{Cluster, sentence};

impl Cluster {
    /// A token of an account for an audience, as a pod would get one.
    ///
    /// # Errors
    /// The API server's refusal, in one line.
    pub(crate) async fn account_token(&self, namespace: &str, account: &str, audience: &str) -> Result<Secret, String> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": { "audiences": [audience], "expirationSeconds": 3600 },
        });
        let answer = self.post_path(&path, &body).await?;
        let token = answer["status"]["token"].as_str().map(Secret::new);
        token.ok_or_else(|| format!("POST {path}: expected a token in the status, found none"))
    }

    /// What the API server makes of a token that is shown to it: the status of a TokenReview.
    ///
    /// # Errors
    /// The review itself was refused, in one line.
    pub(crate) async fn review(&self, token: &Secret) -> Result<Value, String> {
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": { "token": token.expose() },
        });
        let answer = self.post_path("/apis/authentication.k8s.io/v1/tokenreviews", &body).await?;
        Ok(answer["status"].clone())
    }

    /// A request with a body that is no object of the cluster's.
    pub(crate) async fn post_path(&self, path: &str, body: &Value) -> Result<Value, String> {
        let request = http::Request::post(path).header(http::header::CONTENT_TYPE, "application/json");
        let request = request.body(body.to_string().into_bytes()).map_err(|error| error.to_string())?;
        self.client.request(request).await.map_err(|error| format!("POST {path}: {}", sentence(&error)))
    }

    /// Asks the cluster's own control interface for a change, such as of time.
    ///
    /// # Errors
    /// There is no such interface here, or it refuses.
    pub(crate) async fn control(&self, what: &str, body: &Value) -> Result<Value, String> {
        match &self.control {
            Some(prefix) => self.post_path(&format!("{prefix}/{what}"), body).await,
            None => Err(format!("this cluster offers no control of its {what}")),
        }
    }
}
