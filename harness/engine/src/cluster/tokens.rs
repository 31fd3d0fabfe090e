//! Tokens of service accounts: issued by the cluster for us, and what its API server makes of one.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use wi_model::secret::Secret;

use super::{Cluster, sentence};

impl Cluster {
    /// A token of a service account for an audience; `None` where there is no such account.
    pub(crate) async fn token_of(
        &self,
        namespace: &str,
        account: &str,
        audience: &str,
    ) -> Result<Option<Secret>, kube::Error> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), namespace);
        let spec = TokenRequestSpec { audiences: Some(vec![audience.to_owned()]), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        match accounts.create_token_request(account, &PostParams::default(), &request).await {
            Ok(answer) => Ok(answer.status.and_then(|status| status.token).map(Secret::new)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same of an account that must be there.
    ///
    /// # Errors
    /// It is not, or the API server refuses; in one line.
    pub(crate) async fn account_token(&self, namespace: &str, account: &str, audience: &str) -> Result<Secret, String> {
        let token = self.token_of(namespace, account, audience).await;
        let token = token.map_err(|error| format!("a token of {account}: {}", sentence(&error)))?;
        token.ok_or_else(|| format!("a token of {account}: there is no such account in namespace {namespace}"))
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

    /// Whether the cluster would let a user do something, and why.
    ///
    /// # Errors
    /// The review itself was refused, in one line.
    pub(crate) async fn may(&self, user: &str, what: &Value) -> Result<(bool, String), String> {
        let body = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": { "user": user, "groups": ["system:serviceaccounts", "system:authenticated"], "resourceAttributes": what },
        });
        let answer = self.post_path("/apis/authorization.k8s.io/v1/subjectaccessreviews", &body).await?;
        let reason = answer["status"]["reason"].as_str().unwrap_or("no reason given").to_owned();
        Ok((answer["status"]["allowed"].as_bool().unwrap_or(false), reason))
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
            None => Err(format!("this cluster cannot change its {what}")),
        }
    }
}
