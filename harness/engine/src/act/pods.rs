//! Pods and what makes pods, with what they need so that real names lead to this target's Azure.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wi_model::evidence::{Facts, PodEvidence};
use wi_model::located::Text;
use wi_model::parse;
use wi_model::scenario::CreatePod;
use wi_model::target::PodAdditions;

use super::{Done, Stage};
use crate::cluster::{Created, ObjectRef};
use crate::existing::{somebody_elses, try_change_existing};
use crate::lease::Lease;

/// The ConfigMap with the CA bundle, one in each namespace of a case.
const TRUST: &str = "wi-conformance-trust";
/// Where it is mounted: below a folder that every node can make.
const TRUST_PATH: &str = "/var/run/secrets/wi-conformance";
/// The variables that make each runtime trust a bundle: Go, .NET and Rust; Python; curl; Node.
const TRUST_VARIABLES: [&str; 4] = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"];

/// The variable that holds the canary.
const CANARY: &str = "WI_CONFORMANCE_CANARY";

/// The annotation that has a running program begin another round when it changes, and where the program sees it.
pub(super) const AGAIN: &str = "wi-conformance/again";
const AGAIN_VOLUME: &str = "wi-conformance-again";
const AGAIN_PATH: &str = "/var/run/secrets/wi-conformance-again";

/// The CA bundle as an object, where pods need one.
pub(crate) fn trust_config_map(namespace: &str, pods: &PodAdditions) -> Option<Value> {
    let bundle = pods.ca_bundle.as_ref()?;
    Some(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": TRUST, "namespace": namespace },
        "data": { "ca.crt": bundle },
    }))
}

impl Stage<'_> {
    /// Creates an object of a step. A pod that is refused is evidence. Where the scenario says that another user's may be
    /// there, that one is changed instead.
    pub(super) async fn create(&mut self, object: Value, existing: bool, lease: &mut Lease) -> Result<Done, String> {
        let images = images(&object);
        let mut object = self.adapt(object);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, name) = (text(&object["kind"]), text(&object["metadata"]["name"]));
        if kind == "Namespace" && name == self.ready.namespace {
            self.cluster.adopt_namespace(&object).await?;
            return Ok(Done::Accepted);
        }
        let namespace = object["metadata"]["namespace"].as_str().map(str::to_owned);
        let found = match existing {
            true => somebody_elses(self.cluster, &ObjectRef::of(&object), lease).await?,
            false => None,
        };
        if found.is_none() {
            lease.mark(self.cluster, &mut object).await;
        }
        let template = if kind == "Pod" { Some(&object) } else { template(&object) };
        let account = match template {
            Some(template) => self.account(template, namespace.as_deref()).await?,
            None => None,
        };
        let created = match &found {
            Some(found) => try_change_existing(self.cluster, found, &object, lease).await,
            None => lease.create(self.cluster, &object).await,
        };
        let created = created.map_err(|why| format!("{kind} {name}: {why}"))?;
        let key = parse::pods_name(&object).map(|key| (namespace.unwrap_or_default(), key));
        match (kind.as_str(), created) {
            ("Pod", created) => {
                let mut evidence = PodEvidence { sent: object, images, account, ..PodEvidence::default() };
                let mut done = Done::Accepted;
                match created {
                    Created::Stored(stored) => evidence.stored = Some(stored),
                    Created::Refused(refused) => {
                        evidence.refused = Some(refused.clone());
                        done = Done::PodRefused(refused);
                    }
                }
                if let Some(key) = key {
                    self.pods.insert(key, evidence);
                }
                Ok(done)
            }
            (_, Created::Refused(refused)) => Ok(Done::Refused(format!("{kind} {name}"), refused)),
            (_, Created::Stored(_)) => {
                if kind == "Namespace" {
                    self.cluster.furnish(&name, self.additions, self.cancel).await?;
                }
                if let (Some(key), Some(template)) = (key, template) {
                    let mut sent = template.clone();
                    sent["metadata"]["namespace"] = key.0.clone().into();
                    let workload = Some((kind, name));
                    let evidence = PodEvidence { sent, images, account, workload, ..PodEvidence::default() };
                    self.pods.insert(key, evidence);
                }
                Ok(Done::Accepted)
            }
        }
    }

    /// The account of a pod as it is now: what the webhook reads.
    async fn account(&self, pod: &Value, namespace: Option<&str>) -> Result<Option<Value>, String> {
        let name = pod["spec"]["serviceAccountName"].as_str().filter(|name| !name.is_empty()).unwrap_or("default");
        let found = self.cluster.get("v1", "ServiceAccount", namespace, name).await;
        found.map_err(|error| format!("ServiceAccount {name}: {}", crate::cluster::sentence(&error)))
    }

    /// Adds to a pod, or to the template of one, what it needs on this target.
    fn adapt(&self, mut object: Value) -> Value {
        let asked = parse::pods_name(&object).is_some_and(|name| self.asked_again.contains(&name));
        for path in ["", "/spec/template", "/spec/jobTemplate/spec/template"] {
            if (path.is_empty() && object["kind"] != "Pod")
                || object.pointer(path).is_none_or(|pod| !pod["spec"].is_object())
            {
                continue;
            }
            if let Some(pod) = object.pointer_mut(path) {
                adapt_spec(&mut pod["spec"], self.additions, &self.ready.facts);
                if asked {
                    hear_again(pod);
                }
                give_canary(&mut pod["spec"], &self.ready.canary);
            }
        }
        object
    }
}

