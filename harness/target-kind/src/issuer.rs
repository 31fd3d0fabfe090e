//! The cluster's issuer, shown to the emulator. A private cluster's issuer is no public name: its documents are fetched
//! from the API server itself, with the cluster's CA and the rights of an account that may read them and nothing else.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use url::Url;
use wi_engine::kubernetes;
use wi_model::secret::Secret;

use super::emulator_container::Known;
use super::holdings::{Holdings, create};
use super::node_network::{Context, Place};

const ACCOUNT: &str = "issuer-reader";
/// Kubernetes' own role for whoever checks its tokens.
const ROLE: &str = "system:service-account-issuer-discovery";
/// Longer than any run, in seconds; a cluster may shorten it.
const TOKEN_LIFE: i64 = 24 * 3600;

/// An account that reads the issuer's documents.
pub(crate) struct Reader<'a> {
    pub(crate) client: &'a kube::Client,
    pub(crate) namespace: &'a str,
    pub(crate) suffix: &'a str,
}

impl Reader<'_> {
    /// Makes the account and gives it the one right.
    pub(crate) async fn grant(&self, holdings: &Mutex<Holdings>) -> Result<(), String> {
        let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": ACCOUNT, "namespace": self.namespace } });
        let rbac = "rbac.authorization.k8s.io";
        let binding = json!({
            "apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding",
            "metadata": { "name": format!("wi-conformance-{ACCOUNT}{}", self.suffix) },
            "subjects": [{ "kind": "ServiceAccount", "name": ACCOUNT, "namespace": self.namespace }],
            "roleRef": { "apiGroup": rbac, "kind": "ClusterRole", "name": ROLE },
        });
        for object in [account, binding] {
            create(self.client, object, holdings).await?;
        }
        Ok(())
    }

    async fn token(&self) -> Result<Secret, String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), self.namespace);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec { expiration_seconds: Some(TOKEN_LIFE), ..TokenRequestSpec::default() }),
            ..TokenRequest::default()
        };
        let answer = accounts.create_token_request(ACCOUNT, &PostParams::default(), &request).await;
        let answer = answer
            .map_err(|error| format!("a token to read the issuer's keys with: {}", kubernetes::sentence(&error)))?;
        answer
            .status
            .and_then(|status| status.token)
            .map(Secret::new)
            .ok_or_else(|| "the API server gave no token".to_owned())
    }

    /// Tells the emulator where the issuer's documents are.
    pub(crate) async fn show(&self, azure: &Known, place: &Place, context: &Context) -> Result<(), String> {
        let token = self.token().await?;
        let path = "/.well-known/openid-configuration";
        let request = http::Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
        let document: Value = self
            .client
            .request(request)
            .await
            .map_err(|error| format!("GET {path}: {}", kubernetes::sentence(&error)))?;
        let mut hosts = Vec::new();
        for field in ["issuer", "jwks_uri"] {
            let url = document[field].as_str().unwrap_or_default();
            let url = Url::parse(url).map_err(|error| format!("GET {path}: {field} {url:?}: {error}"))?;
            let host = match (url.host_str(), url.port()) {
                (Some(host), Some(port)) => format!("{host}:{port}"),
                (Some(host), None) => host.to_owned(),
                (None, _) => return Err(format!("GET {path}: {field} {url} names no host")),
            };
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        for host in hosts {
            azure.reach(&host, place.api, &context.ca, &token).await?;
        }
        Ok(())
    }
}
