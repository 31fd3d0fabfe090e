//! What a webhook was told at its start, read from the flags and variables of its pod.

use std::collections::BTreeMap;

use serde_json::Value;

use super::ANY;
use crate::injection::AUDIENCE;

/// From this version of the API server on the proxy is a native sidecar.
const NATIVE_SIDECARS: (u32, u32) = (1, 32);

/// A webhook's settings, as far as they decide what it makes of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The tenant of accounts that name none.
    pub tenant: String,
    /// The identity provider of the webhook's cloud.
    pub authority: String,
    /// The audience of the projected token.
    pub audience: String,
    /// The image of the proxy.
    pub proxy_image: String,
    /// The image of the proxy's init container.
    pub proxy_init_image: String,
    /// How much the proxy logs.
    pub log_level: String,
    /// Whether the proxy is a native sidecar.
    pub native_sidecar: bool,
    /// A token endpoint of the cluster's own that pods may ask for.
    pub endpoint: Option<Endpoint>,
}

/// A token endpoint of the cluster's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The annotation by which pods ask for it.
    pub annotation: String,
    /// The audience of the token for it.
    pub audience: String,
    /// Its address.
    pub token_proxy: String,
    /// The server name to ask it for.
    pub sni_name: String,
    /// Where its authority's certificate is found.
    pub trust: Option<TrustSource>,
}

/// Where the certificate of an endpoint's authority is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustSource {
    /// In a variable.
    Data(String),
    /// In a ConfigMap of the pod's namespace.
    ConfigMap(String),
    /// In the trust bundles of a signer.
    Bundle {
        /// The signer.
        signer: String,
        /// Which of its bundles; all when `None`.
        selector: Option<Value>,
    },
}

impl Settings {
    /// What flags (`audience`) and variables (`AZURE_TENANT_ID`) say; the rest is as a webhook has it that was told nothing.
    /// `tenant` and `authority` are those of the target, `kubernetes` is the version that its API server states.
    pub fn of(values: &BTreeMap<String, String>, tenant: &str, authority: &str, kubernetes: &str) -> Self {
        let given = |name: &str| values.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let or = |name: &str, otherwise: &str| given(name).unwrap_or(otherwise).to_owned();
        let cloud = given("AZURE_ENVIRONMENT").unwrap_or_default().to_ascii_uppercase();
        let authority = match cloud.as_str() {
            "" | "AZURECLOUD" | "AZUREPUBLICCLOUD" => authority,
            "AZUREUSGOVERNMENT" | "AZUREUSGOVERNMENTCLOUD" => "https://login.microsoftonline.us/",
            "AZURECHINACLOUD" => "https://login.chinacloudapi.cn/",
            "AZUREGERMANCLOUD" => "https://login.microsoftonline.de/",
            // Another cloud's endpoint is in a file of the webhook's own.
            _ => ANY,
        };
        Settings {
            tenant: or("AZURE_TENANT_ID", tenant),
            authority: authority.to_owned(),
            audience: or("audience", AUDIENCE),
            proxy_image: or("PROXY_IMAGE", &format!("{ANY}/proxy:{ANY}")),
            proxy_init_image: or("PROXY_INIT_IMAGE", &format!("{ANY}/proxy-init:{ANY}")),
            log_level: or("log-level", ""),
            native_sidecar: minor(kubernetes) >= NATIVE_SIDECARS,
            endpoint: endpoint(values),
        }
    }

    /// Those of a webhook that lets nobody look how it was started.
    pub fn untold(tenant: &str, authority: &str, kubernetes: &str) -> Self {
        let told = Settings::of(&BTreeMap::new(), tenant, authority, kubernetes);
        Settings { log_level: ANY.to_owned(), ..told }
    }
}

fn endpoint(values: &BTreeMap<String, String>) -> Option<Endpoint> {
    let given = |name: &str| values.get(name).filter(|value| !value.is_empty()).cloned();
    let text = |name: &str| given(name).unwrap_or_default();
    let suffix = given("custom-token-endpoint-annotation-suffix")?;
    let selector = given("AZURE_KUBERNETES_CA_CTB_LABEL_SELECTOR");
    let bundle = given("AZURE_KUBERNETES_CA_CTB_SIGNER_NAME").map(|signer| TrustSource::Bundle {
        signer,
        selector: selector.and_then(|selector| serde_json::from_str(&selector).ok()),
    });
    let trust = given("AZURE_KUBERNETES_CA_DATA")
        .map(TrustSource::Data)
        .or_else(|| given("AZURE_KUBERNETES_CA_CONFIGMAP_NAME").map(TrustSource::ConfigMap))
        .or(bundle);
    Some(Endpoint {
        annotation: format!("azure.workload.identity/use-{suffix}"),
        audience: text("custom-token-endpoint-audience"),
        token_proxy: text("AZURE_KUBERNETES_TOKEN_PROXY"),
        sni_name: text("AZURE_KUBERNETES_SNI_NAME"),
        trust,
    })
}

/// Major and minor of a version such as `v1.32.4-eks`.
fn minor(version: &str) -> (u32, u32) {
    let mut numbers = version.trim_start_matches('v').split('.').map(|part| {
        part.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u32>().unwrap_or_default()
    });
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}
