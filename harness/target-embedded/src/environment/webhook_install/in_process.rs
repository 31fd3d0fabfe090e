//! The reference webhook in this process: seen as a pod that no scheduler started.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};
use wi_engine::kubernetes::{apply, apply_with_status, client};
use wi_engine::webhook_release::is_variable;
use wi_model::profile::Profile;
use wi_reference_webhook::{Config, InstallationSpec, ReferenceWebhook, Tls};
use wi_serve::service_certificate::Certificate;

use super::{ACCOUNT, HEALTH, Installation, METRICS, NAMESPACE, Ports, REVIEWS, SERVICE};

/// The Service of the version that a case upgrades to.
const NEXT_SERVICE: &str = "azure-wi-webhook-next-service";

/// The reference webhook, and, where the case begins with an older profile, the newest one beside it.
pub(in crate::environment) struct InProcess {
    current: ReferenceWebhook,
    next: Option<(ReferenceWebhook, Value)>,
}

impl InProcess {
    /// Where each is served: the registered one, then the one beside it.
    pub(super) fn addresses(&self) -> Vec<Ports> {
        let next = self.next.as_ref().map(|(next, _)| ports(next));
        std::iter::once(ports(&self.current)).chain(next).collect()
    }

    /// The registration of the next version, where there is one.
    pub(super) fn upgrade(&self) -> Option<Value> {
        self.next.as_ref().map(|(_, registration)| registration.clone())
    }

    pub(super) async fn stop(self) {
        self.current.stop().await;
        if let Some((next, _)) = self.next {
            next.stop().await;
        }
    }
}

fn ports(webhook: &ReferenceWebhook) -> Ports {
    let probes = [(HEALTH, webhook.health_address()), (METRICS, webhook.metrics_address())];
    let probes = probes.into_iter().filter_map(|(port, address)| Some((port, address?)));
    probes.chain([(REVIEWS, webhook.address())]).collect()
}

/// Starts it and registers it.
pub(super) async fn install(profile: Profile, installation: &Installation) -> Result<InProcess, String> {
    let client = client(&installation.kubeconfig, None).await?;
    let started = start(config(profile, installation)?, SERVICE, installation.addresses[0], installation).await?;
    let (namespace, registration): (Vec<_>, Vec<_>) =
        started.objects.into_iter().partition(|object| object["kind"] == "Namespace");
    // It needs no account, but its installation has one, whose rights are the product's.
    let may_update = !installation.breaks.contains("may-not-update");
    for object in namespace.into_iter().chain(rights(may_update)) {
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
    Ok(InProcess { current: started.webhook, next })
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
        log: installation.logs.of(service),
    };
    let webhook = ReferenceWebhook::start(options).await.map_err(|error| wi_engine::sentence(&error))?;
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
            "name": name, "namespace": NAMESPACE, "labels": { "azure-workload-identity.io/system": "true", "app": "workload-identity-webhook" },
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
            "conditions": [{ "type": "Ready", "status": "True" }, { "type": "ContainersReady", "status": "True" }],
            "containerStatuses": [{
                "name": "manager", "image": "wi-conformance/reference-webhook", "imageID": "in-process", "ready": true,
                "started": true, "restartCount": 0, "state": { "running": {} }, "lastState": {},
            }],
        },
    })
}

/// The settings of the case over those of the run.
fn config(profile: Profile, installation: &Installation) -> Result<Config, String> {
    let mut settings: BTreeMap<&str, &str> =
        [("profile", profile.word()), ("AZURE_TENANT_ID", installation.tenant_id.as_str())].into();
    settings.extend(installation.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let args = wi_reference_webhook::Args::of_settings(settings)?;
    let mut config = args.config(installation.kubernetes.clone()).map_err(|error| wi_engine::sentence(&error))?;
    config.breaks.clone_from(&installation.breaks);
    Ok(config)
}

/// Namespace, Service and configuration.
fn registration(ca: &str, breaks: &BTreeSet<String>) -> Vec<Value> {
    let spec = InstallationSpec {
        namespace: NAMESPACE.to_owned(),
        ca_bundle_pem: ca.to_owned(),
        breaks: breaks.clone(),
        ..InstallationSpec::default()
    };
    wi_reference_webhook::installation(&spec)
}

/// What the upstream webhook's account may do, and no more; as a mutant, less.
fn rights(may_update: bool) -> Vec<Value> {
    let registrations: &[&str] =
        if may_update { &["get", "list", "update", "watch"] } else { &["get", "list", "watch"] };
    let role = "azure-wi-webhook-manager-role";
    let binding = "azure-wi-webhook-manager-rolebinding";
    let subject = json!([{ "kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE }]);
    let api = "rbac.authorization.k8s.io";
    let v1 = "rbac.authorization.k8s.io/v1";
    vec![
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": ACCOUNT, "namespace": NAMESPACE } }),
        json!({ "apiVersion": v1, "kind": "ClusterRole", "metadata": { "name": role }, "rules": [
            { "apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get", "list", "watch"] },
            { "apiGroups": ["admissionregistration.k8s.io"], "resources": ["mutatingwebhookconfigurations"], "verbs": registrations },
        ] }),
        json!({ "apiVersion": v1, "kind": "ClusterRoleBinding", "metadata": { "name": binding }, "subjects": subject, "roleRef": { "apiGroup": api, "kind": "ClusterRole", "name": role } }),
        json!({ "apiVersion": v1, "kind": "Role", "metadata": { "name": role, "namespace": NAMESPACE }, "rules": [
            { "apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"] },
        ] }),
        json!({ "apiVersion": v1, "kind": "RoleBinding", "metadata": { "name": binding, "namespace": NAMESPACE }, "subjects": subject, "roleRef": { "apiGroup": api, "kind": "Role", "name": role } }),
    ]
}
