//! Requests without the harness's own token.

use reqwest::Method;
use serde_json::Value;
use wi_model::secret::Secret;

use super::{AzureError, Client};

impl Client {
    /// A request by nobody: the status, and what the answer asks for in `WWW-Authenticate`.
    pub(crate) async fn knock(&self, url: &str) -> Result<(u16, String), AzureError> {
        let no_answer = |error: reqwest::Error| AzureError::NoAnswer {
            method: Method::GET,
            url: url.to_owned(),
            why: crate::cluster::sentence(&error.without_url()),
        };
        let sent = self.cancel.run_until_cancelled(self.http.get(url).send()).await;
        let response = sent.ok_or(AzureError::Cancelled)?.map_err(no_answer)?;
        let challenge = response.headers().get(reqwest::header::WWW_AUTHENTICATE);
        let challenge = challenge.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        Ok((response.status().as_u16(), challenge))
    }

    /// A request with another user's token, and whatever is answered to it: status and body.
    pub(crate) async fn get_as(&self, url: &str, token: &Secret) -> Result<(u16, Value), AzureError> {
        let no_answer = |error: reqwest::Error| AzureError::NoAnswer {
            method: Method::GET,
            url: url.to_owned(),
            why: crate::cluster::sentence(&error.without_url()),
        };
        let request = self.http.get(url).bearer_auth(token.expose());
        let response = self.cancel.run_until_cancelled(request.send()).await;
        let response = response.ok_or(AzureError::Cancelled)?.map_err(no_answer)?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await.map_err(no_answer)?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    /// A document that whoever stands in for Azure is given, with the token that he asks for.
    pub(crate) async fn put_control(&self, url: &str, token: Option<&Secret>, body: &Value) -> Result<(), AzureError> {
        self.attempt(&Method::PUT, url, token.map(Secret::expose), Some(body)).await?.map(|_| ())
    }

    /// A document of whoever stands in for Azure, with the token that he asks for.
    pub(crate) async fn get_control(&self, url: &str, token: Option<&Secret>) -> Result<Value, AzureError> {
        self.attempt(&Method::GET, url, token.map(Secret::expose), None).await?.map(|answer| answer.body)
    }
}
