//! The webhook under test, installed from manifests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, ListParams, LogParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use wi_engine::WEBHOOK;
use wi_model::template::{Bindings, substitute_variables};
use wi_reference_webhook::{InstallationSpec, ManifestSpec, ServiceRef, Tls};

use super::holdings::Holdings;
use super::images::ProxyImages;
use crate::certificate::Certificate;
use crate::environment::Profile;
use crate::input;
use crate::kubernetes::{api_of, create, wait_registered};
use crate::patience;

/// How long a webhook may take to be ready and to be asked.
const READY: Duration = Duration::from_secs(120);
/// The same for one that makes its own certificate: a node takes up to two minutes to show it the Secret that it filled.
const READY_BY_ITSELF: Duration = Duration::from_secs(300);
/// The variable that says whose identities the webhook's pods get.
const TENANT: &str = "AZURE_TENANT_ID";

/// Our own webhook, as manifests.
pub(crate) struct Reference<'a> {
    pub(crate) image: &'a str,
    /// What it injects.
    pub(super) proxy: &'a ProxyImages,
    pub(crate) tenant_id: &'a str,
    pub(crate) profile: Profile,
    /// How many pods.
    pub(crate) replicas: u32,
    pub(crate) breaks: BTreeSet<String>,
    pub(crate) namespace: &'a str,
    /// Ends the names of what lives in no namespace, so that installations do not meet.
    pub(crate) suffix: &'a str,
    pub(crate) namespaces: Value,
}

/// What an installation is known by.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Registered {
    /// The MutatingWebhookConfiguration.
    pub(crate) registration: Option<String>,
    pub(crate) namespace: String,
    /// The CA of its certificate.
    pub(crate) ca: String,
}

impl Reference<'_> {
    /// Installs its pods, with everything of the upstream manifest, and waits until they are ready.
    pub(crate) async fn install(
        &self,
        client: &kube::Client,
        holdings: &Mutex<Holdings>,
    ) -> Result<Registered, String> {
        // Later runs may put Services of their own before the same pods.
        let certificate = Certificate::of_service("*", self.namespace)?;
        let mut spec = ManifestSpec::new(self.image, self.tenant_id);
        spec.installation = InstallationSpec {
            namespace: self.namespace.to_owned(),
            ca_bundle_pem: certificate.ca.clone(),
            namespace_selector: Some(self.namespaces.clone()),
            breaks: self.breaks.clone(),
            ..InstallationSpec::default()
        };
        spec.tls = Some(Tls { cert_pem: certificate.cert, key_pem: certificate.key });
        spec.replicas = self.replicas;
        spec.settings.insert("PROXY_IMAGE".to_owned(), self.proxy.proxy.clone());
        spec.settings.insert("PROXY_INIT_IMAGE".to_owned(), self.proxy.init.clone());
        spec.args.push(format!("--profile={}", self.profile.word()));
        spec.args.extend(self.breaks.iter().map(|name| format!("--break={name}")));
        let mut registration = None;
        for mut object in wi_reference_webhook::manifests(&spec) {
            self.adapt(&mut object);
            if object["kind"] == "MutatingWebhookConfiguration" {
                registration = object["metadata"]["name"].as_str().map(str::to_owned);
            }
            install(client, object, holdings).await?;
        }
        wait_available(client, self.namespace, READY).await?;
        Ok(Registered { registration, namespace: self.namespace.to_owned(), ca: certificate.ca })
    }

    fn adapt(&self, object: &mut Value) {
        if object["metadata"]["namespace"].is_null() && object["kind"] != "Namespace" {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            object["metadata"]["name"] = format!("{name}{}", self.suffix).into();
        }
        if object["kind"] == "ClusterRoleBinding" {
            let name = object["roleRef"]["name"].as_str().unwrap_or_default();
            object["roleRef"]["name"] = format!("{name}{}", self.suffix).into();
        }
        if object["kind"] == "Deployment" {
            // A run waits for it; nobody waits for the upstream release's five seconds.
            let container = &mut object["spec"]["template"]["spec"]["containers"][0];
            container["readinessProbe"]["initialDelaySeconds"] = 0.into();
            container["readinessProbe"]["periodSeconds"] = 1.into();
            container["imagePullPolicy"] = "Never".into();
            if let Some(limits) = container["resources"]["limits"].as_object_mut() {
                limits.remove("cpu");
            }
        }
    }
}

