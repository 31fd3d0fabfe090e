//! An admission policy of the case's own: a webhook in a pod, registered for the case's namespace alone.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};
use std::time::Duration;
use wi_model::scenario::Policy;

use super::{CASE_LABEL, Ground, label};
use crate::act::image;
use crate::cluster::Created;
use crate::lease::Lease;
use crate::settle;

/// On the policy's own pod, so that no policy looks at the pods of others.
const POLICY_LABEL: &str = "wi-conformance/policy";
/// How long its pod may take to be ready, and the API server to reach it.
const READY: Duration = Duration::from_secs(60);
/// How long an API server may take to notice a registration.
const NOTICED: Duration = Duration::from_secs(10);
/// The annotation by which a policy knows a probe.
const PROBE: &str = "wi-conformance/probe";
const PORT: u16 = 8443;

impl Ground<'_> {
    /// Starts the policy's webhook, waits until it is reached, and registers it.
    pub(super) async fn policy(
        &self,
        policy: &Policy,
        namespace: &str,
        case_id: &str,
        lease: &mut Lease,
    ) -> Result<(), String> {
        let name = policy.name.value.clone();
        let service = format!("policy-{name}");
        let (ca, cert, key) = certificate(&format!("{service}.{namespace}.svc")).map_err(|error| error.to_string())?;
        let rule = json!({
            "patch": policy.patch.iter().map(|operation| operation.value.clone()).collect::<Vec<_>>(),
            "require": policy.require.as_ref().map(|wanted| wanted.value.clone()),
            "message": policy.message.as_ref().map(|message| message.value.clone()),
            "probe": name,
        });
        let metadata = json!({ "name": service, "namespace": namespace, "labels": { POLICY_LABEL: name } });
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": metadata,
            "stringData": { "rule.json": rule.to_string(), "tls.crt": cert, "tls.key": key },
        });
        let mut container = json!({
            "name": "policy", "image": "wi-conformance/admission-policy",
            "env": [{ "name": "ADMISSION_POLICY_FOLDER", "value": "/etc/admission-policy" }],
            "readinessProbe": { "httpGet": { "path": "/readyz", "port": 8080 }, "periodSeconds": 1 },
            "volumeMounts": [{ "name": "policy", "mountPath": "/etc/admission-policy", "readOnly": true }],
        });
        image(&mut container, self.pods);
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": {
                "automountServiceAccountToken": false, "containers": [container],
                "volumes": [{ "name": "policy", "secret": { "secretName": service } }],
            },
        });
        let exposed = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": { "selector": { POLICY_LABEL: name }, "ports": [{ "port": 443, "targetPort": PORT }] },
        });
        for object in [secret, pod, exposed] {
            if let Created::Refused(refused) = self.cluster.create(&object).await? {
                return Err(format!("policy {name}: {} was refused: {}", object["kind"], refused.message));
            }
        }
        self.wait_ready(namespace, &service).await?;
        let mut configuration = configuration(policy, namespace, case_id, &service, &ca);
        lease.mark(self.cluster, &mut configuration).await;
        if let Created::Refused(refused) = lease.create(self.cluster, &configuration).await? {
            return Err(format!("policy {name}: its configuration was refused: {}", refused.message));
        }
        self.wait_reached(policy, namespace).await
    }

    async fn wait_ready(&self, namespace: &str, name: &str) -> Result<(), String> {
        let ready = || async {
            let pod = self.cluster.get("v1", "Pod", Some(namespace), name).await.ok()??;
            let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
            conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True").then_some(())
        };
        let waited = settle::until(READY, self.cancel, ready).await;
        waited.map_err(|error| format!("pod {name} of the policy is not ready: {error}"))
    }

    /// Asks until the API server reaches the webhook, which refuses a probe that bears its name: nothing of it is kept. A
    /// probe that is let through was not shown to it, because the API server has not noticed the registration yet.
    async fn wait_reached(&self, policy: &Policy, namespace: &str) -> Result<(), String> {
        let name = &policy.name.value;
        let metadata = json!({ "name": "wi-probe", "namespace": namespace, "annotations": { PROBE: name } });
        let probe = match policy.on.value.as_str() {
            "pods" => json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
                "spec": { "automountServiceAccountToken": false, "containers": [{ "name": "probe", "image": "probe" }] } }),
            "serviceaccounts" => json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata }),
            other => {
                return Err(format!("unsupported policy on {other}; expected pods or serviceaccounts"));
            }
        };
        let reached = async |unseen: Option<()>| match self.cluster.try_out(&probe).await {
            Ok(Created::Refused(refused)) => (!refused.message.contains("failed calling webhook")).then_some(()),
            Ok(Created::Stored(_)) => unseen,
            Err(_) => None,
        };
        if settle::until(NOTICED, self.cancel, || reached(None)).await.is_ok() {
            return Ok(());
        }
        // An API server that never asks it is for the case to judge; one that cannot reach it is not.
        let waited = settle::until(READY, self.cancel, || reached(Some(()))).await;
        waited.map_err(|error| format!("the API server cannot reach policy {name}: {error}"))
    }
}

/// The configuration: cluster-wide by kind, for one namespace by its label. Its name keeps the scenario's as a prefix,
/// because API servers call webhooks in the order of names.
fn configuration(policy: &Policy, namespace: &str, case_id: &str, service: &str, ca: &str) -> Value {
    use base64::Engine as _;
    let kind = if policy.patch.is_empty() { "ValidatingWebhookConfiguration" } else { "MutatingWebhookConfiguration" };
    let mut webhook = json!({
        "name": format!("{}.policy.wi-conformance.example", policy.name.value),
        "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail", "timeoutSeconds": 10,
        "clientConfig": {
            "service": { "name": service, "namespace": namespace, "path": "/", "port": 443 },
            "caBundle": base64::engine::general_purpose::STANDARD.encode(ca),
        },
        "namespaceSelector": { "matchLabels": { CASE_LABEL: label(case_id) } },
        "objectSelector": { "matchExpressions": [{ "key": POLICY_LABEL, "operator": "DoesNotExist" }] },
        "rules": [{
            "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": [policy.on.value],
            "scope": "Namespaced",
        }],
    });
    if kind == "MutatingWebhookConfiguration" {
        webhook["reinvocationPolicy"] = "IfNeeded".into();
    }
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
        "metadata": { "name": format!("{}-{namespace}", policy.name.value) },
        "webhooks": [webhook],
    })
}

/// A CA, and a certificate for a name with its key, as PEM.
fn certificate(name: &str) -> Result<(String, String, String), rcgen::Error> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "wi-conformance policy CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_pem = ca.self_signed(&ca_key)?.pem();
    let key = KeyPair::generate()?;
    let leaf = CertificateParams::new([name.to_owned()])?.signed_by(&key, &Issuer::new(ca, ca_key))?;
    Ok((ca_pem, leaf.pem(), key.serialize_pem()))
}

/// A certificate authority that signed nothing.
pub(crate) fn foreign_authority() -> Result<String, String> {
    certificate("nobody.invalid").map(|(ca, _, _)| ca).map_err(|error| error.to_string())
}
