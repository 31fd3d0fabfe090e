//! One HTTP client with the target's trust roots, and what every service has in common: tokens, errors, throttling,
//! long-running operations.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Method, StatusCode, header};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use wi_model::secret::Secret;
use wi_model::target::AzureTarget;

use super::credential::SignIn;
use crate::settle;

/// How long a request may take.
const REQUEST: Duration = Duration::from_secs(60);
/// How often a throttled or failing service is asked again.
const TRIES: u32 = 12;
/// The longest pause that a service may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long a service may go on refusing for a reason that passes.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long what one part of Azure knows may take to reach another.
const SPREAD: Duration = Duration::from_secs(150);
/// The first pause between looks whether it has.
const SPREADS: Duration = Duration::from_millis(250);
/// The pause between looks at an operation where the service does not say.
const UNTOLD: Duration = Duration::from_millis(100);
/// What a service says when it is to be asked again, though its status does not tell.
const PASSING: [&str; 6] = [
    "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
    "AnotherOperationInProgress",
    "OperationNotAllowedOnInProgress",
    "ConcurrentRequest",
    "Directory_ConcurrencyViolation",
    "TooManyRequests",
];
/// How long a long-running operation may take.
const OPERATION: Duration = Duration::from_secs(600);

/// An answer of Azure that was not wanted. Holds no token and no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AzureError {
    /// The service refused.
    #[error("{method} {url}: {status} {code}: {message}")]
    Refused { method: Method, url: String, status: u16, code: String, message: String, pause: Option<Duration> },
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

    fn no_answer(method: &Method, url: &str, error: reqwest::Error) -> Self {
        let why = crate::cluster::sentence(&error.without_url());
        AzureError::NoAnswer { method: method.clone(), url: url.to_owned(), why }
    }

    /// The pause that a refusal asks for.
    fn pause(&self) -> Option<Duration> {
        match self {
            AzureError::Refused { pause, .. } => *pause,
            _ => None,
        }
    }

    /// Whether it passes by itself.
    fn passes(&self) -> bool {
        match self {
            AzureError::Refused { status: 408 | 429 | 500 | 502 | 503 | 504, .. } | AzureError::NoAnswer { .. } => true,
            AzureError::Refused { status: 409, code, .. } => PASSING.contains(&code.as_str()),
            _ => false,
        }
    }

    /// Why, in a few words.
    fn reason(&self) -> String {
        match self {
            AzureError::Refused { status, code, .. } => format!("{status} {code}").trim_end().to_owned(),
            AzureError::NoAnswer { why, .. } => why.clone(),
            other => other.to_string(),
        }
    }

    /// The service's own code of a refusal.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            AzureError::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// The HTTP status of a refusal.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            AzureError::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// How often one request is given a new token.
const RENEWALS: u32 = 3;

/// How long a connection is kept that nobody uses. Every vault is a host of its own, and most are asked for once only.
const IDLE: Duration = Duration::from_secs(3);

/// The HTTP client of a target.
pub(crate) fn http(target: &AzureTarget) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .timeout(REQUEST)
        .connect_timeout(Duration::from_secs(10))
        .pool_idle_timeout(IDLE)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("wi-conformance/", env!("CARGO_PKG_VERSION")));
    if let Some(pem) = &target.trust_roots {
        let roots = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
            .map_err(|error| format!("the trust roots cannot be read: {error}"))?;
        // Where every name leads to one address, nothing else is met than what these vouch for.
        let alone = target.connect.is_some();
        builder = if alone { builder.tls_certs_only(roots) } else { builder.tls_certs_merge(roots) };
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
    sign_in: Arc<SignIn>,
    pub(super) cancel: CancellationToken,
    /// Nothing answers there any more, and nothing is left there.
    ended: CancellationToken,
    /// What had to be waited for, in words.
    waits: Arc<Mutex<Vec<String>>>,
}

/// An answer that was wanted.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: header::HeaderMap,
    pub(crate) body: Value,
}

impl Client {
    pub(crate) fn new(http: reqwest::Client, sign_in: SignIn, cancel: CancellationToken) -> Self {
        Client { http, sign_in: Arc::new(sign_in), cancel, ended: CancellationToken::new(), waits: Arc::default() }
    }

    pub(crate) fn uncancelled(&self) -> Self {
        Client { cancel: self.ended.clone(), ..self.clone() }
    }

