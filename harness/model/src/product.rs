//! What product a webhook is, and which version of it.

use semver::Version;
use serde::{Deserialize, Serialize};

/// The upstream project, as it calls itself in its user agent.
pub const UPSTREAM: &str = "azure-workload-identity";

/// A product and its version, as the program itself or its image tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Product {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
}

impl Product {
    /// A product of a version as programs write it, with or without a `v` before it. `None` where that is no version.
    pub fn new(name: &str, version: &str) -> Option<Self> {
        let version = Version::parse(version.trim().trim_start_matches('v')).ok()?;
        Some(Product { name: name.to_owned(), version })
    }

    /// The profile that it follows, where that is known of the product: upstream changed names and paths with 1.6,
    /// its pre-releases included.
    pub fn profile(&self) -> Option<&'static str> {
        (self.name == UPSTREAM).then(|| if (self.version.major, self.version.minor) >= (1, 6) { "1.6" } else { "1.5" })
    }

    /// The product that an image is of, where its name and tag tell: upstream's images, from whatever registry.
    pub fn of_image(image: &str) -> Option<Self> {
        let (name, tag) = image.split('@').next()?.rsplit_once(':')?;
        name.ends_with("azure/workload-identity/webhook").then(|| Product::new(UPSTREAM, tag))?
    }

    /// The product that a webhook's log names. Upstream's writes its user agent there when it starts:
    /// `azure-workload-identity/webhook/v1.6.0 (linux/amd64) ...`.
    pub fn of_log(log: &str) -> Option<Self> {
        log.match_indices("/webhook/").find_map(|(at, mark)| {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
            let name = log[..at].rsplit(|c| !word(c)).next().filter(|name| !name.is_empty())?;
            let rest = &log[at + mark.len()..];
            let end = rest.find(|c| !word(c) && c != '+')?;
            rest[end..].starts_with(" (").then(|| Product::new(name, &rest[..end]))?
        })
    }

    /// The product that `--version` told: upstream's answers with a JSON object from 1.6.0 on.
    pub fn of_version_output(text: &str) -> Option<Self> {
        let told: serde_json::Value = text.lines().find_map(|line| serde_json::from_str(line).ok())?;
        let name = told["product"].as_str().unwrap_or(UPSTREAM);
        Product::new(name, told["buildVersion"].as_str()?)
    }
}

impl std::fmt::Display for Product {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// A range of versions, both ends belonging to it. Without an end it is open there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Versions {
    /// The first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Version>,
    /// The last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Version>,
}

impl Versions {
    /// Whether a version is one of them. A pre-release comes before its release.
    pub fn holds(&self, version: &Version) -> bool {
        self.from.as_ref().is_none_or(|from| from <= version) && self.to.as_ref().is_none_or(|to| version <= to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(product: Option<Product>) -> String {
        product.map_or_else(|| "unknown".to_owned(), |product| product.to_string())
    }

    #[test]
    fn a_product_is_told_by_its_log_its_version_output_and_its_image_and_is_unknown_otherwise() {
        let log = r#"{"level":"info","message":"setting up manager","userAgent":"azure-workload-identity/webhook/v1.5.1 (linux/amd64) 30e0f1b/2025"}"#;
        assert_eq!(shown(Product::of_log(log)), "azure-workload-identity 1.5.1");
        let path = "serving /webhook/v1 (test) at /mutate and x/webhook/latest (linux)";
        assert_eq!(shown(Product::of_log(path)), "unknown");
        let told = "{\"buildVersion\":\"v1.6.0\",\"gitCommit\":\"04d01a2\",\"goVersion\":\"go1.26.4\"}\n";
        assert_eq!(shown(Product::of_version_output(told)), "azure-workload-identity 1.6.0");
        assert_eq!(shown(Product::of_version_output("flag provided but not defined: -version")), "unknown");
        for (image, expected) in [
            (
                "mcr.microsoft.com/oss/v2/azure/workload-identity/webhook:v1.6.0-alpha.1",
                "azure-workload-identity 1.6.0-alpha.1",
            ),
            ("registry:5000/oss/azure/workload-identity/webhook:v1.5.1@sha256:00", "azure-workload-identity 1.5.1"),
            ("mcr.microsoft.com/oss/azure/workload-identity/webhook:latest", "unknown"),
            ("mcr.microsoft.com/oss/azure/workload-identity/proxy:v1.6.0", "unknown"),
            ("somebody/webhook:v1.6.0", "unknown"),
        ] {
            assert_eq!(shown(Product::of_image(image)), expected, "{image}");
        }
    }

    #[test]
    fn a_range_holds_both_its_ends_and_a_pre_release_comes_before_its_release() {
        let versions = |from: Option<&str>, to: Option<&str>| Versions {
            from: from.map(|text| text.parse().unwrap()),
            to: to.map(|text| text.parse().unwrap()),
        };
        let holds = |versions: &Versions, text: &str| versions.holds(&text.parse().unwrap());
        let up_to = versions(None, Some("1.6.0"));
        assert!(holds(&up_to, "1.6.0") && holds(&up_to, "1.5.1") && holds(&up_to, "1.6.0-alpha.1"));
        assert!(!holds(&up_to, "1.6.1-alpha.1") && !holds(&up_to, "1.6.1"));
        assert!(!holds(&versions(Some("1.6.0"), None), "1.6.0-alpha.1"));
        assert!(holds(&Versions::default(), "0.0.1"));
    }

    #[test]
    fn the_profile_follows_from_upstreams_version_and_from_no_other_products() {
        let profile = |name, version| Product::new(name, version).unwrap().profile();
        assert_eq!(profile(UPSTREAM, "v1.5.1"), Some("1.5"));
        assert_eq!(profile(UPSTREAM, "1.6.0-alpha.1"), Some("1.6"));
        assert_eq!(profile(UPSTREAM, "2.0.0"), Some("1.6"));
        assert_eq!(profile("other", "1.6.0"), None);
    }
}
