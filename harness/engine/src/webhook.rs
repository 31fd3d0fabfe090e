//! Taking the webhook's installation away for a case, and putting it back.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wi_model::scenario::WebhookState;

use crate::cluster::{Cluster, sentence};
use crate::lease::Lease;
use crate::ledger::Owned;
use crate::settle;

/// The name by which the webhook registers, whoever installed it.
pub(crate) const WEBHOOK: &str = "mutation.azure-workload-identity.io";

/// Brings the installation into a state. What was there is in the lease before it is touched.
pub(crate) async fn set(
    state: WebhookState,
    registration: Option<&str>,
    cluster: &Cluster,
    lease: &mut Lease,
    cancel: &CancellationToken,
) -> Result<(), String> {
    if state == WebhookState::Installed {
        return Ok(());
    }
    let configurations =
        cluster.webhook_configurations(WEBHOOK, registration).await.map_err(|error| sentence(&error))?;
    if state == WebhookState::Unreachable && configurations.is_empty() {
        return Err(format!("no webhook {WEBHOOK} is registered, so none can be made unreachable"));
    }
    for configuration in configurations {
        match state {
            WebhookState::Absent => {
                lease.take(Owned::Restore { object: configuration.clone() }).map_err(|error| sentence(&error))?;
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let (api_version, kind) = (text(&configuration["apiVersion"]), text(&configuration["kind"]));
                let name = text(&configuration["metadata"]["name"]);
                cluster.remove(&api_version, &kind, None, &name).await.map_err(|error| sentence(&error))?;
            }
            WebhookState::Unreachable => {
                for webhook in configuration["webhooks"].as_array().into_iter().flatten() {
                    cut_off(&webhook["clientConfig"]["service"], cluster, lease, cancel).await?;
                }
            }
            WebhookState::Installed => {}
        }
    }
    Ok(())
}

/// Takes every endpoint away from a Service: by its selector, or where it has none, from its Endpoints.
async fn cut_off(
    service: &Value,
    cluster: &Cluster,
    lease: &mut Lease,
    cancel: &CancellationToken,
) -> Result<(), String> {
    let (Some(namespace), Some(name)) = (service["namespace"].as_str(), service["name"].as_str()) else {
        return Err("the webhook is registered by URL, so it has no Service to cut off".to_owned());
    };
    let fault = |error: kube::Error| format!("Service {namespace}/{name}: {}", sentence(&error));
    let found = cluster.get("v1", "Service", Some(namespace), name).await.map_err(fault)?;
    let Some(mut object) = found else { return Err(format!("Service {namespace}/{name} of the webhook is not there")) };
    object["apiVersion"] = "v1".into();
    object["kind"] = "Service".into();
    if object["spec"]["selector"].as_object().is_some_and(|selector| !selector.is_empty()) {
        lease.take(Owned::Restore { object: object.clone() }).map_err(|error| sentence(&error))?;
        let withdrawn = json!({ "spec": { "selector": { "wi-conformance/withdrawn": "true" } } });
        cluster.merge(&object, &withdrawn).await.map_err(fault)?;
    } else if let Some(mut endpoints) = cluster.get("v1", "Endpoints", Some(namespace), name).await.map_err(fault)? {
        endpoints["apiVersion"] = "v1".into();
        endpoints["kind"] = "Endpoints".into();
        lease.take(Owned::Restore { object: endpoints.clone() }).map_err(|error| sentence(&error))?;
        cluster.merge(&endpoints, &json!({ "subsets": null })).await.map_err(fault)?;
    }
    let empty = || async {
        let endpoints = cluster.get("v1", "Endpoints", Some(namespace), name).await.ok()?;
        let subsets =
            endpoints.as_ref().and_then(|endpoints| endpoints["subsets"].as_array()).cloned().unwrap_or_default();
        subsets.iter().all(|subset| subset["addresses"].as_array().is_none_or(Vec::is_empty)).then_some(())
    };
    let waited = settle::until(Duration::from_secs(30), cancel, empty).await;
    waited.map_err(|error| format!("Service {namespace}/{name} still has endpoints: {error}"))
}