    pub(crate) fn end(&self) {
        self.ended.cancel();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// The same client with an empty list of waits.
    pub(crate) fn noted(&self) -> Self {
        Client { waits: Arc::default(), ..self.clone() }
    }

    /// What had to be waited for since the last time somebody asked.
    pub(crate) fn waits(&self) -> Vec<String> {
        std::mem::take(&mut *self.waits.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells of a wait.
    pub(crate) fn waited(&self, what: String) {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// The word of the credential by which we are signed in.
    pub(crate) fn used(&self) -> Option<&'static str> {
        self.sign_in.used()
    }

    async fn token(&self, scope: &str) -> Result<Secret, AzureError> {
        let granted = self.cancel.run_until_cancelled(self.sign_in.token(scope)).await.ok_or(AzureError::Cancelled)?;
        granted.map_err(|why| AzureError::NoToken { scope: scope.to_owned(), why })
    }

    /// The claims of our own token.
    pub(crate) async fn own_claims(&self, scope: &str) -> Result<Value, AzureError> {
        let token = self.token(scope).await?;
        let payload = token.expose().split('.').nth(1).unwrap_or_default();
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// A request without a token, for what needs none.
    pub(crate) async fn get_open(&self, url: &str) -> Result<Value, AzureError> {
        self.attempt(&Method::GET, url, None, None).await?.map(|answer| answer.body)
    }

    /// A form that is posted without a token, as the identity provider takes it. Gives back status and body, whatever
    /// they are.
    pub(crate) async fn post_form(&self, url: &str, form: &[(&str, &str)]) -> Result<(u16, Value), AzureError> {
        let method = Method::POST;
        let no_answer = |error: reqwest::Error| AzureError::no_answer(&method, url, error);
        let sent = self.cancel.run_until_cancelled(self.http.post(url).form(form).send()).await;
        let response = sent.ok_or(AzureError::Cancelled)?.map_err(no_answer)?;
        let status = response.status().as_u16();
        Ok((status, response.json().await.unwrap_or_default()))
    }

    /// A signed request. What passes by itself is waited for, as the service says and within a bound: throttling, a busy
    /// service, another write at the same time, a connection that broke, a token that has expired.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        scope: &str,
        body: Option<&Value>,
    ) -> Result<Answer, AzureError> {
        let repeat = repeatable(&method, url);
        self.send_patiently(method, url, scope, body, repeat).await
    }

    /// The same; `repeat` says whether it is asked for again where the answer was lost.
    async fn send_patiently(
        &self,
        method: Method,
        url: &str,
        scope: &str,
        body: Option<&Value>,
        repeat: bool,
    ) -> Result<Answer, AzureError> {
        let began = tokio::time::Instant::now();
        let (mut tries, mut renewals) = (0, 0);
        loop {
            tries += 1;
            let token = self.token(scope).await?;
            let result = self.attempt(&method, url, Some(token.expose()), body).await;
            let error = match result {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(refused)) => refused,
                // Nobody knows whether it was done: only what can be done twice is asked for again.
                Err(lost @ AzureError::NoAnswer { .. }) if repeat => lost,
                Err(other) => return Err(other),
            };
            // A token may expire again on the way, where it is short-lived and the machine is busy.
            if error.status() == Some(401) && renewals < RENEWALS {
                renewals += 1;
                self.sign_in.forget();
                self.waited(format!("signed in again: {}", host(url)));
                continue;
            }
            let pause = error.pause().unwrap_or(Duration::from_millis(200) * 2u32.pow(tries.min(8))).min(LONGEST_PAUSE);
            if tries >= TRIES || !error.passes() || began.elapsed() + pause > PATIENCE {
                return Err(error);
            }
            self.waited(format!("{} ms for {}: {}", pause.as_millis(), host(url), error.reason()));
            settle::rest(pause, &self.cancel).await.map_err(|()| AzureError::Cancelled)?;
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
        let put = method == Method::PUT;
        let answer = self.send(method, url, scope, body).await?;
        self.wait_done(answer, put, url, scope).await
    }

    /// What is at an address, if anything is.
    pub(crate) async fn find(&self, url: &str, scope: &str) -> Result<Option<Value>, AzureError> {
        match self.send(Method::GET, url, scope, None).await {
            Ok(answer) => Ok(Some(answer.body)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates what is not there; `None` where something is. A PUT would overwrite it, so it is looked first, and the answer
    /// says whether it created. Where the answer is lost, `ours` tells what is then found from what somebody else made.
    pub(crate) async fn create(
        &self,
        url: &str,
        scope: &str,
        body: &Value,
        ours: &(dyn Fn(&Value) -> bool + Sync),
    ) -> Result<Option<Value>, AzureError> {
        let mut lost = 0;
        loop {
            if let Some(found) = self.find(url, scope).await? {
                return Ok(ours(&found).then_some(found));
            }
            match self.send_patiently(Method::PUT, url, scope, Some(body), false).await {
                Ok(answer) => {
                    let created = matches!(answer.status, StatusCode::CREATED | StatusCode::ACCEPTED);
                    let made = self.wait_done(answer, true, url, scope).await?.body;
                    return Ok((created || super::untouched(&made)).then_some(made));
                }
                Err(AzureError::NoAnswer { why, .. }) if lost < TRIES => {
                    lost += 1;
                    self.waited(format!("checked again what {} created: {why}", host(url)));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for the operation that an answer tells of, if it does.
    async fn wait_done(&self, answer: Answer, put: bool, url: &str, scope: &str) -> Result<Answer, AzureError> {
        let header = |name: &str| answer.headers.get(name)?.to_str().ok().map(str::to_owned);
        // A new resource may be answered with 201 and an operation; else only 202 says that there is one.
        let (location, is_status) = match (header("azure-asyncoperation"), header("location")) {
            (Some(operation), _) if put || answer.status == StatusCode::ACCEPTED => (operation, true),
            (None, Some(location)) if answer.status == StatusCode::ACCEPTED => (location, false),
            _ => return Ok(answer),
        };
        let began = tokio::time::Instant::now();
        let mut pause = pause_of(&answer.headers).unwrap_or(UNTOLD);
        loop {
            settle::rest(pause, &self.cancel).await.map_err(|()| AzureError::Cancelled)?;
            let state = self.send(Method::GET, &location, scope, None).await?;
            let status = state.body["status"].as_str();
            let done = match status {
                Some(status) if is_status || status_of_operation(status) => !status.eq_ignore_ascii_case("InProgress"),
                _ => state.status != StatusCode::ACCEPTED,
            };
            if done && matches!(status, Some("Failed" | "Canceled")) {
                let why = state.body["error"].to_string();
                return Err(AzureError::unexpected(url, "an operation that succeeds", &why));
            }
            if done {
                let waited = began.elapsed().as_millis();
                self.waited(format!("{waited} ms for an operation of {}", host(url)));
                // What was made is told by its own address, not by its operation's.
                return if put && is_status { self.send(Method::GET, url, scope, None).await } else { Ok(state) };
            }
            if began.elapsed() > OPERATION {
                let found = format!("none after {} s", OPERATION.as_secs());
                return Err(AzureError::unexpected(url, "an operation that ends", &found));
            }
            pause = pause_of(&state.headers).unwrap_or(pause.max(UNTOLD)).min(LONGEST_PAUSE);
        }
    }

    /// Asks again while the service does not know yet what another part of it knows already. What was waited is told.
    pub(crate) async fn eventually<T, F, Fut>(
        &self,
        what: &str,
        not_yet: impl Fn(&AzureError) -> bool,
        ask: F,
    ) -> Result<T, AzureError>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, AzureError>>,
    {
        let began = tokio::time::Instant::now();
        let mut pause = SPREADS;
        loop {
            let error = match ask().await {
                Ok(done) => {
                    if pause > SPREADS {
                        self.waited(format!("{} ms until {what}", began.elapsed().as_millis()));
                    }
                    return Ok(done);
                }
                Err(error) => error,
            };
            if !not_yet(&error) || began.elapsed() > SPREAD {
                return Err(error);
            }
            settle::rest(pause, &self.cancel).await.map_err(|()| AzureError::Cancelled)?;
            pause = (pause * 3 / 2).min(Duration::from_secs(5));
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
        let no_answer = |error: reqwest::Error| AzureError::no_answer(method, url, error);
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
            pause: pause_of(&headers),
        }))
    }
}

/// The pause that an answer asks for, if it does.
fn pause_of(headers: &header::HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let milliseconds =
        ["retry-after-ms", "x-ms-retry-after-ms"].into_iter().find_map(number).map(Duration::from_millis);
    milliseconds.or_else(|| number("retry-after").map(Duration::from_secs)).map(|pause| pause.min(LONGEST_PAUSE))
}

/// Whether it can be asked for twice without doing more than once.
fn repeatable(method: &Method, url: &str) -> bool {
    let path = url.split('?').next().unwrap_or(url);
    *method != Method::POST || path.ends_with("/purge") || path.ends_with("Credential")
}

/// Words of an operation's state, as opposed to those of a resource.
fn status_of_operation(status: &str) -> bool {
    ["inprogress", "succeeded", "failed", "canceled"].contains(&status.to_ascii_lowercase().as_str())
}

fn host(url: &str) -> &str {
    url.split("//").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str) -> AzureError {
        let (method, url, code) = (Method::PUT, "https://a/b".to_owned(), code.to_owned());
        AzureError::Refused { method, url, status, code, message: String::new(), pause: None }
    }

    #[test]
    fn what_passes_by_itself_is_told_from_what_does_not() {
        for (status, code) in [(429, ""), (503, ""), (409, PASSING[0])] {
            assert!(refused(status, code).passes(), "{status} {code}");
        }
        for (status, code) in [(409, "VaultAlreadyExists"), (403, "AuthorizationFailed"), (400, ""), (404, "")] {
            assert!(!refused(status, code).passes(), "{status} {code}");
        }
    }

    #[test]
    fn what_must_not_be_done_twice_is_not_repeated() {
        assert!(repeatable(&Method::PUT, "https://a/b?c=d") && repeatable(&Method::DELETE, "https://a/b"));
        assert!(repeatable(&Method::POST, "https://a/deletedVaults/v/purge?api-version=1"));
        assert!(!repeatable(&Method::POST, "https://graph/v1.0/applications"));
    }

    #[test]
    fn a_pause_is_taken_as_it_is_told_and_never_longer_than_a_minute() {
        let told = |name: &'static str, value: &'static str| {
            pause_of(&[(name.parse().unwrap(), header::HeaderValue::from_static(value))].into_iter().collect())
        };
        assert_eq!(told("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(told("x-ms-retry-after-ms", "250"), Some(Duration::from_millis(250)));
        assert_eq!(told("retry-after", "86400"), Some(LONGEST_PAUSE));
        assert_eq!(told("retry-after", "soon"), None);
    }
}
