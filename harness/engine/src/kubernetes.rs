//! What is asked of a cluster while its environment is made, before there is an engine.

use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use serde_json::Value;
use wi_serve::wait;

/// How long an API server may be silent before it counts as gone. Nothing here waits on a watch.
const ANSWER: Duration = Duration::from_secs(30);

/// A client for a kubeconfig's context; the current one when none is named.
pub async fn client(kubeconfig: &str, context: Option<&str>) -> Result<kube::Client, String> {
    let parsed = Kubeconfig::from_yaml(kubeconfig).map_err(|error| crate::sentence(&error))?;
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let config = kube::Config::from_custom_kubeconfig(parsed, &options).await;
    let mut config = config.map_err(|error| crate::sentence(&error))?;
    config.connect_timeout = Some(Duration::from_secs(10));
    config.read_timeout = Some(ANSWER);
    kube::Client::try_from(config).map_err(|error| crate::sentence(&error))
}

/// The API of an object, by what it says of itself.
pub fn api_of(client: &kube::Client, object: &DynamicObject) -> Api<DynamicObject> {
    let types = object.types.clone().unwrap_or_default();
    let (group, version) = types.api_version.split_once('/').unwrap_or(("", &types.api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &types.kind));
    match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// Brings an object to what is wanted, whoever made it.
///
/// # Errors
/// Its kind and name, and why not.
pub async fn apply(client: &kube::Client, object: Value) -> Result<(), String> {
    let object: DynamicObject = serde_json::from_value(object).map_err(|error| error.to_string())?;
    let kind = object.types.clone().unwrap_or_default().kind;
    let name = object.metadata.name.clone().unwrap_or_default();
    let params = PatchParams::apply("wi-conformance").force();
    let applied = api_of(client, &object).patch(&name, &params, &Patch::Apply(&object)).await;
    applied.map(|_| ()).map_err(|error| format!("{kind} {name}: {}", sentence(&error)))
}

/// The same of an object whose status nobody else writes.
///
/// # Errors
/// Its kind and name, and why not.
pub async fn apply_with_status(client: &kube::Client, object: Value) -> Result<(), String> {
    apply(client, object.clone()).await?;
    let status = Patch::Merge(serde_json::json!({ "status": object["status"] }));
    let object: DynamicObject = serde_json::from_value(object).map_err(|error| error.to_string())?;
    let name = object.metadata.name.clone().unwrap_or_default();
    let written = api_of(client, &object).patch_status(&name, &PatchParams::default(), &status).await;
    written.map(|_| ()).map_err(|error| format!("status of {name}: {}", sentence(&error)))
}

/// A client's error in one line: of a refusal what the API server said, of anything else what stood in the way.
pub fn sentence(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} {}", status.code, status.message),
        other => crate::sentence(other),
    }
}

/// What a pod answers at a port, through the API server: the status and the text.
///
/// # Errors
/// The API server did not hand the question on; in one line.
pub async fn ask_pod(
    client: &kube::Client,
    namespace: &str,
    pod: &str,
    port: u16,
    path: &str,
) -> Result<(u16, String), String> {
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{path}");
    let request = http::Request::get(&path).body(kube::client::Body::empty()).map_err(|error| error.to_string())?;
    let answer = client.send(request).await.map_err(|error| sentence(&error))?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect_bytes().await.map_err(|error| sentence(&error))?;
    let text: String = String::from_utf8_lossy(&body).chars().filter(|c| !c.is_control()).take(300).collect();
    Ok((status, text))
}

/// Waits until a webhook that makes its own certificate has registered its CA: only then can the API server call it.
///
/// # Errors
/// It did not, within the bound.
pub async fn wait_registered(client: &kube::Client, name: &str, bound: Duration) -> Result<(), String> {
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let registered = wait::until(bound, || async {
        let webhooks = configurations.get_opt(name).await.ok()??.webhooks?;
        let has_ca = |bundle: &Option<ByteString>| bundle.as_ref().is_some_and(|bundle| !bundle.0.is_empty());
        webhooks.iter().all(|webhook| has_ca(&webhook.client_config.ca_bundle)).then_some(())
    });
    registered
        .await
        .ok_or_else(|| format!("the webhook is ready, but registered no CA in {name} within {} s", bound.as_secs()))
}
