//! What is known beforehand of the programs behind image names.

/// Whether a program prints what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    /// It prints documents, or the line of the upstream samples.
    Speaks,
    /// It prints nothing that is judged.
    Silent,
    /// Nobody knows.
    Unknown,
}

/// The upstream project's samples.
const SAMPLES: &str = "ghcr.io/azure/azure-workload-identity/msal-";
/// Programs that print nothing that is judged.
const WAITING: [&str; 4] =
    ["quickstart/pause", "wi-conformance/pause", "registry.k8s.io/pause", "wi-conformance/forward-proxy"];
/// The quick-start program.
const QUICKSTARTS: [&str; 2] = ["quickstart/rust", "wi-conformance/quickstart"];

/// What is known of an image's program.
pub fn speech(image: &str) -> Speech {
    let name = repository(image);
    if WAITING.contains(&name) {
        Speech::Silent
    } else if QUICKSTARTS.contains(&name) || name.starts_with(SAMPLES) {
        Speech::Speaks
    } else {
        Speech::Unknown
    }
}

/// An image's name without tag and digest; a registry's port is no tag.
pub fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_digests_do_not_matter() {
        assert_eq!(speech("quickstart/rust:1.0"), Speech::Speaks);
        assert_eq!(speech("ghcr.io/azure/azure-workload-identity/msal-go@sha256:00"), Speech::Speaks);
        assert_eq!(speech("registry.k8s.io/pause:3.10"), Speech::Silent);
        assert_eq!(speech("localhost:5000/app"), Speech::Unknown);
    }
}
