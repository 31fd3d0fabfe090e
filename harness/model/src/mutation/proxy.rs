//! The proxy that a pod may ask for: its sidecar and its init container.

use serde_json::{Value, json};

use super::{Refused, Settings, annotation, integer, refused};

const INJECT: &str = "azure.workload.identity/inject-proxy-sidecar";
const PORT: &str = "azure.workload.identity/proxy-sidecar-port";
const SIDECAR: &str = "azwi-proxy";
const INIT: &str = "azwi-proxy-init";

/// Adds the proxy where the pod asks for it: `false` asks for none.
pub(super) fn inject(pod: &mut Value, settings: &Settings) -> Result<(), Refused> {
    if annotation(pod, INJECT).is_none_or(|value| value.eq_ignore_ascii_case("false")) {
        return Ok(());
    }
    if pod["spec"]["hostNetwork"] == true {
        return Err(refused("hostNetwork is set to true, cannot inject proxy sidecar"));
    }
    let port = match annotation(pod, PORT) {
        Some(text) => {
            integer::parse(text, 32).map_err(|why| refused(format!("failed to parse proxy sidecar port: {why}")))?
        }
        None => 8000,
    };
    let (sidecar, init) = (sidecar(port, settings), init_container(port, settings));
    let beside = if settings.native_sidecar { "initContainers" } else { "containers" };
    add(pod, "initContainers", INIT, |all| all.push(init));
    add(pod, beside, SIDECAR, |all| all.insert(0, sidecar));
    Ok(())
}

/// A container of that name stays as it is.
fn add(pod: &mut Value, list: &str, name: &str, put: impl FnOnce(&mut Vec<Value>)) {
    let list = &mut pod["spec"][list];
    if list.is_null() {
        *list = json!([]);
    }
    if let Some(all) = list.as_array_mut()
        && !all.iter().any(|container| container["name"] == name)
    {
        put(all);
    }
}

fn init_container(port: i64, settings: &Settings) -> Value {
    json!({
        "name": INIT,
        "image": settings.proxy_init_image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{ "name": "PROXY_PORT", "value": port.to_string() }],
        "securityContext": {
            "capabilities": { "add": ["NET_ADMIN"], "drop": ["ALL"] },
            "privileged": true, "runAsNonRoot": false, "runAsUser": 0,
        },
    })
}

fn sidecar(port: i64, settings: &Settings) -> Value {
    let (port_flag, level) = (format!("--proxy-port={port}"), format!("--log-level={}", settings.log_level));
    let mut container = json!({
        "name": SIDECAR,
        "image": settings.proxy_image,
        "imagePullPolicy": "IfNotPresent",
        "args": [port_flag, level],
        "ports": [{ "containerPort": port }],
        "lifecycle": { "postStart": { "exec": { "command": ["/proxy", port_flag, "--probe", level] } } },
        "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] }, "privileged": false,
            "readOnlyRootFilesystem": true, "runAsNonRoot": true,
        },
    });
    if settings.native_sidecar {
        container["restartPolicy"] = "Always".into();
    }
    container
}
