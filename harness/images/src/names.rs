//! What program an image name stands for: `images.yaml`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;
use wi_model::images::repository;

const TABLE: &str = include_str!("../images.yaml");

/// A built-in program of an image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuiltIn {
    /// `quickstart`, `pause`, `forward-proxy`, `admission-policy`, `proxy` or `proxy-init`.
    pub program: String,
    /// Environment that the image sets.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

impl BuiltIn {
    /// Whether webhooks put it into pods, and no scenario names it.
    pub fn is_injected(&self) -> bool {
        ["proxy", "proxy-init"].contains(&self.program.as_str())
    }
}

/// The built-in program of an image, by its name without tag and digest; `None` where it stands for nothing here.
pub fn resolve(image: &str) -> Option<BuiltIn> {
    table().get(repository(image)).cloned()
}

/// Every image name of the table, with its built-in program.
pub fn all() -> impl Iterator<Item = (&'static str, &'static BuiltIn)> {
    table().iter().map(|(name, built_in)| (name.as_str(), built_in))
}

/// The images of this table that scenarios name.
pub fn named() -> impl Iterator<Item = (&'static str, &'static BuiltIn)> {
    all().filter(|(_, built_in)| !built_in.is_injected())
}

/// Those among them that no registry has unless somebody puts them there: their names begin with none.
pub fn ours() -> impl Iterator<Item = (&'static str, &'static BuiltIn)> {
    named().filter(|(name, _)| registry(name).is_none())
}

/// The registry that an image's name begins with: a first part with a dot or a port, as Docker tells it from a folder.
pub fn registry(image: &str) -> Option<&str> {
    let (first, _) = image.split_once('/')?;
    (first == "localhost" || first.contains(['.', ':'])).then_some(first)
}

fn table() -> &'static BTreeMap<String, BuiltIn> {
    static PARSED: OnceLock<BTreeMap<String, BuiltIn>> = OnceLock::new();
    PARSED.get_or_init(|| serde_saphyr::from_str(TABLE).expect("images.yaml is tested"))
}

/// The name of a built-in image in a registry.
pub fn in_registry(registry: &str, name: &str) -> String {
    format!("{}/{name}", registry.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_of_the_table_is_a_program_that_exists() {
        assert!(table().len() >= 8);
        let programs = ["quickstart", "pause", "forward-proxy", "admission-policy", "proxy", "proxy-init"];
        assert!(table().values().all(|entry| programs.contains(&entry.program.as_str())));
    }

    #[test]
    fn what_webhooks_inject_is_known_by_every_name_and_is_nothing_to_bring_for_scenarios() {
        for folder in ["oss/azure/workload-identity", "oss/v2/azure/workload-identity"] {
            for program in ["proxy", "proxy-init"] {
                let image = format!("mcr.microsoft.com/{folder}/{program}:v1.6.0");
                assert_eq!(resolve(&image).map(|entry| entry.program).as_deref(), Some(program), "{image}");
            }
        }
        assert!(resolve("wi-conformance/proxy:test").is_some_and(|entry| entry.is_injected()));
        assert!(named().all(|(_, entry)| !entry.is_injected()));
    }

    #[test]
    fn images_of_upstream_come_from_their_registry_and_ours_from_none() {
        assert_eq!(
            ours().map(|(name, _)| name).collect::<Vec<_>>(),
            [
                "quickstart/pause",
                "quickstart/rust",
                "wi-conformance/admission-policy",
                "wi-conformance/forward-proxy",
                "wi-conformance/pause",
                "wi-conformance/quickstart",
            ]
        );
        assert_eq!(registry("ghcr.io/azure/azure-workload-identity/msal-go:v1"), Some("ghcr.io"));
        assert_eq!(registry("localhost:5000/a"), Some("localhost:5000"));
        assert_eq!((registry("a/b.c"), registry("nginx:1")), (None, None));
    }

    #[test]
    fn tags_and_digests_are_no_part_of_the_name_but_ports_are() {
        assert_eq!(repository("a/b:1"), "a/b");
        assert_eq!(repository("a/b@sha256:00"), "a/b");
        assert_eq!(repository("localhost:5000/b"), "localhost:5000/b");
    }

    #[test]
    fn samples_are_known_with_and_without_a_tag_and_others_are_not() {
        let sample = "ghcr.io/azure/azure-workload-identity/msal-net";
        for image in [sample.to_owned(), format!("{sample}:v1.6.0"), format!("{sample}@sha256:00")] {
            assert_eq!(resolve(&image).map(|entry| entry.program), Some("quickstart".to_owned()), "{image}");
        }
        assert_eq!(resolve("nginx:latest"), None);
    }
}
