//! The webhook under test, and how it is installed.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use serde_json::{Value, json};
use wi_model::target::WebhookUnderTest;
use wi_reference_webhook::{Config, InstallationSpec, ReferenceWebhook, Tls};

use super::images::WEBHOOK_IMAGE;
use crate::certificate::Certificate;
use crate::kubernetes::{apply, apply_with_status, client, wait_registered};
use crate::patience;

/// Namespace, Service and objects have the names of the upstream installation, so that its users recognise them.
pub(super) const NAMESPACE: &str = "azure-workload-identity-system";
const SERVICE: &str = "azure-wi-webhook-webhook-service";
/// The Service of the version that a case upgrades to.
const NEXT_SERVICE: &str = "azure-wi-webhook-next-service";
const ACCOUNT: &str = "azure-wi-webhook-admin";
const CERTIFICATE: &str = "azure-wi-webhook-server-cert";
const CONFIGURATION: &str = "azure-wi-webhook-mutating-webhook-configuration";

/// How long a webhook may take until it is ready. The upstream one waits for its certificate in doubling steps.
const READY: Duration = Duration::from_secs(60);

/// Where the ports that a webhook's installation names are really served.
pub(super) type Ports = BTreeMap<u16, SocketAddr>;

/// The ports of the upstream installation: reviews, probes, metrics.
const REVIEWS: u16 = 9443;
const HEALTH: u16 = 9440;
const METRICS: u16 = 8095;

/// A webhook's names and paths: they changed with 1.6.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Up to 1.5.1.
    V1_5,
    /// From 1.6.0.
    V1_6,
}

impl Profile {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Profile::V1_5 => "1.5",
            Profile::V1_6 => "1.6",
        }
    }
}

/// The webhook under test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Webhook {
    /// Our known-good one, in this process.
    Reference {
        /// Its profile.
        profile: Profile,
    },
    /// Any program that takes the upstream one's flags and environment; it runs as a pod.
    Exec {
        /// The program's file.
        program: PathBuf,
        /// Its profile; recognised from what it does when `None`.
        profile: Option<Profile>,
        /// Whether it makes and rotates its own certificate.
        cert_rotation: bool,
    },
    /// A cluster without a webhook.
    None,
}

impl Webhook {
    /// The reference webhook with the newest profile.
    pub fn reference() -> Self {
        Webhook::Reference { profile: Profile::V1_6 }
    }

    /// A program, given its certificate.
    pub fn exec(program: impl Into<PathBuf>) -> Self {
        Webhook::Exec { program: program.into(), profile: None, cert_rotation: false }
    }

    pub(super) fn under_test(&self) -> WebhookUnderTest {
        match self {
            Webhook::Reference { profile } => WebhookUnderTest {
                name: format!("reference {}", profile.word()),
                profile: Some(profile.word().to_owned()),
                registration: None,
                upgrade: None,
            },
            Webhook::Exec { program, profile, .. } => WebhookUnderTest {
                name: format!("exec:{}", program.file_name().unwrap_or_default().to_string_lossy()),
                profile: profile.map(|profile| profile.word().to_owned()),
                registration: None,
                upgrade: None,
            },
            Webhook::None => {
                WebhookUnderTest { name: "none".to_owned(), profile: None, registration: None, upgrade: None }
            }
        }
    }
}

/// What an installation needs to know.
#[derive(Clone)]
pub(super) struct Installation {
    pub(super) kubeconfig: String,
    pub(super) in_cluster_server: String,
    pub(super) tenant_id: String,
    pub(super) breaks: std::collections::BTreeSet<String>,
    /// Where the API server looks for webhooks of this process.
    pub(super) addresses: [Ipv4Addr; 2],
    /// Settings that differ from its defaults.
    pub(super) settings: BTreeMap<String, String>,
}

/// An installed webhook.
pub(super) enum Installed {
    InProcess(Box<InProcess>),
    AsPod,
}

/// The reference webhook, and, where the case begins with an older profile, the newest one beside it.
pub(super) struct InProcess {
    current: ReferenceWebhook,
    next: Option<(ReferenceWebhook, Value)>,
}

impl Installed {
    /// Where the API server's dialer finds it, if not through its pod: the registered one, then the one beside it.
    pub(super) fn addresses(&self) -> Vec<Ports> {
        match self {
            Installed::InProcess(webhook) => {
                let next = webhook.next.as_ref().map(|(next, _)| ports(next));
                std::iter::once(ports(&webhook.current)).chain(next).collect()
            }
            Installed::AsPod => Vec::new(),
        }
    }

