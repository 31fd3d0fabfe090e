//! Steps into objects, with what pods need so that real names lead to this target's Azure.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wi_model::evidence::{Facts, PodEvidence};
use wi_model::located::Text;
use wi_model::scenario::{CreatePod, Step};
use wi_model::target::PodAdditions;

use crate::cluster::{Cluster, Created};
use crate::lease::Lease;
use crate::ledger::Owned;
use crate::provision::objects_of_manifests;

/// The ConfigMap that holds the CA bundle, one in each namespace of ours.
const TRUST: &str = "wi-conformance-trust";
/// Where it is mounted: below a folder that every node can make.
const TRUST_PATH: &str = "/var/run/secrets/wi-conformance";
/// The variables that make each runtime trust a bundle: Go, .NET and Rust; Python; curl; Node.
const TRUST_VARIABLES: [&str; 4] = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"];

/// The pods of a case, by namespace and name.
pub(crate) type Pods = BTreeMap<(String, String), PodEvidence>;

/// The CA bundle as an object, where pods need one.
pub(crate) fn trust_config_map(namespace: &str, pods: &PodAdditions) -> Option<Value> {
    let bundle = pods.ca_bundle.as_ref()?;
    Some(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": TRUST, "namespace": namespace },
        "data": { "ca.crt": bundle },
    }))
}

/// What steps are done with.
pub(crate) struct Stage<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) pods: &'a PodAdditions,
    pub(crate) facts: &'a Facts,
    pub(crate) namespace: &'a str,
}

impl Stage<'_> {
    /// Does one step. A pod that is refused is evidence; anything else that is refused is an error.
    ///
    /// # Errors
    /// What could not be done.
    pub(crate) async fn perform(&self, step: &Step, lease: &mut Lease, seen: &mut Pods) -> Result<(), String> {
        let objects = match step {
            Step::CreatePod(pod) => vec![pod_of(pod, self.namespace)],
            Step::Apply(manifests) => objects_of_manifests(manifests, self.namespace),
        };
        for object in objects {
            self.create(self.adapt(object), lease, seen).await?;
        }
        Ok(())
    }

    async fn create(&self, object: Value, lease: &mut Lease, seen: &mut Pods) -> Result<(), String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
        let namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
        let owned = Owned::Object {
            api_version: text(&object["apiVersion"]),
            kind: kind.clone(),
            namespace: namespace.clone(),
            name: name.clone(),
        };
        lease.take(owned).map_err(|error| crate::cluster::sentence(&error))?;
        let created = self.cluster.create(&object).await.map_err(|why| format!("{kind} {name}: {why}"))?;
        if kind != "Pod" {
            return match created {
                Created::Stored(_) => Ok(()),
                Created::Refused(refused) => {
                    Err(format!("{kind} {name} was refused: {} {}", refused.status, refused.message))
                }
            };
        }
        let mut evidence = PodEvidence { sent: object, ..PodEvidence::default() };
        match created {
            Created::Stored(stored) => evidence.stored = Some(stored),
            Created::Refused(refused) => evidence.refused = Some(refused),
        }
        seen.insert((namespace.unwrap_or_default(), name), evidence);
        Ok(())
    }

    /// Adds to a pod, or to the template of one, what it needs on this target.
    fn adapt(&self, mut object: Value) -> Value {
        if object["kind"] == "Pod" {
            adapt_spec(&mut object["spec"], self.pods, self.facts);
        } else if object["spec"]["template"]["spec"].is_object() {
            adapt_spec(&mut object["spec"]["template"]["spec"], self.pods, self.facts);
        }
        object
    }
}

fn adapt_spec(spec: &mut Value, pods: &PodAdditions, facts: &Facts) {
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let brought = container["image"].as_str().and_then(|image| pods.images.get(repository(image)));
            if let Some(brought) = brought {
                container["image"] = brought.as_str().into();
                // It is on the nodes already and nowhere else.
                container["imagePullPolicy"] = "Never".into();
            }
        }
    }
    if let Some(address) = pods.azure_address {
        let host = |url: &String| url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let names: Vec<String> =
            std::iter::once(&facts.authority).chain(facts.vaults.values()).filter_map(host).collect();
        push(spec, "hostAliases", json!({ "ip": address.to_string(), "hostnames": names }));
    }
    if pods.ca_bundle.is_none() {
        return;
    }
    push(spec, "volumes", json!({ "name": TRUST, "configMap": { "name": TRUST } }));
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            push(container, "volumeMounts", json!({ "name": TRUST, "mountPath": TRUST_PATH, "readOnly": true }));
            for variable in TRUST_VARIABLES {
                let set =
                    container["env"].as_array().is_some_and(|env| env.iter().any(|entry| entry["name"] == variable));
                if !set {
                    push(container, "env", json!({ "name": variable, "value": format!("{TRUST_PATH}/ca.crt") }));
                }
            }
        }
    }
}

