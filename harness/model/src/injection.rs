//! What a pod carries of workload identity: read from the stored pod, with names and paths of both webhook profiles.

use std::collections::BTreeMap;

use serde_json::Value;

/// Names and paths of a webhook profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The profile's name.
    pub profile: &'static str,
    /// Where the volume is mounted.
    pub mount_path: &'static str,
    /// Path of the token inside the volume.
    pub token_path: &'static str,
}

/// Both profiles: from 1.6.0 on the file lives in a directory of its own and the volume's name is derived from the pod's.
pub const LAYOUTS: [Layout; 2] = [
    Layout { profile: "1.6", mount_path: "/var/run/secrets/azure/wi", token_path: "token/azure-identity-token" },
    Layout { profile: "1.5", mount_path: "/var/run/secrets/azure/tokens", token_path: "azure-identity-token" },
];

/// What the name of the reserved volume begins with, from 1.6.0 on.
pub const RESERVED_VOLUME: &str = "azure-workload-identity-reserved-";

/// Annotation of an account or a pod: how long the token shall live, in seconds.
pub const EXPIRATION_ANNOTATION: &str = "azure.workload.identity/service-account-token-expiration";

/// The four variables that workload identity adds.
pub const VARIABLES: [&str; 4] =
    ["AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST"];

/// The audience that Entra expects of a federated token.
pub const AUDIENCE: &str = "api://AzureADTokenExchange";

/// Life of a projected token where nobody asks for another, in seconds.
pub const EXPIRATION: i64 = 3600;

impl Layout {
    /// The layout of a profile.
    pub fn of(profile: &str) -> Option<Layout> {
        LAYOUTS.into_iter().find(|layout| layout.profile == profile)
    }

    /// Absolute path of the token file.
    pub fn token_file(&self) -> String {
        format!("{}/{}", self.mount_path, self.token_path)
    }
}

impl Layout {
    /// The volume's name, where the profile derives it: the prefix and 30 hex digits of the SHA-256 of the pod's name, or of
    /// its `generateName` with ` (prefix)` where it had no name of its own yet. Of a pod that has both, which came first
    /// cannot be told: a ReplicaSet gives its pods no name, a StatefulSet does.
    pub fn volume_names(&self, pod: &Value) -> Vec<String> {
        if self.profile == "1.5" {
            return Vec::new();
        }
        let text = |field: &str| pod["metadata"][field].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let names = text("generateName").map(|prefix| format!("{prefix} (prefix)")).into_iter().chain(text("name"));
        names.map(|name| format!("{RESERVED_VOLUME}{}", &crate::secret::sha256_hex(name.as_bytes())[..30])).collect()
    }
}

/// The layout that a pod shows: the one whose path is mounted somewhere in it.
pub fn shown_layout(pod: &Value) -> Option<Layout> {
    let containers = containers(pod);
    let mounted =
        |layout: &Layout| containers.iter().any(|c| c.mounts.iter().any(|(_, path, _)| *path == layout.mount_path));
    LAYOUTS.into_iter().find(mounted)
}

/// A container with what it carries of workload identity.
#[derive(Debug, Clone)]
pub struct Container<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its environment entries by name; `None` where the value comes from elsewhere. Later entries win.
    pub env: BTreeMap<&'a str, Option<&'a str>>,
    /// How often each name occurs, for those that occur more than once.
    pub repeated: Vec<&'a str>,
    /// Mounts: volume name, path, read-only.
    pub mounts: Vec<(&'a str, &'a str, bool)>,
}

/// A projected service-account token in a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSource<'a> {
    /// The volume.
    pub volume: &'a str,
    /// Its path in the volume.
    pub path: &'a str,
    /// Its audience; empty for the API server's own.
    pub audience: &'a str,
    /// Its requested life in seconds.
    pub expiration: i64,
    /// The mode of the volume's files, where it says one.
    pub default_mode: Option<i64>,
}

/// All containers of a pod, init containers first.
pub fn containers(pod: &Value) -> Vec<Container<'_>> {
    ["initContainers", "containers"]
        .iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
        .map(|container| {
            let mut env = BTreeMap::new();
            let mut repeated = Vec::new();
            for entry in container["env"].as_array().into_iter().flatten() {
                let Some(name) = entry["name"].as_str() else { continue };
                // An entry without a value is the empty string, unless its value comes from elsewhere.
                let value = entry["value"].as_str().or(if entry["valueFrom"].is_null() { Some("") } else { None });
                if env.insert(name, value).is_some() {
                    repeated.push(name);
                }
            }
            let mounts = container["volumeMounts"].as_array().into_iter().flatten();
            Container {
                name: container["name"].as_str().unwrap_or_default(),
                env,
                repeated,
                mounts: mounts
                    .map(|mount| {
                        (
                            mount["name"].as_str().unwrap_or_default(),
                            mount["mountPath"].as_str().unwrap_or_default(),
                            mount["readOnly"].as_bool().unwrap_or(false),
                        )
                    })
                    .collect(),
            }
        })
        .collect()
}

/// Every projected service-account token of a pod.
pub fn token_sources(pod: &Value) -> Vec<TokenSource<'_>> {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    volumes
        .flat_map(|volume| {
            let sources = volume["projected"]["sources"].as_array().into_iter().flatten();
            sources.filter_map(move |source| {
                let token = source["serviceAccountToken"].as_object()?;
                Some(TokenSource {
                    volume: volume["name"].as_str().unwrap_or_default(),
                    path: token.get("path").and_then(Value::as_str).unwrap_or_default(),
                    audience: token.get("audience").and_then(Value::as_str).unwrap_or_default(),
                    expiration: token.get("expirationSeconds").and_then(Value::as_i64).unwrap_or(EXPIRATION),
                    default_mode: volume["projected"]["defaultMode"].as_i64(),
                })
            })
        })
        .collect()
}

/// The tokens that are not for the API server: those that workload identity adds carry an audience.
pub fn identity_tokens(pod: &Value) -> Vec<TokenSource<'_>> {
    token_sources(pod).into_iter().filter(|source| !source.audience.is_empty()).collect()
}

/// Containers that the pod asks to leave alone: semicolon separated, blanks trimmed.
pub fn skipped(pod: &Value) -> Vec<&str> {
    pod["metadata"]["annotations"]["azure.workload.identity/skip-containers"]
        .as_str()
        .unwrap_or_default()
        .split(';')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Computed with the code of version 1.6.0.
    #[test]
    fn the_reserved_volume_is_named_after_the_pod_or_its_prefix() {
        let vectors = [
            (json!({ "name": "quick-start" }), "a94beddb35177ade9c5d04f292b481"),
            (
                json!({ "name": "app-7d9f8c6b5-x2x4z", "generateName": "app-7d9f8c6b5-" }),
                "29e0d715e96d0fa76486c4aeaff93c",
            ),
            (json!({ "generateName": "job-onetime-" }), "ebc689e7a10eb8d72013d9fac46bb6"),
        ];
        for (metadata, digits) in vectors {
            let name = LAYOUTS[0].volume_names(&json!({ "metadata": metadata })).remove(0);
            assert_eq!((name.as_str(), name.len()), (format!("{RESERVED_VOLUME}{digits}").as_str(), 63));
        }
        assert!(LAYOUTS[1].volume_names(&json!({ "metadata": { "name": "p" } })).is_empty());
    }
}
