//! An Azure and a cluster as they are looked at before a run: signed requests that change nothing.

use reqwest::Method;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use wi_model::target::AzureTarget;

use crate::azure::{Azure, AzureError};

/// Reads Resource Manager with the target's credential.
#[derive(Clone)]
pub struct Reader {
    azure: Azure,
}

/// Who we are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// The word of the credential that worked.
    pub credential: &'static str,
    /// The tenant that the token is of.
    pub tenant: String,
    /// Our client id, where the token names one.
    pub client_id: Option<String>,
    /// Our object id, where the token names one.
    pub object_id: Option<String>,
}

/// Why something cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unreadable {
    /// The HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// The service's own code, where it gave one.
    pub code: Option<String>,
    /// In one line.
    pub why: String,
}

impl From<AzureError> for Unreadable {
    fn from(error: AzureError) -> Self {
        let why = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        Unreadable { status: error.status(), code: error.code().map(str::to_owned), why }
    }
}

impl Reader {
    /// Connects as the target says. Nothing is asked yet.
    ///
    /// # Errors
    /// The trust roots or the credential are not usable; in one line.
    pub fn connect(target: &AzureTarget, cancel: CancellationToken) -> Result<Self, String> {
        Ok(Reader { azure: Azure::connect(target, cancel)? })
    }

    /// Signs in.
    ///
    /// # Errors
    /// No token, and why.
    pub async fn sign_in(&self) -> Result<SignedIn, Unreadable> {
        let claims = self.azure.own_claims().await?;
        let text = |name: &str| claims[name].as_str().map(str::to_owned);
        Ok(SignedIn {
            credential: self.azure.used().unwrap_or("unknown"),
            tenant: text("tid").unwrap_or_else(|| self.azure.target().tenant_id.clone()),
            client_id: text("appid").or_else(|| text("azp")),
            object_id: text("oid"),
        })
    }

    /// Reads a path of Resource Manager, such as `/subscriptions/{id}`.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub async fn get(&self, path: &str, version: &str) -> Result<Value, Unreadable> {
        Ok(self.azure.arm().ask(Method::GET, path, version, None).await?)
    }

    /// Reads what is only given away to who posts for it: names that are free, credentials of a cluster.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub async fn post_to_read(&self, path: &str, version: &str, body: Option<&Value>) -> Result<Value, Unreadable> {
        Ok(self.azure.arm().ask(Method::POST, path, version, body).await?)
    }

    /// Reads a list of applications, which says whether we may.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub async fn may_read_applications(&self) -> Result<(), Unreadable> {
        let prefix = crate::azure::NamedBy::Whole(&self.azure.target().marks.prefix);
        Ok(self.azure.graph().applications(prefix).await.map(|_| ())?)
    }

    /// Reads a document of the public internet, by the target's names and trust roots but without a token.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub async fn get_open(&self, url: &str) -> Result<Value, Unreadable> {
        Ok(self.azure.get_open(url).await?)
    }
}
