//! An Azure: addresses, trust roots, a credential. There is no question whose it is.

mod arm;
mod chosen;
mod client;
mod credential;
mod graph;
mod open;
mod rights;
mod vault;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use wi_model::secret::Secret;
use wi_model::target::AzureTarget;

pub use arm::RUN_TAG;
pub(crate) use arm::{Arm, FederatedCredential, MADE_TAG, MAKING_TAG, Policy, created_at, untouched};
pub(crate) use chosen::Chosen;
pub(crate) use client::{AzureError, Client};
pub(crate) use graph::{Graph, NamedBy};
pub(crate) use rights::Scope;
pub(crate) use vault::Vault;

/// What the identity provider says of a client or a federated credential that it does not know, or not yet.
const NOT_KNOWN_YET: [u64; 6] = [70_021, 70_025, 700_016, 700_211, 700_212, 700_213];

/// A connected Azure.
#[derive(Clone)]
pub(crate) struct Azure {
    target: Arc<AzureTarget>,
    client: Client,
    /// Number of the last entry of the request journal that anybody has read.
    read: Arc<AtomicU64>,
}

impl Azure {
    /// Connects as the target says. Nothing is asked yet.
    pub(crate) fn connect(target: &AzureTarget, cancel: CancellationToken) -> Result<Self, String> {
        let http = client::http(target)?;
        let sign_in = credential::SignIn::new(target, http.clone());
        let sign_in = sign_in.map_err(|why| format!("no credential for Azure: {why}"))?;
        let client = Client::new(http, sign_in, cancel);
        Ok(Azure { target: Arc::new(target.clone()), client, read: Arc::default() })
    }

    /// The same Azure for cleaning up, which goes on when the run is cancelled, unless that Azure has ended.
    pub(crate) fn uncancelled(&self) -> Self {
        Azure { client: self.client.uncancelled(), ..self.clone() }
    }

    /// From now on nothing answers there, and nothing is left there.
    pub(crate) fn end(&self) {
        self.client.end();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.client.has_ended()
    }

    /// The same Azure with a list of waits of its own.
    pub(crate) fn noted(&self) -> Self {
        Azure { client: self.client.noted(), ..self.clone() }
    }

    /// What had to be waited for, in words.
    pub(crate) fn waits(&self) -> Vec<String> {
        self.client.waits()
    }

    /// Tells of a wait, or of what was done instead.
    pub(crate) fn waited(&self, what: String) {
        self.client.waited(what);
    }

    /// Waits until the identity provider exchanges a token for one of a client, or refuses for a reason that does not
    /// pass. Errors only where there is no answer.
    pub(crate) async fn wait_trusted(&self, client_id: &str, token: &Secret) -> Result<(), AzureError> {
        let authority = self.target.authority.trim_end_matches('/');
        let url = format!("{authority}/{}/oauth2/v2.0/token", self.target.tenant_id);
        let scope = format!("https://{}/.default", self.target.vault_domain);
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("scope", &scope),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", token.expose()),
        ];
        let ask = || async {
            let (status, body) = self.client.post_form(&url, &form).await?;
            let code = body["error_codes"][0].as_u64().unwrap_or_default();
            if status == 200 || !NOT_KNOWN_YET.contains(&code) {
                return Ok(());
            }
            Err(AzureError::unexpected("the identity provider", "to know the credential", &format!("AADSTS{code}")))
        };
        let not_yet = |error: &AzureError| matches!(error, AzureError::Unexpected { .. } | AzureError::NoAnswer { .. });
        match self.client.eventually("the identity provider knew the credential", not_yet, ask).await {
            // The bound was reached: the case will show what that means.
            Err(AzureError::Unexpected { found, .. }) => {
                self.client.waited(format!("the identity provider still answers {found}"));
                Ok(())
            }
            outcome => outcome,
        }
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

    /// A vault's address in the cloud with another domain of vaults; the same where it is the target's.
    pub(crate) fn vault_in(&self, url: &str, domain: &str) -> String {
        let name = url.strip_prefix("https://").and_then(|rest| rest.split('.').next()).unwrap_or_default();
        if domain == self.target.vault_domain { url.to_owned() } else { format!("https://{name}.{domain}/") }
    }

    /// A vault's address in the target's own cloud, where we are signed in.
    pub(crate) fn own_vault(&self, url: &str) -> String {
        let name = url.strip_prefix("https://").and_then(|rest| rest.split('.').next()).unwrap_or_default();
        format!("https://{name}.{}/", self.target.vault_domain)
    }

    /// Our own principal's object id, out of the token that we are given.
    pub(crate) async fn own_object_id(&self) -> Result<String, AzureError> {
        let claims = self.client.own_claims(&scope(&self.target.resource_manager)).await?;
        claims["oid"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| AzureError::unexpected("our own token", "an oid", "none"))
    }