/// Registers a webhook that is installed already once more, for the namespaces of one run alone: what a case does to its
/// registration or its Service, other runs do not feel.
pub(crate) async fn register(
    client: &kube::Client,
    installed: &Registered,
    suffix: &str,
    namespaces: Value,
    holdings: &Mutex<Holdings>,
) -> Result<Registered, String> {
    let usual = InstallationSpec::default();
    let spec = InstallationSpec {
        namespace: installed.namespace.clone(),
        ca_bundle_pem: installed.ca.clone(),
        service: ServiceRef { name: format!("{}{suffix}", usual.service.name), ..usual.service.clone() },
        namespace_selector: Some(namespaces),
        ..usual
    };
    let mut registration = None;
    for mut object in wi_reference_webhook::installation(&spec) {
        match object["kind"].as_str() {
            Some("Namespace") => continue,
            Some("MutatingWebhookConfiguration") => {
                let name = format!("{}{suffix}", object["metadata"]["name"].as_str().unwrap_or_default());
                object["metadata"]["name"] = name.clone().into();
                registration = Some(name);
            }
            _ => {}
        }
        holdings.lock().await.take_object(&object)?;
        create(client, object).await?;
    }
    Ok(Registered { registration, ..installed.clone() })
}

/// Any webhook, from the manifests of a folder.
pub(crate) async fn manifests(
    client: &kube::Client,
    folder: &Path,
    tenant_id: &str,
    holdings: &Mutex<Holdings>,
) -> Result<Registered, String> {
    let mut objects = read(folder, tenant_id)?;
    let configuration = |object: &Value| {
        let webhooks = object["webhooks"].as_array().into_iter().flatten();
        object["kind"] == "MutatingWebhookConfiguration"
            && webhooks.into_iter().any(|webhook| webhook["name"] == WEBHOOK)
    };
    let registration = objects.iter().find(|object| configuration(object)).ok_or_else(|| {
        format!("{}: no MutatingWebhookConfiguration with webhook {WEBHOOK} in its manifests", folder.display())
    })?;
    let name = registration["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let service = &registration["webhooks"][0]["clientConfig"]["service"];
    let namespace = service["namespace"].as_str().unwrap_or("azure-workload-identity-system").to_owned();
    if !objects.iter().any(|object| object["kind"] == "Namespace" && object["metadata"]["name"] == namespace.as_str()) {
        objects.insert(0, json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }));
    }
    objects.sort_by_key(rank);
    for mut object in objects {
        if object["metadata"]["namespace"].is_null() && !is_cluster_scoped(&object) {
            object["metadata"]["namespace"] = namespace.clone().into();
        }
        let typed = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
        let there = api_of(client, &typed).get_opt(typed.metadata.name.as_deref().unwrap_or_default()).await;
        if matches!(there, Ok(Some(_))) {
            let (kind, name) = (&object["kind"], &object["metadata"]["name"]);
            return Err(format!(
                "{} {} is there already, so it is somebody else's; judge what is installed with --webhook preinstalled, or take another cluster",
                kind.as_str().unwrap_or_default(),
                name.as_str().unwrap_or_default()
            ));
        }
        install(client, object, holdings).await?;
    }
    wait_available(client, &namespace, READY_BY_ITSELF).await?;
    wait_registered(client, &name, READY).await?;
    Ok(Registered { registration: Some(name), namespace, ca: String::new() })
}

/// The tenant of a webhook that is installed already: its pods get identities of that one.
pub(crate) async fn preinstalled_tenant(client: &kube::Client) -> Result<String, String> {
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let all = configurations.list(&ListParams::default()).await.map_err(|error| crate::kubernetes::sentence(&error))?;
    let webhook = all.items.iter().flat_map(|c| c.webhooks.iter().flatten()).find(|webhook| webhook.name == WEBHOOK);
    let webhook = webhook.ok_or_else(|| {
        format!(
            "no MutatingWebhookConfiguration has webhook {WEBHOOK}; install one, or let us with --webhook reference"
        )
    })?;
    let service = webhook
        .client_config
        .service
        .as_ref()
        .ok_or("the webhook that is installed is registered by URL, so its settings cannot be read")?;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &service.namespace);
    let maps = maps.list(&ListParams::default()).await.map_err(|error| crate::kubernetes::sentence(&error))?;
    let tenant = maps.items.into_iter().filter_map(|map| map.data).find_map(|mut data| data.remove(TENANT));
    tenant.ok_or_else(|| {
        format!("no ConfigMap in namespace {} has {TENANT}, so the webhook's tenant is not known", service.namespace)
    })
}

/// Waits until the API server really asks the webhook about pods of a namespace: by creating one that is not kept.
pub(crate) async fn wait_asked(client: &kube::Client, namespace: &str) -> Result<(), String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pod: Pod = serde_json::from_value(json!({
        "metadata": { "name": "probe", "labels": { "azure.workload.identity/use": "true" } },
        "spec": { "automountServiceAccountToken": false, "containers": [{ "name": "probe", "image": "probe" }] },
    }))
    .map_err(|error| error.to_string())?;
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let last = std::sync::Mutex::new(String::new());
    let asked = patience::until(READY, || async {
        let why = match pods.create(&params, &pod).await {
            Ok(stored)
                if stored.spec.as_ref().is_some_and(|spec| spec.volumes.as_ref().is_some_and(|v| !v.is_empty())) =>
            {
                return Some(());
            }
            Ok(_) => "a pod with the label was not mutated".to_owned(),
            Err(error) => crate::kubernetes::sentence(&error),
        };
        if let Ok(mut last) = last.lock() {
            *last = why;
        }
        None
    });
    asked.await.ok_or_else(|| {
        let last = last.lock().map(|last| last.clone()).unwrap_or_default();
        format!("the API server does not ask the webhook within {} s: {last}", READY.as_secs())
    })
}

