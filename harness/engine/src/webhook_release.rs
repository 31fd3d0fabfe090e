//! The manifests of a webhook's release, or a chart that was rendered: any program's, applied as they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wi_model::template::{Bindings, substitute_variables};
use wi_serve::input;

use crate::WEBHOOK;

/// The variable that says whose identities the webhook's pods get.
pub const TENANT: &str = "AZURE_TENANT_ID";
/// Where upstream's releases live, where the manifests do not say.
const NAMESPACE: &str = "azure-workload-identity-system";

/// Everything that a release installs.
pub struct Release {
    /// Its objects, in the order in which to create them. Each has its namespace.
    pub objects: Vec<Value>,
    /// Name of the MutatingWebhookConfiguration that registers the webhook.
    pub registration: String,
    /// Where the webhook lives.
    pub namespace: String,
}

impl Release {
    /// Reads the manifests of a folder, for the tenant of this run.
    ///
    /// # Errors
    /// A file that cannot be read, or no registration of the webhook in any of them; in one line.
    pub fn read(folder: &Path, tenant_id: &str) -> Result<Self, String> {
        let mut objects = objects(folder, tenant_id)?;
        let registers = |object: &&Value| {
            let webhooks = object["webhooks"].as_array().into_iter().flatten();
            object["kind"] == "MutatingWebhookConfiguration"
                && webhooks.into_iter().any(|webhook| webhook["name"] == WEBHOOK)
        };
        let registration = objects.iter().find(registers).ok_or_else(|| {
            format!("{}: no MutatingWebhookConfiguration with webhook {WEBHOOK} in its manifests", folder.display())
        })?;
        let name = registration["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let service = &registration["webhooks"][0]["clientConfig"]["service"];
        let namespace = service["namespace"].as_str().unwrap_or(NAMESPACE).to_owned();
        let is_home =
            |object: &Value| object["kind"] == "Namespace" && object["metadata"]["name"] == namespace.as_str();
        if !objects.iter().any(is_home) {
            objects.insert(0, json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }));
        }
        objects.sort_by_key(rank);
        for object in &mut objects {
            if object["metadata"]["namespace"].is_null() && !is_cluster_scoped(object) {
                object["metadata"]["namespace"] = namespace.clone().into();
            }
        }
        Ok(Release { objects, registration: name, namespace })
    }

    /// The images of its pods, without tag and digest, each with the path at which it holds its program, where the
    /// manifest says it.
    pub fn images(&self) -> BTreeMap<String, Option<PathBuf>> {
        let containers = self.objects.iter().flat_map(containers);
        let of = |container: &Value| {
            let image = container["image"].as_str()?;
            let command = container["command"][0].as_str().map(PathBuf::from).filter(|path| path.is_absolute());
            Some((wi_model::images::repository(image).to_owned(), command))
        };
        containers.filter_map(of).collect()
    }

    /// Whether the webhook makes and rotates its own certificate: it does unless it is told not to.
    pub fn rotates(&self) -> bool {
        let told = |argument: &Value| {
            argument
                .as_str()
                .is_some_and(|argument| ["--disable-cert-rotation", "--disable-cert-rotation=true"].contains(&argument))
        };
        !self
            .objects
            .iter()
            .flat_map(containers)
            .any(|container| container["args"].as_array().into_iter().flatten().any(told))
    }

    /// Changes settings of the webhook: a variable in each of its containers, or a flag behind the others, which wins.
    pub fn set(&mut self, settings: &BTreeMap<String, String>) {
        for object in &mut self.objects {
            let Some(containers) = object.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut)
            else {
                continue;
            };
            for container in containers {
                for (name, value) in settings {
                    set(container, name, value);
                }
            }
        }
    }
}

/// Whether a setting is a variable; others are flags.
pub fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
}

fn set(container: &mut Value, name: &str, value: &str) {
    let (list, entry) = if is_variable(name) {
        ("env", json!({ "name": name, "value": value }))
    } else {
        ("args", json!(format!("--{name}={value}")))
    };
    if !container[list].is_array() {
        container[list] = json!([]);
    }
    if let Some(list) = container[list].as_array_mut() {
        list.retain(|known| known["name"] != name);
        list.push(entry);
    }
}

/// The containers of a workload's pods.
fn containers(object: &Value) -> impl Iterator<Item = &Value> {
    let spec = &object["spec"]["template"]["spec"];
    ["initContainers", "containers"].into_iter().flat_map(|list| spec[list].as_array().into_iter().flatten())
}