    /// The registration of the next version, where there is one.
    pub(super) fn upgrade(&self) -> Option<Value> {
        match self {
            Installed::InProcess(webhook) => webhook.next.as_ref().map(|(_, registration)| registration.clone()),
            Installed::AsPod => None,
        }
    }

    pub(super) async fn stop(self) {
        if let Installed::InProcess(webhook) = self {
            webhook.current.stop().await;
            if let Some((next, _)) = webhook.next {
                next.stop().await;
            }
        }
    }
}

fn ports(webhook: &ReferenceWebhook) -> Ports {
    let probes = [(HEALTH, webhook.health_address()), (METRICS, webhook.metrics_address())];
    let probes = probes.into_iter().filter_map(|(port, address)| Some((port, address?)));
    probes.chain([(REVIEWS, webhook.address())]).collect()
}

/// Starts the webhook and registers it.
pub(super) async fn install(webhook: &Webhook, installation: &Installation) -> Result<Option<Installed>, String> {
    match webhook {
        Webhook::None => Ok(None),
        Webhook::Reference { profile } => in_process(*profile, installation).await.map(Some),
        Webhook::Exec { cert_rotation, .. } => as_pod(*cert_rotation, installation).await.map(Some),
    }
}

async fn in_process(profile: Profile, installation: &Installation) -> Result<Installed, String> {
    let client = client(&installation.kubeconfig, None).await?;
    let started = start(config(profile, installation)?, SERVICE, installation.addresses[0], installation).await?;
    let (namespace, registration): (Vec<_>, Vec<_>) =
        started.objects.into_iter().partition(|object| object["kind"] == "Namespace");
    // It needs no account, but its installation has one, whose rights are the product's.
    for object in namespace.into_iter().chain(rights()) {
        apply(&client, object).await?;
    }
    // Before the registration, which would have the webhook asked about its own pod.
    apply_with_status(&client, started.pod).await?;
    for object in registration {
        apply(&client, object).await?;
    }
    let begins_with = installation.settings.get("profile");
    let next = if begins_with.is_some_and(|profile| profile != Profile::V1_6.word()) {
        let newest = Installation { settings: BTreeMap::new(), ..installation.clone() };
        let next = start(config(Profile::V1_6, &newest)?, NEXT_SERVICE, installation.addresses[1], &newest).await?;
        apply_with_status(&client, next.pod).await?;
        let mut registration = Value::Null;
        for object in next.objects {
            if object["kind"] == "MutatingWebhookConfiguration" {
                registration = object;
            } else {
                apply(&client, object).await?;
            }
        }
        Some((next.webhook, registration))
    } else {
        None
    };
    Ok(Installed::InProcess(Box::new(InProcess { current: started.webhook, next })))
}

/// Whether a setting is a variable; else it is a flag.
fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
}

impl Installation {
    /// What a webhook of this installation is told: the tenant, and what the case asked for.
    fn told(&self) -> BTreeMap<String, String> {
        let mut told: BTreeMap<String, String> = [("AZURE_TENANT_ID".to_owned(), self.tenant_id.clone())].into();
        told.extend(self.settings.clone());
        told
    }
}

/// A webhook in this process, and the objects that register it under a Service.
struct Started {
    webhook: ReferenceWebhook,
    objects: Vec<Value>,
    /// The pod as which it is seen.
    pod: Value,
}

async fn start(
    config: Config,
    service: &str,
    address: Ipv4Addr,
    installation: &Installation,
) -> Result<Started, String> {
    let certificate = Certificate::of_service(service, NAMESPACE)?;
    let options = wi_reference_webhook::Options {
        config,
        kubeconfig: installation.kubeconfig.clone(),
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        health: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        metrics: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        tls: Tls { cert_pem: certificate.cert.clone(), key_pem: certificate.key.clone() },
    };
    let webhook = ReferenceWebhook::start(options).await.map_err(|error| crate::exit::chain(&error))?;
    let mut objects = registration(&certificate.ca, &installation.breaks);
    for object in &mut objects {
        if object["kind"] == "Service" {
            object["metadata"]["name"] = service.into();
            // No node runs its pod, so its Service selects none and names its endpoint by hand.
            if let Some(spec) = object["spec"].as_object_mut() {
                spec.remove("selector");
            }
        }
        for webhook in object.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten() {
            webhook["clientConfig"]["service"]["name"] = service.into();
        }
    }
    objects.push(json!({
        "apiVersion": "v1", "kind": "Endpoints", "metadata": { "name": service, "namespace": NAMESPACE },
        "subsets": [{
            "addresses": [{ "ip": address.to_string(), "targetRef": { "kind": "Pod", "namespace": NAMESPACE, "name": service } }],
            "ports": [{ "port": REVIEWS }],
        }],
    }));
    Ok(Started { webhook, objects, pod: mirror(service, address, &installation.told()) })
}

