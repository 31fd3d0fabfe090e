//! What a webhook must make of a pod, written from the requirements: the pod and its account in, the mutated pod or the
//! refusal out. Shares nothing with any webhook; [`compare`] tells what one did otherwise.

mod compare;
mod integer;
mod proxy;
mod quantity;
mod settings;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::injection::{self, Layout};

pub use compare::{Change, compare};
pub use settings::{Endpoint, Settings, TrustSource};

/// Stands for a text that cannot be told from outside: any text will do in its place, also as a part of another text.
pub(crate) const ANY: &str = "\u{0}any";

/// The name of the volume in the old layout.
const OLD_VOLUME: &str = "azure-identity-token";
/// Path of an authority's certificate inside the volume.
const AUTHORITY_PATH: &str = "ca-cert/ca.crt";
/// How long a projected token may live, in seconds.
const LIVES: std::ops::RangeInclusive<i64> = 3600..=86400;

/// A pod that a webhook must refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The status of the answer.
    pub status: u16,
    /// Its message, whole.
    pub message: String,
}

fn refused(message: impl Into<String>) -> Refused {
    Refused { status: 400, message: message.into() }
}

/// What a webhook of these settings must make of a pod that runs as `account`.
///
/// # Errors
/// The refusal that it must answer with.
pub fn expected(pod: &Value, account: &Value, settings: &Settings, layout: &Layout) -> Result<Value, Refused> {
    let mut mutated = pod.clone();
    proxy::inject(&mut mutated, settings)?;
    let life = life(pod, account)?;
    let endpoint = settings.endpoint.as_ref().filter(|endpoint| {
        let asked = annotation(pod, &endpoint.annotation);
        layout.profile != "1.5" && asked.is_some_and(|value| value.eq_ignore_ascii_case("true"))
    });
    let volume = volume_name(pod, layout);
    let variables = variables(account, settings, layout, endpoint);
    let skipped: BTreeSet<&str> = injection::skipped(pod).into_iter().collect();
    for list in ["initContainers", "containers"] {
        for container in mutated["spec"].get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if container["name"].as_str().is_some_and(|name| skipped.contains(name)) {
                continue;
            }
            add_variables(container, &variables);
            add_mount(container, &volume, layout);
        }
    }
    let audience = endpoint.map_or(settings.audience.as_str(), |endpoint| endpoint.audience.as_str());
    let mut sources = vec![json!({ "serviceAccountToken": {
        "path": layout.token_path, "expirationSeconds": life, "audience": audience,
    } })];
    sources.extend(endpoint.and_then(|endpoint| endpoint.trust.as_ref()).and_then(trust_source));
    add_volume(&mut mutated, json!({ "name": volume, "projected": { "sources": sources } }), layout);
    Ok(mutated)
}

fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object["metadata"]["annotations"].get(key).map(|value| value.as_str().unwrap_or_default())
}

/// As the pod says, else as its account says, else an hour; an empty word counts as none.
fn life(pod: &Value, account: &Value) -> Result<i64, Refused> {
    let said = |object| annotation(object, injection::EXPIRATION_ANNOTATION).filter(|text| !text.is_empty());
    let life = match said(pod).or_else(|| said(account)) {
        Some(text) => integer::parse(text, 64).map_err(refused)?,
        None => injection::EXPIRATION,
    };
    if !LIVES.contains(&life) {
        let (least, most) = (LIVES.start(), LIVES.end());
        let message = format!("token expiration {life} not valid. Expected value to be between {least} and {most}");
        return Err(refused(message));
    }
    Ok(life)
}

/// At admission a pod has its own name, or the prefix that one will be made of.
fn volume_name(pod: &Value, layout: &Layout) -> String {
    if layout.profile == "1.5" {
        return OLD_VOLUME.to_owned();
    }
    // A pod that a later webhook has named since keeps the volume that it was given.
    let given = pod["spec"]["volumes"].as_array().into_iter().flatten().find(|volume| {
        let mut sources = volume["projected"]["sources"].as_array().into_iter().flatten();
        volume["name"].as_str().is_some_and(|name| name.starts_with(injection::RESERVED_VOLUME))
            && sources.any(|source| source["serviceAccountToken"]["path"] == layout.token_path)
    });
    if let Some(name) = given.and_then(|volume| volume["name"].as_str()) {
        return name.to_owned();
    }
    let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
    let seed = match text("name") {
        "" => format!("{} (prefix)", text("generateName")),
        name => name.to_owned(),
    };
    format!("{}{}", injection::RESERVED_VOLUME, &crate::secret::sha256_hex(seed.as_bytes())[..30])
}