/// The objects of a folder's manifests.
fn objects(folder: &Path, tenant_id: &str) -> Result<Vec<Value>, String> {
    let fault = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|error| fault(folder, error))? {
        let path = entry.map_err(|error| fault(folder, error))?.path();
        if path.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known)) {
            paths.push(path);
        }
    }
    paths.sort();
    let variables: Bindings =
        [(TENANT.to_owned(), tenant_id.to_owned()), ("AZURE_ENVIRONMENT".to_owned(), "AzurePublicCloud".to_owned())]
            .into();
    let mut objects = Vec::new();
    for path in paths {
        let text = input::read_text(&path, input::DOCUMENT).map_err(|error| fault(&path, error))?;
        // The upstream release writes a default behind the name, which its variable does not need here.
        let text = substitute_variables(
            &text.replace("${AZURE_ENVIRONMENT:-AzurePublicCloud}", "AzurePublicCloud"),
            &variables,
        );
        let shown = path.display().to_string();
        let told = |faults: Vec<wi_model::parse::InvalidScenario>| {
            faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        objects.extend(wi_model::manifest::objects(&shown, &text).map_err(told)?);
    }
    for object in &mut objects {
        // A rendered chart holds the tenant of whoever rendered it.
        if object["kind"] == "ConfigMap" && object["data"][TENANT].is_string() {
            object["data"][TENANT] = tenant_id.into();
        }
    }
    Ok(objects)
}

fn is_cluster_scoped(object: &Value) -> bool {
    let kind = object["kind"].as_str().unwrap_or_default();
    kind.starts_with("Cluster")
        || kind.ends_with("WebhookConfiguration")
        || ["Namespace", "CustomResourceDefinition", "PriorityClass"].contains(&kind)
}

/// What others need goes first; a registration, which stops pods while nobody answers, goes last.
fn rank(object: &Value) -> u8 {
    match object["kind"].as_str().unwrap_or_default() {
        "Namespace" | "CustomResourceDefinition" => 0,
        "ServiceAccount" | "ClusterRole" | "Role" => 1,
        "ClusterRoleBinding" | "RoleBinding" | "ConfigMap" | "Secret" => 2,
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => 4,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(args: &str) -> Release {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\nmetadata: {{ name: c }}\nwebhooks:\n\
             - name: mutation.azure-workload-identity.io\n  clientConfig: {{ service: {{ namespace: home, name: s }} }}\n---\n\
             apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: m }}\ndata: {{ AZURE_TENANT_ID: other, AZURE_ENVIRONMENT: ${{AZURE_ENVIRONMENT:-AzurePublicCloud}} }}\n---\n\
             apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: d, namespace: home }}\nspec:\n  template:\n    spec:\n      containers:\n      - {{ name: manager, image: 'r.example:5000/a/webhook:v1@sha256:0', command: [/manager], args: [{args}], env: [{{ name: A, value: '1' }}] }}\n"
        );
        std::fs::write(folder.path().join("all.yaml"), text).unwrap();
        Release::read(folder.path(), "tenant").unwrap()
    }

    #[test]
    fn a_release_is_read_as_it_is_for_this_runs_tenant_and_its_registration_goes_last() {
        let release = release("--log-level=info");
        let kinds: Vec<&str> = release.objects.iter().filter_map(|object| object["kind"].as_str()).collect();
        assert_eq!(kinds, ["Namespace", "ConfigMap", "Deployment", "MutatingWebhookConfiguration"]);
        assert_eq!(release.objects[1]["metadata"]["namespace"], "home");
        assert_eq!(
            release.objects[1]["data"],
            json!({ "AZURE_TENANT_ID": "tenant", "AZURE_ENVIRONMENT": "AzurePublicCloud" })
        );
        assert_eq!(release.images(), [("r.example:5000/a/webhook".to_owned(), Some("/manager".into()))].into());
        assert!(release.rotates() && !self::release("--disable-cert-rotation=true").rotates());
    }

    #[test]
    fn a_setting_of_a_case_wins_over_the_releases_own() {
        let mut release = release("--audience=a");
        let settings =
            [("A", "2"), ("B", "3"), ("audience", "b")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        release.set(&settings.into());
        let container = &release.objects[2]["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["args"], json!(["--audience=a", "--audience=b"]));
        assert_eq!(container["env"], json!([{ "name": "A", "value": "2" }, { "name": "B", "value": "3" }]));
    }

    #[test]
    fn a_folder_without_a_registration_is_told_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let error = Release::read(folder.path(), "t").err().unwrap();
        assert!(
            error.contains("no MutatingWebhookConfiguration with webhook mutation.azure-workload-identity.io"),
            "{error}"
        );
    }
}