/// The pod as which a webhook of this process is seen: like a static pod, it was started by no scheduler, and what the
/// API server holds of it is a mirror.
fn mirror(name: &str, address: Ipv4Addr, settings: &BTreeMap<String, String>) -> Value {
    let port = |name: &str, port: u16| json!({ "name": name, "containerPort": port });
    let (env, args): (Vec<_>, Vec<_>) = settings.iter().partition(|(name, _)| is_variable(name));
    let env: Vec<Value> = env.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let args: Vec<String> = args.into_iter().map(|(name, value)| format!("--{name}={value}")).collect();
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": NAMESPACE, "labels": { "azure-workload-identity.io/system": "true" },
            "annotations": { "kubernetes.io/config.mirror": "in-process" },
        },
        "spec": {
            "nodeName": "in-process", "serviceAccountName": ACCOUNT, "automountServiceAccountToken": false, "containers": [{
                "name": "manager", "image": "wi-conformance/reference-webhook", "args": args, "env": env,
                "securityContext": {
                    "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] }, "runAsNonRoot": true,
                    "seccompProfile": { "type": "RuntimeDefault" },
                },
                "ports": [port("webhook-server", REVIEWS), port("metrics", METRICS), port("healthz", HEALTH)],
            }],
        },
        "status": {
            "phase": "Running", "podIP": address.to_string(), "podIPs": [{ "ip": address.to_string() }],
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    })
}

/// The settings of the case over those of the run.
fn config(profile: Profile, installation: &Installation) -> Result<Config, String> {
    let mut settings: BTreeMap<&str, &str> =
        [("profile", profile.word()), ("AZURE_TENANT_ID", installation.tenant_id.as_str())].into();
    settings.extend(installation.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let args = wi_reference_webhook::Args::of_settings(settings)?;
    let mut config = args.config(Config::default().kubernetes_version).map_err(|error| crate::exit::chain(&error))?;
    config.breaks.clone_from(&installation.breaks);
    Ok(config)
}

async fn as_pod(cert_rotation: bool, installation: &Installation) -> Result<Installed, String> {
    let certificate = Certificate::of_service(SERVICE, NAMESPACE)?;
    let client = client(&installation.kubeconfig, None).await?;
    let ca = if cert_rotation { String::new() } else { certificate.ca.clone() };
    let mut objects = registration(&ca, &installation.breaks);
    // With rotation on, the webhook fills an empty Secret and registers its own CA; else it is given both.
    let data = if cert_rotation {
        json!({})
    } else {
        json!({ "tls.crt": certificate.cert, "tls.key": certificate.key, "ca.crt": certificate.ca })
    };
    objects.extend(rights());
    objects.push(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": CERTIFICATE, "namespace": NAMESPACE }, "stringData": data,
    }));
    objects.push(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "webhook-kubeconfig", "namespace": NAMESPACE },
        "stringData": { "kubeconfig": in_cluster_kubeconfig(&installation.in_cluster_server) },
    }));
    objects.push(pod(cert_rotation, installation));
    for object in objects {
        apply(&client, object).await?;
    }
    wait_ready(&client, cert_rotation).await?;
    Ok(Installed::AsPod)
}

/// Namespace, Service and configuration.
fn registration(ca: &str, breaks: &std::collections::BTreeSet<String>) -> Vec<Value> {
    let spec = InstallationSpec {
        namespace: NAMESPACE.to_owned(),
        ca_bundle_pem: ca.to_owned(),
        breaks: breaks.clone(),
        ..InstallationSpec::default()
    };
    wi_reference_webhook::installation(&spec)
}

