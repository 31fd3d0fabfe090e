//! What every pod is given where the environment is for everybody's pods: names and trust for the Azure beside it, as pods
//! of a run have them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use wi_azure_emulator::AzureEmulator;
use wi_process_node::Extras;

use super::AZURE_ADDRESS;

/// The annotation by which a pod declines, and its value.
const DECLINED: (&str, &str) = ("wi-conformance/azure", "none");

/// Where a container finds the certificates.
const BUNDLE: &str = "/var/run/secrets/wi-conformance/azure/ca.crt";

/// What tells the usual runtimes to believe them: Go, OpenSSL, rustls, Ruby and .NET; Python; curl; Node.js.
const VARIABLES: [&str; 4] = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"];

/// Names and trust for every pod that does not decline them.
pub(super) fn extras(azure: &Arc<AzureEmulator>, bundle: &Path) -> Extras {
    // Weak, so that a pod that ends late cannot keep the emulator alive.
    let names = Arc::downgrade(azure);
    let (annotation, value) = DECLINED;
    Extras {
        names: Arc::new(move || {
            let names = names.upgrade().map(|azure| azure.host_names()).unwrap_or_default();
            names.into_iter().map(|name| (AZURE_ADDRESS, name)).collect()
        }),
        domains: vec![(AZURE_ADDRESS, azure.vault_domain().to_owned())],
        env: VARIABLES.map(|name| (name.to_owned(), BUNDLE.to_owned())).into(),
        files: vec![(PathBuf::from(BUNDLE), bundle.to_owned())],
        declined_by: (annotation.to_owned(), value.to_owned()),
    }
}
