use std::collections::BTreeMap;

use super::*;
use crate::injection::LAYOUTS;

fn settings(values: &[(&str, &str)]) -> Settings {
    let values: BTreeMap<String, String> = values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Settings::of(&values, "tenant", "https://login.microsoftonline.com/", "v1.34.1")
}

fn account() -> Value {
    json!({ "metadata": { "annotations": { "azure.workload.identity/client-id": "client" } } })
}

fn pod(annotations: Value, spec: Value) -> Value {
    let mut pod = json!({ "metadata": { "name": "quick-start", "annotations": annotations }, "spec": {
        "containers": [{ "name": "a", "env": [{ "name": "AZURE_TENANT_ID", "value": "mine" }] }, { "name": "b" }],
    } });
    for (key, value) in spec.as_object().into_iter().flatten() {
        pod["spec"][key] = value.clone();
    }
    pod
}

fn made(pod: &Value, settings: &Settings) -> Value {
    expected(pod, &account(), settings, &LAYOUTS[0]).unwrap()
}

fn told(before: &Value, observed: &Value, settings: &Settings) -> Vec<String> {
    compare(before, &made(before, settings), observed).iter().map(ToString::to_string).collect()
}

#[test]
fn a_pod_that_is_as_it_must_be_differs_in_nothing_however_it_was_encoded() {
    let before = pod(json!({}), json!({ "resources": { "limits": { "cpu": "1.0" } } }));
    let mut observed = made(&before, &settings(&[]));
    observed["metadata"]["creationTimestamp"] = Value::Null;
    observed["status"] = json!({});
    observed["spec"]["containers"][0]["resources"] = json!({});
    observed["spec"]["resources"]["limits"]["cpu"] = "1".into();
    assert_eq!(told(&before, &observed, &settings(&[])), Vec::<String>::new());
}

#[test]
fn an_image_that_nobody_states_is_the_webhook_s_own_by_its_last_name() {
    let before = pod(json!({ "azure.workload.identity/inject-proxy-sidecar": "true" }), json!({}));
    let with = |proxy: &str| {
        let mut observed = made(&before, &settings(&[]));
        for container in observed["spec"]["initContainers"].as_array_mut().unwrap() {
            let init = container["name"] == "azwi-proxy-init";
            container["image"] = if init { "r.example/proxy-init:v1".into() } else { Value::from(proxy) };
        }
        told(&before, &observed, &settings(&[]))
    };
    assert_eq!(with("r.example:5000/own/proxy:v1.6.0"), Vec::<String>::new());
    for wrong in ["r.example/proxyx:v1", "r.example/proxy-init:v1", "/proxy", ""] {
        assert_eq!(with(wrong).len(), 1, "{wrong}: {:?}", with(wrong));
    }
}

#[test]
fn a_default_of_the_api_server_in_a_volume_that_is_there_already_may_stay_or_go_and_any_other_mode_is_told() {
    let mut before = made(&pod(json!({}), json!({})), &settings(&[]));
    before["spec"]["volumes"][0]["projected"]["defaultMode"] = 0o644.into();
    let written_anew = made(&before, &settings(&[]));
    for observed in [&before, &written_anew] {
        assert_eq!(told(&before, observed, &settings(&[])), Vec::<String>::new());
    }
    let mut narrower = before.clone();
    narrower["spec"]["volumes"][0]["projected"]["defaultMode"] = 0o400.into();
    let told = told(&before, &narrower, &settings(&[]));
    assert!(told.len() == 1 && told[0].contains("defaultMode` to `256`"), "{told:?}");
}

#[test]
fn what_nothing_asks_for_is_named_by_its_path() {
    let before = pod(json!({}), json!({ "securityContext": {}, "restartPolicy": "Never" }));
    let mut observed = made(&before, &settings(&[]));
    observed["spec"]["securityContext"]["fsGroup"] = 1000.into();
    observed["spec"]["restartPolicy"] = "Always".into();
    observed["metadata"]["labels"] = json!({ "a.b/c": "d" });
    observed["spec"]["containers"][1]["env"][0]["value"] = "other".into();
    observed["spec"]["containers"][0]["env"].as_array_mut().unwrap().remove(0);
    let told = told(&before, &observed, &settings(&[]));
    assert_eq!(
        told,
        [
            "set `metadata.labels[a.b/c]` to `\"d\"`, which is not expected",
            "removed `spec.containers[a].env[AZURE_TENANT_ID]`, which was `{\"name\":\"AZURE_TENANT_ID\",\"value\":\"mine\"}`",
            "set `spec.containers[b].env[AZURE_CLIENT_ID].value` to `\"other\"`, which must be `\"client\"`",
            "changed `spec.restartPolicy` from `\"Never\"` to `\"Always\"`, which is not expected",
            "set `spec.securityContext.fsGroup` to `1000`, which is not expected",
        ]
    );
}

#[test]
fn containers_in_another_order_are_told() {
    let before = pod(json!({}), json!({}));
    let mut observed = made(&before, &settings(&[]));
    observed["spec"]["containers"].as_array_mut().unwrap().reverse();
    assert_eq!(
        told(&before, &observed, &settings(&[])),
        ["put `spec.containers` in the order b, a, which must be a, b"]
    );
}