/// What the upstream webhook's account may do, and no more.
fn rights() -> Vec<Value> {
    let role = "azure-wi-webhook-manager-role";
    let binding = "azure-wi-webhook-manager-rolebinding";
    let subject = json!([{ "kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE }]);
    let api = "rbac.authorization.k8s.io";
    let v1 = "rbac.authorization.k8s.io/v1";
    vec![
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": ACCOUNT, "namespace": NAMESPACE } }),
        json!({ "apiVersion": v1, "kind": "ClusterRole", "metadata": { "name": role }, "rules": [
            { "apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get", "list", "watch"] },
            { "apiGroups": ["admissionregistration.k8s.io"], "resources": ["mutatingwebhookconfigurations"], "verbs": ["get", "list", "update", "watch"] },
        ] }),
        json!({ "apiVersion": v1, "kind": "ClusterRoleBinding", "metadata": { "name": binding }, "subjects": subject, "roleRef": { "apiGroup": api, "kind": "ClusterRole", "name": role } }),
        json!({ "apiVersion": v1, "kind": "Role", "metadata": { "name": role, "namespace": NAMESPACE }, "rules": [
            { "apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"] },
        ] }),
        json!({ "apiVersion": v1, "kind": "RoleBinding", "metadata": { "name": binding, "namespace": NAMESPACE }, "subjects": subject, "roleRef": { "apiGroup": api, "kind": "Role", "name": role } }),
    ]
}

/// A kubeconfig that uses the pod's own token, so that the webhook's rights are put to the test too.
fn in_cluster_kubeconfig(server: &str) -> String {
    let account = "/var/run/secrets/kubernetes.io/serviceaccount";
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "in-cluster",
        "clusters": [{ "name": "in-cluster", "cluster": { "server": server, "certificate-authority": format!("{account}/ca.crt") } }],
        "users": [{ "name": "webhook", "user": { "tokenFile": format!("{account}/token") } }],
        "contexts": [{ "name": "in-cluster", "context": { "cluster": "in-cluster", "user": "webhook" } }],
    })
    .to_string()
}

fn pod(cert_rotation: bool, installation: &Installation) -> Value {
    let mut args = vec![
        "--webhook-cert-dir=/certs".to_owned(),
        "--health-addr=:9440".to_owned(),
        "--metrics-addr=:8095".to_owned(),
        "--log-level=info".to_owned(),
    ];
    if !cert_rotation {
        args.push("--disable-cert-rotation=true".to_owned());
    }
    let mut env = vec![
        json!({ "name": "POD_NAMESPACE", "valueFrom": { "fieldRef": { "fieldPath": "metadata.namespace" } } }),
        json!({ "name": "AZURE_TENANT_ID", "value": installation.tenant_id }),
        json!({ "name": "AZURE_ENVIRONMENT", "value": "AzurePublicCloud" }),
        json!({ "name": "PROXY_IMAGE", "value": "wi-conformance/proxy:test" }),
        json!({ "name": "PROXY_INIT_IMAGE", "value": "wi-conformance/proxy-init:test" }),
        json!({ "name": "KUBECONFIG", "value": "/etc/wi-conformance/kubeconfig" }),
    ];
    for (name, value) in &installation.settings {
        if is_variable(name) {
            env.retain(|entry| entry["name"] != name.as_str());
            env.push(json!({ "name": name, "value": value }));
        } else {
            args.push(format!("--{name}={value}"));
        }
    }
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "azure-wi-webhook-under-test", "namespace": NAMESPACE, "labels": { "azure-workload-identity.io/system": "true", "app.kubernetes.io/name": "workload-identity-webhook", "app": "workload-identity-webhook" } },
        "spec": {
            "serviceAccountName": ACCOUNT,
            "containers": [{
                "name": "manager", "image": WEBHOOK_IMAGE, "imagePullPolicy": "IfNotPresent", "args": args,
                "env": env,
                "ports": [{ "name": "webhook-server", "containerPort": 9443 }, { "name": "healthz", "containerPort": 9440 }],
                "readinessProbe": { "httpGet": { "path": "/readyz", "port": "healthz" }, "periodSeconds": 1 },
                "volumeMounts": [
                    { "name": "cert", "mountPath": "/certs", "readOnly": true },
                    { "name": "kubeconfig", "mountPath": "/etc/wi-conformance", "readOnly": true },
                ],
            }],
            "volumes": [
                { "name": "cert", "secret": { "secretName": CERTIFICATE, "defaultMode": 420 } },
                { "name": "kubeconfig", "secret": { "secretName": "webhook-kubeconfig", "defaultMode": 420 } },
            ],
        },
    })
}

async fn wait_ready(client: &kube::Client, cert_rotation: bool) -> Result<(), String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let name = "azure-wi-webhook-under-test";
    let ready = || async { pods.get(name).await.is_ok_and(|pod| is_ready(&pod)).then_some(()) };
    if patience::until(READY, ready).await.is_some() {
        return if cert_rotation { wait_registered(client, CONFIGURATION, READY).await } else { Ok(()) };
    }
    let why = format!("not ready within {} s", READY.as_secs());
    let log = pods.logs(name, &kube::api::LogParams { tail_lines: Some(5), ..Default::default() }).await;
    let last = log.unwrap_or_default().lines().map(str::trim).collect::<Vec<_>>().join(" | ");
    let status = pods
        .get(name)
        .await
        .ok()
        .and_then(|pod| pod.status)
        .map(|status| serde_json::to_string(&status.container_statuses).unwrap_or_default());
    Err(format!("{why}; its last lines: {last}; status: {}", status.unwrap_or_default()))
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
