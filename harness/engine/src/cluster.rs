//! A cluster: a client, and what the engine asks of it.

mod kinds;
mod log;
mod namespaces;
mod ownership;
mod started_with;
mod tokens;

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wi_model::evidence::{EventEvidence, RefusalEvidence};
use wi_model::target::ClusterTarget;

use crate::settle;

use kinds::Kinds;
pub(crate) use log::Log;
pub(crate) use ownership::{Mark, ObjectRef};
pub(crate) use wi_model::manifest::cluster_scoped;

/// The manager of fields that we write.
const MANAGER: &str = "wi-conformance";
/// How long something that was deleted may take to be gone.
const GONE: Duration = Duration::from_secs(90);
/// How long an API server may be silent before it counts as gone. Webhooks take up to half of it.
const ANSWER: Duration = Duration::from_secs(30);
/// How long it may take to give a sign of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// How long a namespace may be in the hands of another case.
const NAMESPACE_FREE: Duration = Duration::from_secs(300);
/// How long we come again when a server asks us to.
const COME_AGAIN: Duration = Duration::from_secs(30);

/// A connected cluster.
#[derive(Clone)]
pub(crate) struct Cluster {
    client: kube::Client,
    journal: Option<String>,
    control: Option<String>,
    transient: bool,
    kinds: Kinds,
}

/// An error and its sources in one line.
pub fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut current = error.source();
    while let Some(layer) = current {
        let layer_text = layer.to_string();
        if !text.contains(&layer_text) {
            text.push_str(": ");
            text.push_str(&layer_text);
        }
        current = layer.source();
    }
    text
}

/// What became of a request to create something.
pub(crate) enum Created {
    /// The object as stored.
    Stored(Value),
    /// The API server's refusal.
    Refused(RefusalEvidence),
}

impl Cluster {
    /// Connects as the target says.
    pub(crate) async fn connect(target: &ClusterTarget) -> Result<Self, String> {
        let kubeconfig = Kubeconfig::from_yaml(target.kubeconfig.expose())
            .map_err(|error| format!("the kubeconfig cannot be read: {}", sentence(&error)))?;
        let options = KubeConfigOptions { context: target.context.clone(), ..KubeConfigOptions::default() };
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(|error| format!("the kubeconfig is not usable: {}", sentence(&error)))?;
        // A refusal is evidence: it must be seen as it is, not asked for again.
        config.default_retry = false;
        config.connect_timeout = Some(Duration::from_secs(10));
        config.read_timeout = Some(ANSWER);
        let client = kube::Client::try_from(config)
            .map_err(|error| format!("no client for the cluster: {}", sentence(&error)))?;
        let (journal, control) = (target.admission_journal.clone(), target.control.clone());
        Ok(Cluster { client, journal, control, transient: target.transient, kinds: Kinds::default() })
    }

    /// The API server's version.
    pub(crate) async fn version(&self) -> Result<String, kube::Error> {
        Ok(self.client.apiserver_version().await?.git_version)
    }

    /// Asks for a sign of life.
    ///
    /// # Errors
    /// There is none; in one line.
    pub(crate) async fn answers(&self) -> Result<(), String> {
        match tokio::time::timeout(SIGN_OF_LIFE, self.version()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(sentence(&error)),
            Err(_) => Err(format!("no answer within {} s", SIGN_OF_LIFE.as_secs())),
        }
    }

    /// The issuer, byte for byte, from the discovery document.
    pub(crate) async fn issuer(&self) -> Result<String, String> {
        let document = self.get_path("/.well-known/openid-configuration").await?;
        document["issuer"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| format!("the discovery document names no issuer: {document}"))
    }

    /// What admission webhooks were asked and what they answered in a namespace; nothing where the cluster cannot tell.
    pub(crate) async fn admission_journal(&self, namespace: &str) -> Result<Vec<Value>, String> {
        let Some(path) = &self.journal else { return Ok(Vec::new()) };
        let journal = self.get_path(&format!("{path}?namespace={namespace}")).await?;
        match journal {
            Value::Array(entries) => Ok(entries),
            other => Err(format!("{path} gave no list: {other}")),
        }
    }

    pub(crate) async fn get_path(&self, path: &str) -> Result<Value, String> {
        let request = http::Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
        self.client.request(request).await.map_err(|error| format!("GET {path}: {}", sentence(&error)))
    }

