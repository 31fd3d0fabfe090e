//! Signing in: a credential of the target into tokens, whichever way it is held.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::{Secret as SdkSecret, TokenCredential};
use azure_core::error::ErrorKind;
use azure_core::http::{ClientMethodOptions, ClientOptions, ExponentialRetryOptions, RetryOptions, Transport};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertion, ClientAssertionCredential,
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use wi_model::secret::{Secret, sha256_hex};
use wi_model::target::{AzureTarget, Credential};

use crate::cluster::sentence;

/// How long an assertion that we sign ourselves may be used.
const ASSERTION: Duration = Duration::from_secs(600);
/// The audience that a CI provider's token must have for the identity provider to take it.
const AUDIENCE: &str = "api://AzureADTokenExchange";

/// Signs in by the target's credential, and knows by which of several it did.
pub(crate) struct SignIn {
    azure: AzureTarget,
    http: reqwest::Client,
    state: Mutex<Arc<Ways>>,
}

/// The ways to sign in, in order; the one that worked is used from then on.
struct Ways {
    all: Vec<(&'static str, Arc<dyn TokenCredential>)>,
    chosen: Mutex<Option<usize>>,
}

impl SignIn {
    pub(crate) fn new(azure: &AzureTarget, http: reqwest::Client) -> Result<Self, String> {
        let ways = Arc::new(ways(azure, &http)?);
        Ok(SignIn { azure: azure.clone(), http, state: Mutex::new(ways) })
    }

    /// A token for a scope.
    pub(crate) async fn token(&self, scope: &str) -> Result<Secret, String> {
        let ways = self.ways();
        let chosen = *ways.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut faults = Vec::new();
        for (index, (word, credential)) in ways.all.iter().enumerate() {
            if chosen.is_some_and(|chosen| chosen != index) {
                continue;
            }
            match credential.get_token(&[scope], None).await {
                Ok(token) => {
                    *ways.chosen.lock().unwrap_or_else(PoisonError::into_inner) = Some(index);
                    return Ok(Secret::new(token.token.secret().to_owned()));
                }
                Err(error) => faults.push(format!("{word}: {}", one_line(&sentence(&error)))),
            }
        }
        Err(faults.join("; "))
    }

    /// The word of the credential that worked; `None` before one did.
    pub(crate) fn used(&self) -> Option<&'static str> {
        let ways = self.ways();
        let chosen = *ways.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        chosen.and_then(|index| ways.all.get(index)).map(|(word, _)| *word)
    }

    /// Forgets every token: a service has said that ours has expired.
    pub(crate) fn forget(&self) {
        if let Ok(fresh) = ways(&self.azure, &self.http) {
            *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        }
    }

    fn ways(&self) -> Arc<Ways> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn ways(azure: &AzureTarget, http: &reqwest::Client) -> Result<Ways, String> {
    let single = [azure.credential.clone()];
    let wanted = match &azure.credential {
        Credential::FirstOf(all) => all.as_slice(),
        _ => &single,
    };
    let mut all = Vec::new();
    for credential in wanted {
        let made = one(credential, azure, http).map_err(|why| format!("{}: {why}", credential.word()))?;
        all.push((credential.word(), made));
    }
    if all.is_empty() {
        return Err("the environment provides no credential".to_owned());
    }
    Ok(Ways { all, chosen: Mutex::new(None) })
}

fn one(
    credential: &Credential,
    azure: &AzureTarget,
    http: &reqwest::Client,
) -> Result<Arc<dyn TokenCredential>, String> {
    let options = || client_options(azure, http);
    let tenant = azure.tenant_id.clone();
    let told = |error: azure_core::Error| sentence(&error);
    Ok(match credential {
        Credential::FirstOf(_) => return Err("a list of lists of credentials".to_owned()),
        Credential::AzureCli => {
            let options = AzureCliCredentialOptions { tenant_id: Some(tenant), ..AzureCliCredentialOptions::default() };
            AzureCliCredential::new(Some(options)).map_err(told)?
        }
        Credential::TokenFile { client_id, path } => {
            let options = WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions { client_options: options() },
                client_id: Some(client_id.clone()),
                tenant_id: Some(tenant),
                token_file_path: Some(path.clone()),
            };
            WorkloadIdentityCredential::new(Some(options)).map_err(told)?
        }
        Credential::CiToken { client_id, url, bearer } => {
            let assertion = CiToken { http: http.clone(), url: url.clone(), bearer: bearer.clone() };
            asserting(tenant, client_id, assertion, options())?
        }
        Credential::ClientSecret { client_id, secret } => {
            let secret = SdkSecret::new(secret.expose().to_owned());
            let options = ClientSecretCredentialOptions { client_options: options() };
            ClientSecretCredential::new(&tenant, client_id.clone(), secret, Some(options)).map_err(told)?
        }
        Credential::ClientCertificate { client_id, pem } => {
            let authority = azure.authority.trim_end_matches('/');
            let audience = format!("{authority}/{tenant}/oauth2/v2.0/token");
            let assertion = Certificate { client_id: client_id.clone(), audience, pem: pem.clone() };
            asserting(tenant, client_id, assertion, options())?
        }
    })
}

fn asserting<A: ClientAssertion + 'static>(
    tenant: String,
    client_id: &str,
    assertion: A,
    client_options: ClientOptions,
) -> Result<Arc<dyn TokenCredential>, String> {
    let options = ClientAssertionCredentialOptions { client_options };
    let credential = ClientAssertionCredential::new(tenant, client_id.to_owned(), assertion, Some(options));
    Ok(credential.map_err(|error| sentence(&error))?)
}