/// An image's name without tag and digest; a registry's port is no tag.
fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

fn push(owner: &mut Value, field: &str, item: Value) {
    match owner[field].as_array_mut() {
        Some(items) => items.push(item),
        None => owner[field] = json!([item]),
    }
}

fn pod_of(wanted: &CreatePod, namespace: &str) -> Value {
    let map = |entries: &BTreeMap<String, Text>| -> Value {
        entries
            .iter()
            .map(|(key, value)| (key.clone(), Value::from(value.value.clone())))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let env: Vec<Value> =
        wanted.env.iter().map(|(name, value)| json!({ "name": name, "value": value.value })).collect();
    let home = wanted.namespace.as_ref().map_or(namespace, |namespace| namespace.value.as_str());
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": wanted.name.value, "namespace": home, "labels": map(&wanted.labels), "annotations": map(&wanted.annotations) },
        "spec": { "restartPolicy": "Never", "containers": [{ "name": "app", "image": wanted.image.value, "env": env }] },
    });
    if let Some(account) = &wanted.service_account {
        pod["spec"]["serviceAccountName"] = account.value.clone().into();
    }
    if let Some(automount) = wanted.automount {
        pod["spec"]["automountServiceAccountToken"] = automount.into();
    }
    pod
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapted(pods: &PodAdditions, object: Value) -> Value {
        let facts = Facts {
            authority: "https://login.microsoftonline.com/".into(),
            vaults: [("kv".to_owned(), "https://kv1.vault.azure.net/".to_owned())].into(),
            ..Facts::default()
        };
        let mut spec = object;
        adapt_spec(&mut spec, pods, &facts);
        spec
    }

    #[test]
    fn a_target_that_needs_nothing_leaves_a_pod_alone() {
        let spec = json!({ "containers": [{ "name": "app" }] });
        assert_eq!(adapted(&PodAdditions::default(), spec.clone()), spec);
    }

    #[test]
    fn an_image_that_was_brought_to_the_nodes_takes_the_place_of_the_one_that_is_named() {
        let images = [("ghcr.io/a/b".to_owned(), "wi/quickstart:1".to_owned())].into();
        let pods = PodAdditions { images, ..PodAdditions::default() };
        let spec = json!({ "containers": [
            { "image": "ghcr.io/a/b:v1" }, { "image": "ghcr.io/a/b@sha256:00", "imagePullPolicy": "Always" }, { "image": "nginx" },
        ] });
        let brought = json!({ "image": "wi/quickstart:1", "imagePullPolicy": "Never" });
        assert_eq!(adapted(&pods, spec), json!({ "containers": [brought, brought, { "image": "nginx" }] }));
    }

    #[test]
    fn names_and_trust_reach_every_container_and_keep_what_is_set() {
        let pods = PodAdditions {
            azure_address: Some("10.0.0.9".parse().unwrap()),
            ca_bundle: Some("pem".into()),
            ..PodAdditions::default()
        };
        let spec = json!({
            "initContainers": [{ "name": "init" }],
            "containers": [{ "name": "app", "env": [{ "name": "SSL_CERT_FILE", "value": "/mine" }] }],
        });
        let spec = adapted(&pods, spec);
        assert_eq!(spec["hostAliases"][0]["hostnames"], json!(["login.microsoftonline.com", "kv1.vault.azure.net"]));
        assert_eq!(spec["initContainers"][0]["volumeMounts"][0]["mountPath"], TRUST_PATH);
        let env = spec["containers"][0]["env"].as_array().unwrap();
        let values: Vec<&Value> =
            env.iter().filter(|entry| entry["name"] == "SSL_CERT_FILE").map(|entry| &entry["value"]).collect();
        assert_eq!(values, ["/mine"]);
        assert_eq!(env.len(), 4);
    }
}
