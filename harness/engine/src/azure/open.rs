//! Requests that carry no token of ours.

use reqwest::Method;
use serde_json::Value;

use super::{AzureError, Client};

impl Client {
    /// A form, and whatever is answered to it: status and body.
    pub(crate) async fn post_form(&self, url: &str, form: &[(&str, &str)]) -> Result<(u16, Value), AzureError> {
        let no_answer = |error: reqwest::Error| AzureError::NoAnswer {
            method: Method::POST,
            url: url.to_owned(),
            why: crate::cluster::sentence(&error.without_url()),
        };
        let sent = self.cancel.run_until_cancelled(self.http.post(url).form(form).send()).await;
        let response = sent.ok_or(AzureError::Cancelled)?.map_err(no_answer)?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await.map_err(no_answer)?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    /// A document that is put somewhere.
    pub(crate) async fn put_open(&self, url: &str, body: &Value) -> Result<(), AzureError> {
        self.attempt(&Method::PUT, url, None, Some(body)).await?.map(|_| ())
    }
}
