//! One HTTP client with the target's trust roots, and what every service has in common: tokens, errors, throttling,
//! long-running operations.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use base64::Engine as _;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Method, StatusCode, header};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use wi_model::target::AzureTarget;

use crate::settle;

/// How long a request may take.
const REQUEST: Duration = Duration::from_secs(60);
/// How often a throttled or failing service is asked again.
const TRIES: u32 = 5;
/// The longest pause that a service may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long a long-running operation may take.
const OPERATION: Duration = Duration::from_secs(600);

/// An answer of Azure that was not wanted. Holds no token and no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AzureError {
    /// The service refused.
    #[error("{method} {url}: {status} {code}: {message}")]
    Refused { method: Method, url: String, status: u16, code: String, message: String },
    /// No answer.
    #[error("{method} {url}: no answer: {why}")]
    NoAnswer { method: Method, url: String, why: String },
    /// We could not sign in.
    #[error("no token for {scope}: {why}")]
    NoToken { scope: String, why: String },
    /// An answer without what it must have.
    #[error("{what}: expected {expected}, found {found}")]
    Unexpected { what: String, expected: String, found: String },
    /// The run was cancelled.
    #[error("interrupted")]
    Cancelled,
}

impl AzureError {
    pub(crate) fn unexpected(what: &str, expected: &str, found: &str) -> Self {
        AzureError::Unexpected { what: what.to_owned(), expected: expected.to_owned(), found: found.to_owned() }
    }

    /// The HTTP status of a refusal.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            AzureError::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// The HTTP client of a target.
pub(crate) fn http(target: &AzureTarget) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .timeout(REQUEST)
        .connect_timeout(Duration::from_secs(10))
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("wi-conformance/", env!("CARGO_PKG_VERSION")));
    if let Some(pem) = &target.trust_roots {
        let roots = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
            .map_err(|error| format!("the trust roots cannot be read: {error}"))?;
        builder = builder.tls_certs_merge(roots);
    }
    if let Some(address) = target.connect {
        builder = builder.no_proxy().dns_resolver(Arc::new(OneAddress(address)));
    }
    builder.build().map_err(|error| format!("no HTTP client for Azure: {}", crate::cluster::sentence(&error)))
}

/// Every name leads to one address: what a hosts file would say.
struct OneAddress(SocketAddr);

impl Resolve for OneAddress {
    fn resolve(&self, _name: Name) -> Resolving {
        let addresses: Addrs = Box::new(std::iter::once(self.0));
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

/// A client that signs its requests.
#[derive(Clone)]
pub(crate) struct Client {
    pub(super) http: reqwest::Client,
    credential: Arc<dyn TokenCredential>,
    pub(super) cancel: CancellationToken,
}

/// An answer that was wanted.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: header::HeaderMap,
    pub(crate) body: Value,
}

impl Client {
    pub(crate) fn new(http: reqwest::Client, credential: Arc<dyn TokenCredential>, cancel: CancellationToken) -> Self {
        Client { http, credential, cancel }
    }

    pub(crate) fn uncancelled(&self) -> Self {
        Client { cancel: CancellationToken::new(), ..self.clone() }
    }

    async fn token(&self, scope: &str) -> Result<String, AzureError> {
        let granted = self.credential.get_token(&[scope], None).await;
        let granted = granted
            .map_err(|error| AzureError::NoToken { scope: scope.to_owned(), why: crate::cluster::sentence(&error) })?;
        Ok(granted.token.secret().to_owned())
    }

    /// The claims of our own token.
    pub(crate) async fn own_claims(&self, scope: &str) -> Result<Value, AzureError> {
        let token = self.token(scope).await?;
        let payload = token.split('.').nth(1).unwrap_or_default();
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// A request without a token, for what needs none.
    pub(crate) async fn get_open(&self, url: &str) -> Result<Value, AzureError> {
        self.attempt(&Method::GET, url, None, None).await?.map(|answer| answer.body)
    }

    /// A signed request. Throttling and passing faults are waited for as the service says.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        scope: &str,
        body: Option<&Value>,
    ) -> Result<Answer, AzureError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let token = self.token(scope).await?;
            let result = self.attempt(&method, url, Some(&token), body).await?;
            let Err(AzureError::Refused { status, .. }) = &result else { return result };
            if tries >= TRIES || !matches!(status, 429 | 500 | 502 | 503 | 504) {
                return result;
            }
            let pause = Duration::from_millis(200) * 2u32.pow(tries);
            settle::rest(pause.min(LONGEST_PAUSE), &self.cancel).await.map_err(|()| AzureError::Cancelled)?;
        }
    }

    /// A signed request, and the operation that it starts until it is done.
    pub(crate) async fn send_and_wait(
        &self,
        method: Method,
        url: &str,
        scope: &str,
        body: Option<&Value>,
    ) -> Result<Answer, AzureError> {
        let answer = self.send(method, url, scope, body).await?;
        let location = ["azure-asyncoperation", "location"]
            .iter()
            .find_map(|name| answer.headers.get(*name)?.to_str().ok().map(str::to_owned));
        let (StatusCode::ACCEPTED, Some(location)) = (answer.status, location) else { return Ok(answer) };
        let began = tokio::time::Instant::now();
        let mut pause = pause_of(&answer.headers);
        loop {
            settle::rest(pause, &self.cancel).await.map_err(|()| AzureError::Cancelled)?;
            let state = self.send(Method::GET, &location, scope, None).await?;
            let done = match state.body["status"].as_str() {
                Some(status) => ["Succeeded", "Failed", "Canceled"].contains(&status),
                None => state.status != StatusCode::ACCEPTED,
            };
            if done {
                return match state.body["status"].as_str() {
                    Some("Failed" | "Canceled") => {
                        Err(AzureError::unexpected(url, "an operation that succeeds", &state.body["error"].to_string()))
                    }
                    _ => Ok(state),
                };
            }
            if began.elapsed() > OPERATION {
                return Err(AzureError::unexpected(
                    url,
                    "an operation that ends",
                    &format!("none after {} s", OPERATION.as_secs()),
                ));
            }
            pause = pause_of(&state.headers);
        }
    }

    /// One try. The outer error is that there was no answer; the inner one that the answer is a refusal.
    pub(super) async fn attempt(
        &self,
        method: &Method,
        url: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Result<Answer, AzureError>, AzureError> {
        let mut request = self.http.request(method.clone(), url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let no_answer = |error: reqwest::Error| AzureError::NoAnswer {
            method: method.clone(),
            url: url.to_owned(),
            why: crate::cluster::sentence(&error.without_url()),
        };
        let sent = self.cancel.run_until_cancelled(request.send()).await;
        let response = sent.ok_or(AzureError::Cancelled)?.map_err(no_answer)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.map_err(no_answer)?;
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() {
            return Ok(Ok(Answer { status, headers, body }));
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(Err(AzureError::Refused {
            method: method.clone(),
            url: url.to_owned(),
            status: status.as_u16(),
            code: text(&body["error"]["code"]),
            message: text(&body["error"]["message"]),
        }))
    }
}

/// The pause that an answer asks for.
fn pause_of(headers: &header::HeaderMap) -> Duration {
    let seconds = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    seconds.map_or(Duration::from_millis(100), Duration::from_secs).min(LONGEST_PAUSE)
}
