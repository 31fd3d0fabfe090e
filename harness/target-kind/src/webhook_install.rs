//! The webhook under test, installed from manifests.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, ListParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use wi_engine::WEBHOOK;
use wi_engine::kubernetes::{api_of, wait_registered};
use wi_engine::readiness::{self, Crashes};
use wi_engine::webhook_release::{Release, TENANT};
use wi_model::product::Product;
use wi_model::profile::Profile;
use wi_reference_webhook::{InstallationSpec, ManifestSpec, ServiceRef, Tls};
use wi_serve::service_certificate::Certificate;
use wi_serve::wait;

use super::holdings::{Holdings, create};
use super::node_images::ProxyImages;

/// How long a webhook may take to be ready and to be asked.
const READY: Duration = Duration::from_secs(120);
/// The same for one that makes its own certificate: a node takes up to two minutes to show it the Secret that it filled.
const READY_BY_ITSELF: Duration = Duration::from_secs(300);

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
    /// What product it is, as its image tells.
    #[serde(default)]
    pub(crate) product: Option<Product>,
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
        spec.args.extend(self.breaks.iter().map(|name| format!("--mutant={name}")));
        let mut registration = None;
        for mut object in wi_reference_webhook::manifests(&spec) {
            self.adapt(&mut object);
            if object["kind"] == "MutatingWebhookConfiguration" {
                registration = object["metadata"]["name"].as_str().map(str::to_owned);
            }
            install(client, object, holdings).await?;
        }
        readiness::wait(client, self.namespace, READY, Crashes::Heal).await.map_err(|error| error.what)?;
        Ok(Registered { registration, namespace: self.namespace.to_owned(), ca: certificate.ca, product: None })
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
        create(client, object, holdings).await?;
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
    let release = Release::read(folder, tenant_id)?;
    let (name, namespace) = (release.registration.clone(), release.namespace.clone());
    for object in release.objects {
        let typed = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
        let there = api_of(client, &typed).get_opt(typed.metadata.name.as_deref().unwrap_or_default()).await;
        if matches!(there, Ok(Some(_))) {
            let (kind, name) = (&object["kind"], &object["metadata"]["name"]);
            return Err(format!(
                "{} {} exists already and belongs to another user; test the installed webhook with --webhook preinstalled, or use another cluster",
                kind.as_str().unwrap_or_default(),
                name.as_str().unwrap_or_default()
            ));
        }
        install(client, object, holdings).await?;
    }
    readiness::wait(client, &namespace, READY_BY_ITSELF, Crashes::Heal).await.map_err(|error| error.what)?;
    wait_registered(client, &name, READY).await?;
    let product = product(client).await;
    Ok(Registered { registration: Some(name), namespace, ca: String::new(), product })
}

/// The tenant of a webhook that is installed already: its pods get identities of that one.
pub(crate) async fn preinstalled_tenant(client: &kube::Client) -> Result<String, String> {
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let all =
        configurations.list(&ListParams::default()).await.map_err(|error| wi_engine::kubernetes::sentence(&error))?;
    let webhook = all.items.iter().flat_map(|c| c.webhooks.iter().flatten()).find(|webhook| webhook.name == WEBHOOK);
    let webhook = webhook.ok_or_else(|| {
        format!("no MutatingWebhookConfiguration has webhook {WEBHOOK}; install one, or use --webhook reference")
    })?;
    let service = webhook
        .client_config
        .service
        .as_ref()
        .ok_or("the installed webhook is registered by URL, so its settings cannot be read")?;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &service.namespace);
    let maps = maps.list(&ListParams::default()).await.map_err(|error| wi_engine::kubernetes::sentence(&error))?;
    let tenant = maps.items.into_iter().filter_map(|map| map.data).find_map(|mut data| data.remove(TENANT));
    tenant.ok_or_else(|| {
        format!("no ConfigMap in namespace {} has {TENANT}, so the webhook's tenant is unknown", service.namespace)
    })
}

/// What product the webhook that is registered is, as the images in its namespace tell.
pub(crate) async fn product(client: &kube::Client) -> Option<Product> {
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let all = configurations.list(&ListParams::default()).await.ok()?.items;
    let mut webhooks = all.iter().flat_map(|configuration| configuration.webhooks.iter().flatten());
    let service = webhooks.find(|webhook| webhook.name == WEBHOOK)?.client_config.service.as_ref()?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), &service.namespace);
    let pods = pods.list(&ListParams::default()).await.ok()?.items;
    let mut images = pods.iter().filter_map(|pod| pod.spec.as_ref()).flat_map(|spec| &spec.containers);
    images.find_map(|container| Product::of_image(container.image.as_deref()?))
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
    let asked = wait::until(READY, || async {
        let why = match pods.create(&params, &pod).await {
            Ok(stored)
                if stored.spec.as_ref().is_some_and(|spec| spec.volumes.as_ref().is_some_and(|v| !v.is_empty())) =>
            {
                return Some(());
            }
            Ok(_) => "a pod with the label was not mutated".to_owned(),
            Err(error) => wi_engine::kubernetes::sentence(&error),
        };
        if let Ok(mut last) = last.lock() {
            *last = why;
        }
        None
    });
    asked.await.ok_or_else(|| {
        let last = last.lock().map(|last| last.clone()).unwrap_or_default();
        format!("the API server does not call the webhook within {} s: {last}", READY.as_secs())
    })
}

/// Writes an object down and creates it. A kind that this cluster does not serve and that only operators need is left out.
async fn install(client: &kube::Client, object: Value, holdings: &Mutex<Holdings>) -> Result<(), String> {
    let optional = object["kind"] == "PodDisruptionBudget";
    match create(client, object, holdings).await {
        Err(why) if optional => {
            tracing::debug!(why, "left out");
            Ok(())
        }
        outcome => outcome,
    }
}