/// What each container gets, in order; what is empty, it does not get.
fn variables(
    account: &Value,
    settings: &Settings,
    layout: &Layout,
    endpoint: Option<&Endpoint>,
) -> Vec<(&'static str, String)> {
    let of_account = |key: &str| annotation(account, &format!("azure.workload.identity/{key}"));
    // The key decides, not the value: an empty tenant id takes the configured one away.
    let tenant = of_account("tenant-id").unwrap_or(&settings.tenant);
    let mut variables = vec![
        ("AZURE_CLIENT_ID", of_account("client-id").unwrap_or_default().to_owned()),
        ("AZURE_TENANT_ID", tenant.to_owned()),
        ("AZURE_FEDERATED_TOKEN_FILE", layout.token_file()),
        ("AZURE_AUTHORITY_HOST", settings.authority.clone()),
    ];
    if let Some(endpoint) = endpoint {
        variables.push(("AZURE_KUBERNETES_TOKEN_PROXY", endpoint.token_proxy.clone()));
        variables.push(("AZURE_KUBERNETES_SNI_NAME", endpoint.sni_name.clone()));
        // SDKs refuse an authority that is given in both ways.
        match &endpoint.trust {
            Some(TrustSource::Data(pem)) => variables.push(("AZURE_KUBERNETES_CA_DATA", pem.clone())),
            Some(TrustSource::ConfigMap(_) | TrustSource::Bundle { .. }) | None => {
                variables.push(("AZURE_KUBERNETES_CA_FILE", format!("{}/{AUTHORITY_PATH}", layout.mount_path)));
            }
        }
    }
    variables.retain(|(_, value)| !value.is_empty());
    variables
}

/// After what the container has; what it has of these names, in whatever form, stays.
fn add_variables(container: &mut Value, variables: &[(&'static str, String)]) {
    let has = |container: &Value, name: &str| {
        container["env"].as_array().is_some_and(|env| env.iter().any(|entry| entry["name"] == name))
    };
    for (name, value) in variables {
        if !has(container, name) {
            push(container, "env", json!({ "name": name, "value": value }));
        }
    }
}

fn add_mount(container: &mut Value, volume: &str, layout: &Layout) {
    let wanted = json!({ "name": volume, "mountPath": layout.mount_path, "readOnly": true });
    let mounts = container.get_mut("volumeMounts").and_then(Value::as_array_mut);
    match mounts.into_iter().flatten().find(|mount| mount["name"] == volume) {
        // The old layout leaves a mount of that name as it is.
        Some(_) if layout.profile == "1.5" => {}
        Some(mount) => *mount = wanted,
        None => push(container, "volumeMounts", wanted),
    }
}

/// A volume of the reserved name gives way. In the old layout, one that projects such a token already is enough.
fn add_volume(pod: &mut Value, wanted: Value, layout: &Layout) {
    let spec = &mut pod["spec"];
    let old = layout.profile == "1.5";
    let stands = |volume: &Value| {
        let mut sources = volume["projected"]["sources"].as_array().into_iter().flatten();
        if old {
            sources.any(|source| source["serviceAccountToken"]["path"] == layout.token_path)
        } else {
            volume["name"] == wanted["name"]
        }
    };
    match spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten().find(|volume| stands(volume)) {
        Some(_) if old => {}
        Some(volume) => *volume = wanted,
        None => push(spec, "volumes", wanted),
    }
}

fn trust_source(trust: &TrustSource) -> Option<Value> {
    match trust {
        TrustSource::Data(_) => None,
        TrustSource::ConfigMap(name) => Some(json!({ "configMap": {
            "name": name, "items": [{ "key": "ca.crt", "path": AUTHORITY_PATH }], "optional": false,
        } })),
        TrustSource::Bundle { signer, selector } => {
            let mut bundle = json!({ "signerName": signer, "path": AUTHORITY_PATH, "optional": false });
            if let Some(selector) = selector {
                bundle["labelSelector"] = selector.clone();
            }
            Some(json!({ "clusterTrustBundle": bundle }))
        }
    }
}

fn push(owner: &mut Value, field: &str, item: Value) {
    match owner.get_mut(field) {
        Some(Value::Array(items)) => items.push(item),
        _ => {
            if !owner.is_object() {
                *owner = Value::Object(Map::new());
            }
            owner[field] = json!([item]);
        }
    }
}

#[cfg(test)]
mod tests;
