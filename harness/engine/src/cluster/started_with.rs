//! What the program behind a Service was started with, as its pod says.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Cluster, sentence};

impl Cluster {
    /// Flags without their dashes and variables by name, of the first pod behind a Service; `None` while there is none.
    ///
    /// # Errors
    /// Something could not be read; in one line.
    pub(crate) async fn started_with(
        &self,
        namespace: &str,
        service: &str,
    ) -> Result<Option<BTreeMap<String, String>>, String> {
        let get = async |kind: &str, name: &str| {
            self.get("v1", kind, Some(namespace), name).await.map_err(|error| sentence(&error))
        };
        let endpoints = get("Endpoints", service).await?.unwrap_or_default();
        let subsets = endpoints["subsets"].as_array().into_iter().flatten();
        let mut addresses = subsets.flat_map(|subset| subset["addresses"].as_array().into_iter().flatten());
        let Some(pod) = addresses.find_map(|address| address["targetRef"]["name"].as_str()) else { return Ok(None) };
        let Some(pod) = get("Pod", pod).await? else { return Ok(None) };
        let containers = pod["spec"]["containers"].as_array().cloned().unwrap_or_default();
        // Others may have put a sidecar beside it.
        let Some(container) = containers.iter().find(|container| is_the_webhook(container)).or(containers.first())
        else {
            return Ok(None);
        };
        let mut values = BTreeMap::new();
        for source in container["envFrom"].as_array().into_iter().flatten() {
            if let Some(name) = source["configMapRef"]["name"].as_str() {
                let map = get("ConfigMap", name).await?.unwrap_or_default();
                values.extend(texts(&map["data"]));
            }
        }
        for entry in container["env"].as_array().into_iter().flatten() {
            let Some(name) = entry["name"].as_str() else { continue };
            let reference = &entry["valueFrom"]["configMapKeyRef"];
            let value = match (entry["value"].as_str(), reference["name"].as_str(), reference["key"].as_str()) {
                (Some(value), _, _) => Some(value.to_owned()),
                (None, Some(map), Some(key)) => {
                    get("ConfigMap", map).await?.unwrap_or_default()["data"][key].as_str().map(str::to_owned)
                }
                (None, _, _) => None,
            };
            values.extend(value.map(|value| (name.to_owned(), value)));
        }
        values.extend(flags(container));
        Ok(Some(values))
    }
}

/// Whether a container is the webhook's own, and no sidecar of another user's.
fn is_the_webhook(container: &Value) -> bool {
    let told = |list: &str, word: &str| {
        container[list].as_array().is_some_and(|all| {
            all.iter().any(|one| {
                one.as_str().or(one["name"].as_str()).is_some_and(|text| text.trim_start_matches('-').starts_with(word))
            })
        })
    };
    told("env", "AZURE_TENANT_ID") || told("args", "webhook-cert-dir") || container["name"] == "manager"
}

fn texts(map: &Value) -> impl Iterator<Item = (String, String)> {
    let entries = map.as_object().into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
}

/// `--flag=value`, `--flag value`, and `--flag` alone, which is true.
fn flags(container: &Value) -> Vec<(String, String)> {
    let lists = ["command", "args"].iter().flat_map(|list| container[list].as_array().into_iter().flatten());
    let words: Vec<&str> = lists.filter_map(Value::as_str).collect();
    let mut found = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let Some(flag) = word.strip_prefix('-') else { continue };
        let flag = flag.trim_start_matches('-');
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, value),
            None => (flag, words.get(index + 1).copied().filter(|next| !next.starts_with('-')).unwrap_or("true")),
        };
        found.push((name.to_owned(), value.to_owned()));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn flags_are_read_in_every_form_that_programs_take() {
        let container = json!({ "command": ["/manager"], "args": ["--audience=api://x", "-log-level", "info", "--disable-cert-rotation", "--empty="] });
        let expected =
            [("audience", "api://x"), ("log-level", "info"), ("disable-cert-rotation", "true"), ("empty", "")];
        assert_eq!(flags(&container), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