    /// The claims of our own token for Resource Manager.
    pub(crate) async fn own_claims(&self) -> Result<Value, AzureError> {
        self.client.own_claims(&scope(&self.target.resource_manager)).await
    }

    /// The word of the credential by which we are signed in.
    pub(crate) fn used(&self) -> Option<&'static str> {
        self.client.used()
    }

    /// A document that needs no token.
    pub(crate) async fn get_open(&self, url: &str) -> Result<Value, AzureError> {
        self.client.get_open(url).await
    }

    /// Signs in, so that a credential that does not work is found before anything is made.
    pub(crate) async fn sign_in(&self) -> Result<(), AzureError> {
        self.client.own_claims(&scope(&self.target.resource_manager)).await.map(|_| ())
    }

    /// An exchange at an identity provider, unsigned: the form is all that it goes by. Gives back status and body.
    pub(crate) async fn exchange(
        &self,
        authority: &str,
        tenant: &str,
        form: &[(&str, &str)],
    ) -> Result<(u16, Value), AzureError> {
        let url = format!("{}/{tenant}/oauth2/v2.0/token", authority.trim_end_matches('/'));
        self.client.post_form(&url, form).await
    }

    /// Asks for a fault through the control interface of whoever stands in for Azure.
    pub(crate) async fn control(&self, what: &str, body: &Value) -> Result<(), AzureError> {
        let Some(journal) = &self.target.journal else {
            return Err(AzureError::unexpected(
                what,
                "a control interface",
                "faults cannot be injected into this Azure",
            ));
        };
        let url = format!("{}/{what}", journal.trim_end_matches('/'));
        self.client.put_control(&url, self.target.journal_token.as_ref(), body).await
    }

    /// What the identity provider and the vaults saw since a number of their record; nothing where nobody keeps one.
    pub(crate) async fn journal(&self, since: u64) -> Result<Vec<Value>, AzureError> {
        let Some(journal) = &self.target.journal else { return Ok(Vec::new()) };
        let url = format!("{}/journal?since={since}", journal.trim_end_matches('/'));
        match self.client.get_control(&url, self.target.journal_token.as_ref()).await? {
            // What is not kept any more may be the very exchange that a verdict needs.
            Value::Array(entries) if entries.iter().any(|entry| entry["dropped"].as_u64().is_some_and(|n| n > 0)) => {
                let dropped: u64 = entries.iter().filter_map(|entry| entry["dropped"].as_u64()).sum();
                let expected = format!("every exchange after number {since}");
                Err(AzureError::unexpected("the journal", &expected, &format!("{dropped} of them dropped")))
            }
            Value::Array(entries) => {
                let last = entries.iter().filter_map(|entry| entry["seq"].as_u64()).max();
                self.read.fetch_max(last.unwrap_or(0), Ordering::Relaxed);
                Ok(entries)
            }
            other => Err(AzureError::unexpected("the journal", "a list", &other.to_string())),
        }
    }

    /// Number of an entry of their record that is there already, as late a one as is known without asking: nothing that
    /// begins now is before it.
    pub(crate) fn journal_now(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

/// The scope of a resource, one slash between.
fn scope(resource: &str) -> String {
    format!("{}/.default", resource.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// An identity provider that gives these answers in turn, and the last one for ever.
    async fn provider(answers: &'static [(u16, &'static str)]) -> (Azure, Arc<AtomicUsize>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = format!("http://{}/", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (status, body) = answers[counted.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1)];
                let _ = stream.read(&mut [0; 4096]).await;
                let head =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            }
        });
        // A credential that does not mind that nobody serves TLS here.
        let credential = wi_model::target::Credential::AzureCli;
        let target = AzureTarget { authority, credential, ..crate::session::tests::target().azure };
        (Azure::connect(&target, CancellationToken::new()).unwrap(), asked)
    }

    const UNKNOWN: &str = r#"{"error_codes":[70025]}"#;

    #[tokio::test]
    async fn a_federated_credential_that_is_not_known_yet_is_asked_for_until_it_is_and_the_wait_is_told() {
        let (azure, asked) = provider(&[(400, UNKNOWN), (400, UNKNOWN), (200, "{}")]).await;
        azure.wait_trusted("c", &Secret::new("t")).await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        let waits = azure.waits();
        assert!(waits.len() == 1 && waits[0].ends_with("until the identity provider knew the credential"), "{waits:?}");
    }

    #[tokio::test]
    async fn a_refusal_that_does_not_pass_ends_the_wait_at_once_for_the_case_to_judge() {
        let (azure, asked) = provider(&[(400, r#"{"error_codes":[90061]}"#)]).await;
        azure.wait_trusted("c", &Secret::new("t")).await.unwrap();
        assert_eq!((asked.load(Ordering::SeqCst), azure.waits().len()), (1, 0));
    }
}