fn client_options(azure: &AzureTarget, http: &reqwest::Client) -> ClientOptions {
    let mut cloud = CustomConfiguration::default();
    cloud.authority_host.clone_from(&azure.authority);
    let retry = ExponentialRetryOptions { max_retries: 3, ..ExponentialRetryOptions::default() };
    ClientOptions {
        transport: Some(Transport::new(Arc::new(http.clone()))),
        cloud: Some(Arc::new(cloud.into())),
        retry: RetryOptions::exponential(retry),
        ..ClientOptions::default()
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn fault(why: String) -> azure_core::Error {
    azure_core::Error::with_message(ErrorKind::Credential, why)
}

/// The token that a CI provider gives to a job: asked for again each time, for it lives for minutes only.
#[derive(Debug)]
struct CiToken {
    http: reqwest::Client,
    url: String,
    bearer: Secret,
}

#[async_trait::async_trait]
impl ClientAssertion for CiToken {
    async fn secret(&self, _options: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let asked = self.http.get(&self.url).query(&[("audience", AUDIENCE)]).bearer_auth(self.bearer.expose());
        let told = |error: reqwest::Error| {
            fault(format!("the CI provider issues no token: {}", sentence(&error.without_url())))
        };
        let answer = asked.send().await.map_err(told)?.error_for_status().map_err(told)?;
        let body: serde_json::Value = answer.json().await.map_err(told)?;
        let token = body["value"].as_str().map(str::to_owned);
        token.ok_or_else(|| fault("the CI provider's answer has no `value`".to_owned()))
    }
}

/// An assertion signed by a certificate's key.
#[derive(Debug)]
struct Certificate {
    client_id: String,
    audience: String,
    pem: Secret,
}

#[async_trait::async_trait]
impl ClientAssertion for Certificate {
    async fn secret(&self, _options: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        self.signed().map_err(fault)
    }
}

impl Certificate {
    fn signed(&self) -> Result<String, String> {
        let certificate = block(self.pem.expose(), "CERTIFICATE").ok_or("the PEM file contains no CERTIFICATE")?;
        let key = ["PRIVATE KEY", "RSA PRIVATE KEY"].iter().find_map(|kind| pem_block(self.pem.expose(), kind));
        let key = key.ok_or("the PEM file contains no PRIVATE KEY")?;
        let key = jsonwebtoken::EncodingKey::from_rsa_pem(key.as_bytes())
            .map_err(|_| "the private key in the PEM file is not an RSA key, which the identity provider requires")?;
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::PS256);
        header.x5t_s256 = Some(URL_SAFE_NO_PAD.encode(sha256(&certificate)));
        let now = jiff::Timestamp::now().as_second();
        let claims = json!({
            "aud": self.audience, "iss": self.client_id, "sub": self.client_id,
            "jti": uuid::Uuid::new_v4(), "nbf": now, "iat": now, "exp": now + ASSERTION.as_secs().cast_signed(),
        });
        jsonwebtoken::encode(&header, &claims, &key).map_err(|_| "the assertion could not be signed".to_owned())
    }
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    let hex = sha256_hex(bytes);
    (0..hex.len()).step_by(2).filter_map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}

/// A block of a PEM, with its first and last line.
fn pem_block(pem: &str, kind: &str) -> Option<String> {
    let (first, last) = (format!("-----BEGIN {kind}-----"), format!("-----END {kind}-----"));
    let start = pem.find(&first)?;
    let end = pem[start..].find(&last)?;
    Some(format!("{}\n", &pem[start..start + end + last.len()]))
}

/// The bytes of a block.
fn block(pem: &str, kind: &str) -> Option<Vec<u8>> {
    let text = pem_block(pem, kind)?;
    let inner: String = text.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    STANDARD.decode(inner).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn azure(credential: Credential) -> AzureTarget {
        AzureTarget { credential, ..crate::session::tests::target().azure }
    }

    #[test]
    fn an_environment_that_offers_nothing_is_told() {
        let azure = azure(Credential::FirstOf(Vec::new()));
        let http = super::super::client::http(&azure).unwrap();
        let error = SignIn::new(&azure, http).err().unwrap();
        assert_eq!(error, "the environment provides no credential");
    }

    #[tokio::test]
    async fn each_way_is_tried_in_turn_and_each_fault_is_told_in_one_line() {
        let nowhere = |name: &str| Credential::TokenFile { client_id: "c".into(), path: name.into() };
        let azure = azure(Credential::FirstOf(vec![nowhere("/nowhere/a"), nowhere("/nowhere/b")]));
        let http = super::super::client::http(&azure).unwrap();
        let told = match SignIn::new(&azure, http) {
            Ok(sign_in) => sign_in.token("s").await.unwrap_err(),
            Err(why) => why,
        };
        assert!(told.contains("workload-identity: ") && !told.contains('\n'), "{told}");
    }

    #[test]
    fn blocks_of_a_pem_are_found_whatever_stands_around_them() {
        let pem = "x\n-----BEGIN A-----\nYWJj\n-----END A-----\n-----BEGIN B-----\nZGVm\n-----END B-----\n";
        assert_eq!(block(pem, "B").unwrap(), b"def");
        assert_eq!(pem_block(pem, "A").unwrap(), "-----BEGIN A-----\nYWJj\n-----END A-----\n");
        assert_eq!(sha256(b"abc").len(), 32);
    }
}
