//! Plain Kubernetes manifests.

use serde_json::Value;

use crate::located::Located;
use crate::parse::{InvalidScenario, Reason};

/// The objects of a manifest file: YAML with any number of documents, or JSON; `kind: List` is opened.
///
/// # Errors
/// Text that is not YAML, or every document that is not a Kubernetes object, with its place.
pub fn objects(path: &str, text: &str) -> Result<Vec<Value>, Vec<InvalidScenario>> {
    let documents: Vec<Located<Value>> =
        serde_saphyr::from_multiple(text).map_err(|error| vec![InvalidScenario::yaml(path, &error)])?;
    let mut objects = Vec::new();
    for document in documents {
        if document.value.is_null() {
            continue;
        }
        if document.value["kind"] == "List" {
            let items = document.value["items"].as_array().cloned().unwrap_or_default();
            objects.extend(items.into_iter().map(|value| Located { value, at: document.at }));
        } else {
            objects.push(document);
        }
    }
    let faults: Vec<InvalidScenario> = objects
        .iter()
        .enumerate()
        .filter_map(|(index, object)| Some((index, object.at, check_object(&object.value).err()?)))
        .map(|(index, at, what)| {
            InvalidScenario::new(path, at, Reason::Manifest(format!("object {}: {what}", index + 1)))
        })
        .collect();
    if faults.is_empty() { Ok(objects.into_iter().map(|object| object.value).collect()) } else { Err(faults) }
}

/// The kinds that a CustomResourceDefinition adds, by API version and kind; none for any other object.
pub fn kinds_of(object: &Value) -> Vec<(String, String)> {
    if object["kind"] != "CustomResourceDefinition" {
        return Vec::new();
    }
    let (group, kind) = (&object["spec"]["group"], &object["spec"]["names"]["kind"]);
    let (Some(group), Some(kind)) = (group.as_str(), kind.as_str()) else { return Vec::new() };
    let versions = object["spec"]["versions"].as_array().into_iter().flatten();
    let served = versions.filter(|version| version["served"] == true).filter_map(|version| version["name"].as_str());
    served.map(|version| (format!("{group}/{version}"), kind.to_owned())).collect()
}

/// Where the spec of a pod is in an object: in a pod, or in the template of what makes pods.
pub fn pod_spec(object: &Value) -> Option<&'static str> {
    ["/spec/jobTemplate/spec/template/spec", "/spec/template/spec", "/spec"]
        .into_iter()
        .find(|path| object.pointer(path).is_some_and(|spec| spec["containers"].is_array()))
}

/// Says what an object lacks to be a Kubernetes object.
///
/// # Errors
/// The missing field.
pub fn check_object(object: &Value) -> Result<(), String> {
    for field in ["apiVersion", "kind"] {
        if object[field].as_str().is_none_or(str::is_empty) {
            return Err(format!(
                "`{field}` is missing; a manifest is a Kubernetes object with apiVersion, kind and metadata"
            ));
        }
    }
    let name = |field: &str| object["metadata"][field].as_str().is_some_and(|name| !name.is_empty());
    if name("name") || name("generateName") { Ok(()) } else { Err("`metadata.name` is missing".to_owned()) }
}

/// Kubernetes' own kinds that live in no namespace.
pub fn cluster_scoped(kind: &str) -> bool {
    matches!(
        kind,
        "Namespace"
            | "Node"
            | "PersistentVolume"
            | "ClusterRole"
            | "ClusterRoleBinding"
            | "PriorityClass"
            | "StorageClass"
            | "CSIDriver"
            | "CSINode"
            | "VolumeAttachment"
            | "IngressClass"
            | "RuntimeClass"
            | "APIService"
            | "CertificateSigningRequest"
            | "FlowSchema"
            | "PriorityLevelConfiguration"
            | "CustomResourceDefinition"
            | "MutatingWebhookConfiguration"
            | "ValidatingWebhookConfiguration"
            | "MutatingAdmissionPolicy"
            | "MutatingAdmissionPolicyBinding"
            | "ValidatingAdmissionPolicy"
            | "ValidatingAdmissionPolicyBinding"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_and_lists_are_opened_and_empty_ones_skipped() {
        let text = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: b}}\n";
        let kinds: Vec<Value> = objects("m.yaml", text).unwrap().iter().map(|o| o["kind"].clone()).collect();
        assert_eq!(kinds, ["Namespace", "Pod"]);
    }

    #[test]
    fn a_document_that_is_no_object_is_an_error_that_names_the_file() {
        let text = "kind: Pod\n---\napiVersion: v1\nkind: Secret\n";
        let told: Vec<String> = objects("m.yaml", text).unwrap_err().iter().map(ToString::to_string).collect();
        assert!(told[0].starts_with("m.yaml:1:1: object 1: `apiVersion` is missing"), "{told:?}");
        assert!(told[1].starts_with("m.yaml:3:1: object 2: `metadata.name` is missing"), "{told:?}");
    }
}