/// The images of a pod's containers, or of those of the pods that an object makes, as the scenario names them.
fn images(object: &Value) -> BTreeMap<String, String> {
    let spec =
        if object["kind"] == "Pod" { &object["spec"] } else { &template(object).unwrap_or(&Value::Null)["spec"] };
    let lists = ["initContainers", "containers"].into_iter();
    let containers = lists.flat_map(|list| spec[list].as_array().into_iter().flatten());
    let named = containers.filter_map(|found| Some((found["name"].as_str()?, found["image"].as_str()?)));
    named.map(|(name, image)| (name.to_owned(), image.to_owned())).collect()
}

/// The template of what makes pods.
fn template(object: &Value) -> Option<&Value> {
    parse::pods_name(object)?;
    object.pointer("/spec/jobTemplate/spec/template").or_else(|| object.pointer("/spec/template"))
}

/// Shows a pod the annotation by which it is asked to begin another round.
fn hear_again(pod: &mut Value) {
    if pod["metadata"]["annotations"][AGAIN].is_null() {
        pod["metadata"]["annotations"][AGAIN] = "0".into();
    }
    let field = format!("metadata.annotations['{AGAIN}']");
    push(
        &mut pod["spec"],
        "volumes",
        json!({ "name": AGAIN_VOLUME, "downwardAPI": {
        "items": [{ "path": "again", "fieldRef": { "fieldPath": field } }] } }),
    );
    for container in pod["spec"].get_mut("containers").and_then(Value::as_array_mut).into_iter().flatten() {
        push(container, "volumeMounts", json!({ "name": AGAIN_VOLUME, "mountPath": AGAIN_PATH, "readOnly": true }));
        push(container, "env", json!({ "name": "QUICKSTART_AGAIN_FILE", "value": format!("{AGAIN_PATH}/again") }));
    }
}

/// Puts a value into the environment of each container that nobody has any business to write down.
fn give_canary(spec: &mut Value, canary: &str) {
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let given = container["env"].as_array().is_some_and(|env| env.iter().any(|entry| entry["name"] == CANARY));
            if container.is_object() && !given {
                push(container, "env", json!({ "name": CANARY, "value": canary }));
            }
        }
    }
}

fn adapt_spec(spec: &mut Value, pods: &PodAdditions, facts: &Facts) {
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            image(container, pods);
        }
    }
    if let Some(address) = pods.azure_address {
        let host = |url: &String| url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let names: Vec<String> = facts.authorities.iter().chain(facts.vaults.values()).filter_map(host).collect();
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

/// Names the image that stands for a container's on this target, and how nodes come by it.
pub(crate) fn image(container: &mut Value, pods: &PodAdditions) {
    let brought = container["image"].as_str().and_then(|image| pods.images.get(repository(image)));
    if let Some(brought) = brought {
        container["image"] = brought.as_str().into();
        if let Some(policy) = pods.image_pull_policy {
            container["imagePullPolicy"] = policy.word().into();
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

pub(super) fn pod_of(wanted: &CreatePod, namespace: &str) -> Value {
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
            authorities: vec!["https://login.microsoftonline.com/".into()],
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
        let policy = Some(wi_model::target::file::ImagePullPolicy::Never);
        let pods = PodAdditions { images, image_pull_policy: policy, ..PodAdditions::default() };
        let spec = json!({ "containers": [
            { "image": "ghcr.io/a/b:v1" }, { "image": "ghcr.io/a/b@sha256:00", "imagePullPolicy": "Always" }, { "image": "nginx" },
        ] });
        let brought = json!({ "image": "wi/quickstart:1", "imagePullPolicy": "Never" });
        assert_eq!(adapted(&pods, spec), json!({ "containers": [brought, brought, { "image": "nginx" }] }));
    }

    #[test]
    fn an_image_out_of_a_registry_is_pulled_as_the_pod_says() {
        let images = [("quickstart/rust".to_owned(), "registry.example/team/quickstart/rust".to_owned())].into();
        let pods = PodAdditions { images, ..PodAdditions::default() };
        let pulled = "registry.example/team/quickstart/rust";
        let spec = json!({ "containers": [
            { "image": "quickstart/rust" }, { "image": "quickstart/rust", "imagePullPolicy": "Always" },
        ] });
        let expected = json!({ "containers": [{ "image": pulled }, { "image": pulled, "imagePullPolicy": "Always" }] });
        assert_eq!(adapted(&pods, spec), expected);
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
