//! Plain Kubernetes manifests.

use serde_json::Value;

use crate::parse::{InvalidScenario, Reason};

/// The objects of a manifest file: YAML with any number of documents, or JSON; `kind: List` is opened.
///
/// # Errors
/// Text that is not YAML, or a document that is not a Kubernetes object.
pub fn objects(path: &str, text: &str) -> Result<Vec<Value>, InvalidScenario> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| InvalidScenario::yaml(path, &error))?;
    let mut objects = Vec::new();
    for document in documents {
        if document.is_null() {
            continue;
        }
        if document["kind"] == "List" {
            objects.extend(document["items"].as_array().cloned().unwrap_or_default());
        } else {
            objects.push(document);
        }
    }
    for (index, object) in objects.iter().enumerate() {
        check_object(object).map_err(|what| {
            InvalidScenario::new(
                path,
                crate::located::Position::default(),
                Reason::Manifest(format!("object {}: {what}", index + 1)),
            )
        })?;
    }
    Ok(objects)
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
        let error = objects("m.yaml", "kind: Pod\n").unwrap_err();
        assert!(error.to_string().starts_with("m.yaml: object 1: `apiVersion` is missing"), "{error}");
    }
}
