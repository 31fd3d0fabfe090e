//! A webhook as pods of the cluster: any program, with everything of the upstream release's manifest around it, or a
//! release's own manifests.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use wi_engine::kubernetes::{apply, client, wait_registered};
use wi_engine::readiness::{self, Crashes, NotReady};
use wi_engine::webhook_release::{Release, is_variable};
use wi_images::go_program;
use wi_model::product::Product;
use wi_reference_webhook::{InstallationSpec, ManifestSpec, Tls};
use wi_serve::service_certificate::Certificate;
use wi_serve::wait;

use super::{CONFIGURATION, Installation, NAMESPACE, READY, SERVICE};
use crate::environment::images::{MANAGER, WEBHOOK_IMAGE};

/// How long a program that only tells its version may take.
const VERSION: Duration = Duration::from_secs(10);

/// Installs a program as upstream's release is installed, with one pod, whose probes begin at once: every case that changes
/// the webhook starts one, and waits for it.
pub(super) async fn program(
    program: &Path,
    cert_rotation: bool,
    installation: &Installation,
) -> Result<Option<Product>, NotReady> {
    let client = client(&installation.kubeconfig, None).await.map_err(NotReady::before_it_ran)?;
    let objects = objects(cert_rotation, installation).map_err(NotReady::before_it_ran)?;
    put(&client, objects).await?;
    wait(&client, NAMESPACE, cert_rotation.then_some(CONFIGURATION)).await?;
    Ok(identified(&client, NAMESPACE, Some(program), installation).await)
}

fn objects(cert_rotation: bool, installation: &Installation) -> Result<Vec<Value>, String> {
    let mut spec = ManifestSpec::new(WEBHOOK_IMAGE, &installation.tenant_id);
    let certificate = if cert_rotation { None } else { Some(Certificate::of_service(SERVICE, NAMESPACE)?) };
    spec.command = vec![MANAGER.to_owned()];
    spec.replicas = 1;
    spec.installation = InstallationSpec {
        namespace: NAMESPACE.to_owned(),
        // With rotation on, the webhook fills an empty Secret and registers its own CA; else it is given both.
        ca_bundle_pem: certificate.as_ref().map(|certificate| certificate.ca.clone()).unwrap_or_default(),
        breaks: installation.breaks.clone(),
        ..InstallationSpec::default()
    };
    spec.tls = certificate.map(|certificate| Tls { cert_pem: certificate.cert, key_pem: certificate.key });
    spec.settings.insert("PROXY_IMAGE".to_owned(), "wi-conformance/proxy:test".to_owned());
    spec.settings.insert("PROXY_INIT_IMAGE".to_owned(), "wi-conformance/proxy-init:test".to_owned());
    for (name, value) in &installation.settings {
        if is_variable(name) {
            spec.settings.insert(name.clone(), value.clone());
        } else {
            spec.args.push(format!("--{name}={value}"));
        }
    }
    let mut objects = wi_reference_webhook::manifests(&spec);
    for object in &mut objects {
        if object["kind"] == "Deployment" {
            let probe = &mut object["spec"]["template"]["spec"]["containers"][0]["readinessProbe"];
            probe["initialDelaySeconds"] = 0.into();
            probe["periodSeconds"] = 1.into();
        }
    }
    Ok(objects)
}

/// Applies a release's manifests as they are, but for the settings that a case asks for.
pub(super) async fn release(folder: &Path, installation: &Installation) -> Result<Option<Product>, NotReady> {
    let unusable = |why: String| NotReady::before_it_ran(format!("--webhook release:{}: {why}", folder.display()));
    let mut release = Release::read(folder, &installation.tenant_id).map_err(unusable)?;
    release.set(&installation.settings);
    let client = client(&installation.kubeconfig, None).await.map_err(NotReady::before_it_ran)?;
    let rotates = release.rotates();
    let program = release.images().into_keys().find_map(|image| installation.programs.get(&image).cloned());
    put(&client, release.objects).await?;
    wait(&client, &release.namespace, rotates.then_some(release.registration.as_str())).await?;
    Ok(identified(&client, &release.namespace, program.as_deref(), installation).await)
}

async fn put(client: &kube::Client, objects: Vec<Value>) -> Result<(), NotReady> {
    for object in objects {
        apply(client, object).await.map_err(NotReady::before_it_ran)?;
    }
    Ok(())
}

/// Waits until its pods are ready, and the API server can call them.
async fn wait(client: &kube::Client, namespace: &str, registers_itself: Option<&str>) -> Result<(), NotReady> {
    readiness::wait(client, namespace, READY, Crashes::AreFinal).await?;
    match registers_itself {
        Some(name) => wait_registered(client, name, READY).await.map_err(NotReady::before_it_ran),
        None => Ok(()),
    }
}

/// What product it is: as its log tells, else as the program's file does, else as it answers to `--version`.
async fn identified(
    client: &kube::Client,
    namespace: &str,
    program: Option<&Path>,
    installation: &Installation,
) -> Option<Product> {
    let identify = || async {
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let pod = pods.list(&ListParams::default()).await.ok().and_then(|all| all.items.into_iter().next());
        let log = match &pod {
            Some(pod) => readiness::logs(&pods, pod).await,
            None => String::new(),
        };
        let product = Product::of_log(&log).or_else(|| go_program::product(program?));
        match (product, pod) {
            (Some(product), _) => Some(product),
            (None, Some(pod)) => asked_for_version(client, namespace, &pod).await,
            (None, None) => None,
        }
    };
    installation.identified.get_or_init(identify).await.clone()
}

/// Runs the program once more beside the webhook, with `--version` alone.
async fn asked_for_version(client: &kube::Client, namespace: &str, pod: &Pod) -> Option<Product> {
    let container = serde_json::to_value(pod.spec.as_ref()?.containers.first()?).ok()?;
    let mut asked = json!({
        "name": "version", "args": ["--version"], "image": container["image"],
        "securityContext": container["securityContext"],
    });
    if container["command"].is_array() {
        asked["command"] = container["command"].clone();
    }
    let name = "azure-wi-webhook-version";
    let object = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": namespace },
        "spec": { "restartPolicy": "Never", "automountServiceAccountToken": false, "containers": [asked] },
    });
    apply(client, object).await.ok()?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let ended = wait::until(VERSION, || async {
        let pod = pods.get(name).await.ok()?;
        let phase = pod.status.as_ref()?.phase.as_deref()?.to_owned();
        ["Succeeded", "Failed"].contains(&phase.as_str()).then_some(pod)
    });
    let told = match ended.await {
        Some(pod) => Product::of_version_output(&readiness::logs(&pods, &pod).await),
        None => None,
    };
    let _ = pods.delete(name, &kube::api::DeleteParams::default().grace_period(0)).await;
    told
}
