//! An Azure: addresses, trust roots, a credential. There is no question whose it is.

mod arm;
mod client;
mod graph;
mod open;
mod rights;
mod vault;

use std::sync::Arc;

use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::{Secret as SdkSecret, TokenCredential};
use azure_core::http::{ClientOptions, Transport};
use azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use wi_model::target::{AzureTarget, Credential};

pub(crate) use arm::{Arm, FederatedCredential, Policy};
pub(crate) use client::{AzureError, Client};
pub(crate) use graph::Graph;
pub(crate) use vault::Vault;

/// A connected Azure.
#[derive(Clone)]
pub(crate) struct Azure {
    target: Arc<AzureTarget>,
    client: Client,
}

impl Azure {
    /// Connects as the target says. Nothing is asked yet.
    pub(crate) fn connect(target: &AzureTarget, cancel: CancellationToken) -> Result<Self, String> {
        let http = client::http(target)?;
        let credential = credential(target, http.clone())
            .map_err(|error| format!("no credential for Azure: {}", crate::cluster::sentence(&error)))?;
        Ok(Azure { target: Arc::new(target.clone()), client: Client::new(http, credential, cancel) })
    }

    /// The same Azure for cleaning up, which goes on when the run is cancelled.
    pub(crate) fn uncancelled(&self) -> Self {
        Azure { target: self.target.clone(), client: self.client.uncancelled() }
    }

    pub(crate) fn target(&self) -> &AzureTarget {
        &self.target
    }

    pub(crate) fn arm(&self) -> Arm<'_> {
        Arm { azure: &self.target, client: &self.client }
    }

    pub(crate) fn graph(&self) -> Graph<'_> {
        Graph { azure: &self.target, client: &self.client }
    }

    pub(crate) fn vault<'a>(&'a self, url: &'a str) -> Vault<'a> {
        Vault { url, domain: &self.target.vault_domain, client: &self.client }
    }

    /// Our own principal's object id, out of the token that we are given.
    pub(crate) async fn own_object_id(&self) -> Result<String, AzureError> {
        let claims = self.client.own_claims(&scope(&self.target.resource_manager)).await?;
        claims["oid"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| AzureError::unexpected("our own token", "an oid", "none"))
    }

    /// Signs in, so that a credential that does not work is found before anything is made.
    pub(crate) async fn sign_in(&self) -> Result<(), AzureError> {
        self.client.own_claims(&scope(&self.target.resource_manager)).await.map(|_| ())
    }

    /// An exchange at the identity provider, unsigned: the form is all that it goes by. Gives back status and body.
    pub(crate) async fn exchange(&self, tenant: &str, form: &[(&str, &str)]) -> Result<(u16, Value), AzureError> {
        let url = format!("{}/{tenant}/oauth2/v2.0/token", self.target.authority.trim_end_matches('/'));
        self.client.post_form(&url, form).await
    }

    /// Asks for a fault through the control interface of whoever stands in for Azure.
    pub(crate) async fn control(&self, what: &str, body: &Value) -> Result<(), AzureError> {
        let Some(journal) = &self.target.journal else {
            return Err(AzureError::unexpected(what, "a control interface", "none: this Azure is not ours to break"));
        };
        self.client.put_open(&format!("{}/{what}", journal.trim_end_matches('/')), body).await
    }

    /// What the identity provider and the vaults saw since a number of their record; nothing where nobody keeps one.
    pub(crate) async fn journal(&self, since: u64) -> Result<Vec<Value>, AzureError> {
        let Some(journal) = &self.target.journal else { return Ok(Vec::new()) };
        match self.client.get_open(&format!("{}/journal?since={since}", journal.trim_end_matches('/'))).await? {
            Value::Array(entries) => Ok(entries),
            other => Err(AzureError::unexpected("the journal", "a list", &other.to_string())),
        }
    }
}

/// The scope of a resource, one slash between.
fn scope(resource: &str) -> String {
    format!("{}/.default", resource.trim_end_matches('/'))
}

fn credential(target: &AzureTarget, http: reqwest::Client) -> azure_core::Result<Arc<dyn TokenCredential>> {
    let Credential::ClientSecret { client_id, secret } = &target.credential;
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host = target.authority.clone();
    let client_options = ClientOptions {
        transport: Some(Transport::new(Arc::new(http))),
        cloud: Some(Arc::new(cloud.into())),
        ..ClientOptions::default()
    };
    let options = ClientSecretCredentialOptions { client_options };
    let secret = SdkSecret::new(secret.expose().to_owned());
    let credential = ClientSecretCredential::new(&target.tenant_id, client_id.clone(), secret, Some(options))?;
    Ok(credential)
}