    /// Has the API server ask a pod on one of its ports, over plain HTTP. Gives back status and text, whatever they are.
    ///
    /// # Errors
    /// No answer; in one line.
    pub(crate) async fn ask_pod(
        &self,
        namespace: &str,
        pod: &str,
        port: u16,
        path: &str,
    ) -> Result<(u16, String), String> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{path}");
        let request = http::Request::get(&path).body(kube::client::Body::empty()).map_err(|error| error.to_string())?;
        let answer = self.client.send(request).await.map_err(|error| format!("GET {path}: {}", sentence(&error)))?;
        let status = answer.status().as_u16();
        let body =
            answer.into_body().collect_bytes().await.map_err(|error| format!("GET {path}: {}", sentence(&error)))?;
        Ok((status, String::from_utf8_lossy(&body).trim().to_owned()))
    }

    fn api(&self, api_version: &str, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let mut resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let mut scoped = cluster_scoped(kind);
        if let Some(found) = self.kinds.known(api_version, kind) {
            (resource.plural, scoped) = (found.plural, !found.namespaced);
        }
        match namespace.filter(|_| !scoped) {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// The API of an object, by what it says of itself.
    fn api_of(&self, object: &Value) -> Api<DynamicObject> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.api(&text(&object["apiVersion"]), &text(&object["kind"]), object["metadata"]["namespace"].as_str())
    }

    /// Creates an object, just as it is written: what it says wrongly is for the API server to say.
    ///
    /// # Errors
    /// Anything but the API server's own refusal.
    pub(crate) async fn create(&self, object: &Value) -> Result<Created, String> {
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        self.learn_of(object).await;
        // "Come again in a second" is no refusal: older API servers say so while an account has no token yet.
        let asked = || async { Some(self.post(object, &params).await).filter(|answer| !asks_to_come_again(answer)) };
        let answer = match settle::until(COME_AGAIN, &CancellationToken::new(), asked).await {
            Ok(answer) => answer,
            Err(_) => self.post(object, &params).await,
        };
        if answer.is_ok() {
            self.wait_for_kinds(object).await;
        }
        created(answer)
    }

    /// Has an object admitted without keeping it.
    pub(crate) async fn try_out(&self, object: &Value) -> Result<Created, String> {
        let params = PostParams { dry_run: true, ..PostParams::default() };
        created(self.post(object, &params).await)
    }

    async fn post(&self, object: &Value, params: &PostParams) -> Result<DynamicObject, kube::Error> {
        let body = serde_json::to_vec(object).map_err(kube::Error::SerdeError)?;
        let request = kube::core::Request::new(self.api_of(object).resource_url()).create(params, body);
        self.client.request(request.map_err(kube::Error::BuildRequest)?).await
    }

    /// An object, if it is there.
    pub(crate) async fn get(
        &self,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Value>, kube::Error> {
        self.learn(api_version, kind).await;
        let found = self.api(api_version, kind, namespace).get_opt(name).await?;
        Ok(found.map(|object| serde_json::to_value(object).unwrap_or_default()))
    }

    /// Changes an object by a merge patch.
    pub(crate) async fn merge(&self, object: &Value, patch: &Value) -> Result<(), kube::Error> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        self.api_of(object).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(|_| ())
    }

    /// Changes an object, or a part of it that has an address of its own; a refusal is an answer.
    ///
    /// # Errors
    /// Anything but the API server's own refusal.
    pub(crate) async fn change(
        &self,
        (api_version, kind, namespace, name): (&str, &str, Option<&str>, &str),
        subresource: Option<&str>,
        patch: &Value,
    ) -> Result<Created, String> {
        self.learn(api_version, kind).await;
        let api = self.api(api_version, kind, namespace);
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        created(match subresource {
            None => api.patch(name, &params, &patch).await,
            // Lists of a pod are merged by name there, as `kubectl debug` does it.
            Some(subresource) => {
                let Patch::Merge(patch) = patch else { return Err("a merge patch".to_owned()) };
                api.patch_subresource(subresource, name, &params, &Patch::Strategic(patch)).await
            }
        })
    }

    /// Every object of a kind in a namespace.
    pub(crate) async fn all(
        &self,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
    ) -> Result<Vec<Value>, kube::Error> {
        self.learn(api_version, kind).await;
        let list = self.api(api_version, kind, namespace).list(&ListParams::default()).await?;
        Ok(list.items.into_iter().map(|object| serde_json::to_value(object).unwrap_or_default()).collect())
    }

    /// Webhook configurations that hold a webhook of this name.
    /// Only the one of this name, where the target names one.
    pub(crate) async fn webhook_configurations(
        &self,
        webhook: &str,
        named: Option<&str>,
    ) -> Result<Vec<Value>, kube::Error> {
        let (api_version, kind) = ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration");
        let all = self.api(api_version, kind, None).list(&ListParams::default()).await?;
        let mut found = Vec::new();
        for object in all.items {
            let mut object = serde_json::to_value(object).unwrap_or_default();
            object["apiVersion"] = api_version.into();
            object["kind"] = kind.into();
            let ours = named.is_none_or(|named| object["metadata"]["name"] == named);
            if ours && object["webhooks"].as_array().into_iter().flatten().any(|hook| hook["name"] == webhook) {
                found.push(object);
            }
        }
        Ok(found)
    }

    /// Waits until pods may be created in a namespace: its `default` account is there.
    pub(crate) async fn wait_for_default_account(
        &self,
        namespace: &str,
        cancel: &CancellationToken,
    ) -> Result<(), settle::Unsettled> {
        let there = || async {
            matches!(self.get("v1", "ServiceAccount", Some(namespace), "default").await, Ok(Some(_))).then_some(())
        };
        settle::until(Duration::from_secs(30), cancel, there).await
    }

    /// Every object of a kind that carries a label.
    pub(crate) async fn labelled(&self, api_version: &str, kind: &str, label: &str) -> Result<Vec<Value>, kube::Error> {
        let list = self.api(api_version, kind, None).list(&ListParams::default().labels(label)).await?;
        Ok(list.items.into_iter().map(|object| serde_json::to_value(object).unwrap_or_default()).collect())
    }

    async fn namespace(&self, name: &str) -> Result<Option<Namespace>, kube::Error> {
        Api::<Namespace>::all(self.client.clone()).get_opt(name).await
    }

    /// Waits while a namespace with a case's label is there: another case's, or another run's, that has the same name.
    /// Gives back whether a namespace without that label is in the way.
    pub(crate) async fn wait_for_namespace(
        &self,
        name: &str,
        label: &str,
        cancel: &CancellationToken,
    ) -> Result<bool, String> {
        let free = || async {
            match self.namespace(name).await {
                Ok(None) => Some(Ok(false)),
                Ok(Some(found)) => {
                    let ours = found.metadata.labels.is_some_and(|labels| labels.contains_key(label));
                    (!ours).then_some(Ok(true))
                }
                Err(error) => Some(Err(sentence(&error))),
            }
        };
        let waited = settle::until(NAMESPACE_FREE, cancel, free).await;
        waited.map_err(|error| format!("namespace {name} still belongs to another case: {error}"))?
    }

    /// Events about an object.
    pub(crate) async fn events(&self, namespace: &str, name: &str) -> Result<Vec<EventEvidence>, kube::Error> {
        let selector = format!("involvedObject.name={name}");
        let events = self.api("v1", "Event", Some(namespace)).list(&ListParams::default().fields(&selector)).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(events
            .items
            .iter()
            .map(|event| EventEvidence {
                kind: text(&event.data["type"]),
                reason: text(&event.data["reason"]),
                message: text(&event.data["message"]),
            })
            .collect())
    }
}

/// An answer to a creation: a refusal is one too.
fn created(answer: Result<DynamicObject, kube::Error>) -> Result<Created, String> {
    match answer {
        Ok(stored) => Ok(Created::Stored(serde_json::to_value(stored).map_err(|error| error.to_string())?)),
        Err(kube::Error::Api(status)) => Ok(Created::Refused(RefusalEvidence {
            status: status.code,
            reason: status.reason,
            message: status.message,
        })),
        Err(error) => Err(sentence(&error)),
    }
}

/// Whether an answer asks to be asked again in a moment, as a busy server or one that is not ready yet does.
fn asks_to_come_again<T>(answer: &Result<T, kube::Error>) -> bool {
    let Err(kube::Error::Api(status)) = answer else { return false };
    let later = status.details.as_ref().is_some_and(|details| details.retry_after_seconds > 0);
    later && (status.code == 429 || status.code >= 500)
}

/// A namespace of a case.
pub(crate) fn namespace(name: &str, labels: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } })
}
