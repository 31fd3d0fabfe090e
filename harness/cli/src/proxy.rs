//! The image of the proxy that webhooks inject: what it holds, wherever it is brought to, and its program.

use std::collections::{BTreeMap, BTreeSet};

use wi_reference_proxy::{Args, Proxy};

use crate::console;

/// Its program. The hook of the container that webhooks inject calls it by this path.
pub(crate) const PROGRAM: &str = "/proxy";
/// The certificates that it trusts. A webhook injects none, so they are in the image.
pub(crate) const TRUST: &str = "/etc/wi-conformance/azure.pem";
/// Whom the upstream image runs as; its init container lets this user's requests through.
pub(crate) const USER: u32 = 1501;

/// What the image sets, with what the proxy shall do wrong.
pub(crate) fn env(breaks: &BTreeSet<String>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([("SSL_CERT_FILE".to_owned(), TRUST.to_owned())]);
    if !breaks.is_empty() {
        let breaks: Vec<&str> = breaks.iter().map(String::as_str).collect();
        env.insert("PROXY_BREAKS".to_owned(), breaks.join(","));
    }
    env
}

/// Runs it to its end, or asks whether another is ready. The exit code.
pub(crate) async fn run(args: &Args) -> u8 {
    // Of the proxy's own words alone: what a library logs of an exchange is not for a log that others read.
    let filter = format!("wi_reference_proxy={}", args.level());
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    let ended = if args.probe {
        wi_reference_proxy::probe(args.proxy_port).await.map_err(|error| error.to_string())
    } else {
        match Proxy::of(args) {
            Ok(proxy) => proxy.serve(args.proxy_port, wi_quickstart::pause()).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    };
    match ended {
        Ok(()) => 0,
        Err(why) => {
            console::tell(why);
            1
        }
    }
}