#[test]
fn skipped_containers_keep_what_they_have_and_the_volume_comes_all_the_same() {
    let before = pod(json!({ "azure.workload.identity/skip-containers": "a; c;" }), json!({}));
    let made = made(&before, &settings(&[("audience", "api://Other")]));
    assert_eq!(made["spec"]["containers"][0], before["spec"]["containers"][0]);
    let names: Vec<&Value> =
        made["spec"]["containers"][1]["env"].as_array().unwrap().iter().map(|entry| &entry["name"]).collect();
    assert_eq!(names, ["AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST"]);
    assert_eq!(made["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["audience"], "api://Other");
}

#[test]
fn the_proxy_stands_first_where_sidecars_are_native_and_its_image_is_told_or_any() {
    let asks = pod(
        json!({ "azure.workload.identity/inject-proxy-sidecar": "yes" }),
        json!({ "initContainers": [{ "name": "i" }] }),
    );
    let names = |settings: &Settings, list: &str| -> Vec<String> {
        let made = made(&asks, settings);
        let all = made["spec"][list].as_array().unwrap().iter();
        all.map(|container| container["name"].as_str().unwrap().to_owned()).collect()
    };
    let (native, older) = (settings(&[]), Settings { native_sidecar: false, ..settings(&[]) });
    assert_eq!(names(&native, "initContainers"), ["azwi-proxy", "i", "azwi-proxy-init"]);
    assert_eq!(names(&older, "containers"), ["azwi-proxy", "a", "b"]);
    let mut observed = made(&asks, &native);
    observed["spec"]["initContainers"][0]["image"] = "registry.example/proxy:v1".into();
    observed["spec"]["initContainers"][2]["image"] = "registry.example/proxy-init:v1".into();
    assert!(told(&asks, &observed, &native).is_empty());
    assert_eq!(told(&asks, &observed, &settings(&[("PROXY_IMAGE", "x")])).len(), 1);
    let declined = pod(json!({ "azure.workload.identity/inject-proxy-sidecar": "False" }), json!({}));
    assert!(made(&declined, &native)["spec"]["initContainers"].is_null());
}

#[test]
fn refusals_have_the_texts_that_users_read() {
    let cases = [
        (
            json!({ "azure.workload.identity/service-account-token-expiration": "3599" }),
            json!({}),
            "token expiration 3599 not valid. Expected value to be between 3600 and 86400",
        ),
        (
            json!({ "azure.workload.identity/service-account-token-expiration": "1h" }),
            json!({}),
            "strconv.ParseInt: parsing \"1h\": invalid syntax",
        ),
        (
            json!({ "azure.workload.identity/service-account-token-expiration": "9223372036854775808" }),
            json!({}),
            "strconv.ParseInt: parsing \"9223372036854775808\": value out of range",
        ),
        (
            json!({ "azure.workload.identity/inject-proxy-sidecar": "true", "azure.workload.identity/proxy-sidecar-port": "" }),
            json!({}),
            "failed to parse proxy sidecar port: strconv.ParseInt: parsing \"\": invalid syntax",
        ),
        (
            json!({ "azure.workload.identity/inject-proxy-sidecar": "true" }),
            json!({ "hostNetwork": true }),
            "hostNetwork is set to true, cannot inject proxy sidecar",
        ),
    ];
    for (annotations, spec, message) in cases {
        let refused = expected(&pod(annotations, spec), &account(), &settings(&[]), &LAYOUTS[0]).unwrap_err();
        assert_eq!((refused.status, refused.message.as_str()), (400, message));
    }
}

#[test]
fn the_old_layout_leaves_a_token_of_the_pods_own_alone() {
    let source = json!({ "serviceAccountToken": { "path": "azure-identity-token", "audience": "mine" } });
    let own = json!({ "name": "own", "projected": { "sources": [source] } });
    let before = pod(json!({}), json!({ "volumes": [own] }));
    let old = expected(&before, &account(), &settings(&[]), &LAYOUTS[1]).unwrap();
    assert_eq!(old["spec"]["volumes"], json!([own]));
    assert_eq!(old["spec"]["containers"][0]["volumeMounts"][0]["name"], "azure-identity-token");
}

#[test]
fn an_endpoint_that_is_asked_for_brings_its_audience_variables_and_trust() {
    let bound = settings(&[
        ("custom-token-endpoint-annotation-suffix", "identity-binding"),
        ("custom-token-endpoint-audience", "api://Binding"),
        ("AZURE_KUBERNETES_TOKEN_PROXY", "https://binding.example"),
        ("AZURE_KUBERNETES_CA_CTB_SIGNER_NAME", "a.b/c"),
        ("AZURE_KUBERNETES_CA_CTB_LABEL_SELECTOR", r#"{"matchLabels":{"x":"y"}}"#),
    ]);
    let made = made(&pod(json!({ "azure.workload.identity/use-identity-binding": "True" }), json!({})), &bound);
    let sources = &made["spec"]["volumes"][0]["projected"]["sources"];
    assert_eq!(sources[0]["serviceAccountToken"]["audience"], "api://Binding");
    assert_eq!(sources[1]["clusterTrustBundle"]["labelSelector"]["matchLabels"]["x"], "y");
    let env = made["spec"]["containers"][1]["env"].as_array().unwrap();
    assert_eq!(
        env.last().unwrap(),
        &json!({ "name": "AZURE_KUBERNETES_CA_FILE", "value": "/var/run/secrets/azure/wi/ca-cert/ca.crt" })
    );
}
