//! The image of the proxy that webhooks inject: what it holds, wherever it is brought to.

use std::collections::{BTreeMap, BTreeSet};

/// Its program. The hook of the container that webhooks inject calls it by this path.
pub const PROGRAM: &str = "/proxy";
/// The certificates that it trusts. A webhook injects none, so they are in the image.
pub const TRUST: &str = "/etc/wi-conformance/azure.pem";
/// Whom the upstream image runs as; its init container lets this user's requests through.
pub const USER: u32 = 1501;

/// What the image sets, with what the proxy shall do wrong.
pub fn env(breaks: &BTreeSet<String>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([("SSL_CERT_FILE".to_owned(), TRUST.to_owned())]);
    if !breaks.is_empty() {
        let breaks: Vec<&str> = breaks.iter().map(String::as_str).collect();
        env.insert("PROXY_BREAKS".to_owned(), breaks.join(","));
    }
    env
}