/// Writes an object down and creates it. A kind that this cluster does not serve and that only operators need is left out.
async fn install(client: &kube::Client, object: Value, holdings: &Mutex<Holdings>) -> Result<(), String> {
    holdings.lock().await.take_object(&object)?;
    let optional = object["kind"] == "PodDisruptionBudget";
    match create(client, object).await {
        Err(why) if optional => {
            tracing::debug!(why, "left out");
            Ok(())
        }
        outcome => outcome,
    }
}

async fn wait_available(client: &kube::Client, namespace: &str, bound: Duration) -> Result<(), String> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let available = patience::until(bound, || async {
        let all = deployments.list(&ListParams::default()).await.ok()?;
        let ready = |deployment: &Deployment| {
            let wanted = deployment.spec.replicas.unwrap_or(1);
            let status = deployment.status.as_ref();
            status.and_then(|status| status.available_replicas).unwrap_or(0) >= wanted
        };
        all.items.iter().all(ready).then_some(())
    });
    if available.await.is_some() {
        return Ok(());
    }
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pods = api.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
    let mut states = Vec::new();
    for pod in &pods {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let last = LogParams { tail_lines: Some(3), ..LogParams::default() };
        let said = api.logs(name, &last).await.unwrap_or_default();
        states.push(format!("{}; its last lines: {}", state(pod), said.lines().collect::<Vec<_>>().join(" | ")));
    }
    Err(format!(
        "the webhook's pods in namespace {namespace} are not ready within {} s: {}",
        bound.as_secs(),
        states.join("; ")
    ))
}

/// A pod's state in a sentence: what it waits for, or its phase.
fn state(pod: &Pod) -> String {
    let name = pod.metadata.name.as_deref().unwrap_or("?");
    let status = pod.status.clone().unwrap_or_default();
    let waiting = status.container_statuses.iter().flatten().find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        Some(format!("{} {}", waiting.reason.as_deref().unwrap_or(""), waiting.message.as_deref().unwrap_or("")))
    });
    format!("{name}: {}", waiting.or(status.phase).unwrap_or_default().trim())
}

/// The objects of a folder's manifests, for the tenant of this run.
fn read(folder: &Path, tenant_id: &str) -> Result<Vec<Value>, String> {
    let fault = |path: &Path, error: std::io::Error| format!("--webhook manifests:{}: {error}", path.display());
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| fault(folder, error))? {
        let path = entry.map_err(|error| fault(folder, error))?.path();
        if path.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known)) {
            paths.push(path);
        }
    }
    paths.sort();
    let variables: Bindings =
        [(TENANT.to_owned(), tenant_id.to_owned()), ("AZURE_ENVIRONMENT".to_owned(), "AzurePublicCloud".to_owned())]
            .into();
    let mut objects = Vec::new();
    for path in paths {
        let text = input::read_text(&path, input::DOCUMENT).map_err(|error| fault(&path, error))?;
        // The upstream release writes a default behind the name, which its variable does not need here.
        let text = substitute_variables(
            &text.replace("${AZURE_ENVIRONMENT:-AzurePublicCloud}", "AzurePublicCloud"),
            &variables,
        );
        let shown = path.display().to_string();
        let told = |faults: Vec<wi_model::parse::InvalidScenario>| {
            faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        objects.extend(wi_model::manifest::objects(&shown, &text).map_err(told)?);
    }
    for object in &mut objects {
        // A rendered chart holds the tenant of whoever rendered it.
        if object["kind"] == "ConfigMap" && object["data"][TENANT].is_string() {
            object["data"][TENANT] = tenant_id.into();
        }
    }
    Ok(objects)
}

fn is_cluster_scoped(object: &Value) -> bool {
    let kind = object["kind"].as_str().unwrap_or_default();
    kind.starts_with("Cluster")
        || kind.ends_with("WebhookConfiguration")
        || ["Namespace", "CustomResourceDefinition", "PriorityClass"].contains(&kind)
}

/// What others need goes first; a registration, which stops pods while nobody answers, goes last.
fn rank(object: &Value) -> u8 {
    match object["kind"].as_str().unwrap_or_default() {
        "Namespace" | "CustomResourceDefinition" => 0,
        "ServiceAccount" | "ClusterRole" | "Role" => 1,
        "ClusterRoleBinding" | "RoleBinding" | "ConfigMap" | "Secret" => 2,
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => 4,
        _ => 3,
    }
}
