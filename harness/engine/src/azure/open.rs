//! Requests that carry no token of ours.

use reqwest::Method;
use serde_json::Value;

use super::{AzureError, Client};

impl Client {
    /// A document that is put somewhere.
    pub(crate) async fn put_open(&self, url: &str, body: &Value) -> Result<(), AzureError> {
        self.attempt(&Method::PUT, url, None, Some(body)).await?.map(|_| ())
    }
}
