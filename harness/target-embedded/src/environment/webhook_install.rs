//! The webhook under test, and how it is installed.

mod in_process;
mod pods;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use wi_engine::readiness::NotReady;
use wi_engine::webhook_release::Release;
use wi_model::product::Product;
use wi_model::profile::Profile;
use wi_model::target::WebhookUnderTest;

use super::logs::Logs;

use in_process::InProcess;

/// Namespace, Service and objects have the names of the upstream installation, so that its users recognise them.
pub(super) const NAMESPACE: &str = "azure-workload-identity-system";
const SERVICE: &str = "azure-wi-webhook-webhook-service";
const ACCOUNT: &str = "azure-wi-webhook-admin";
const CONFIGURATION: &str = "azure-wi-webhook-mutating-webhook-configuration";

/// How long a webhook may take until it is ready. The upstream one waits for its certificate in doubling steps.
const READY: Duration = Duration::from_secs(60);

/// Where the ports that a webhook's installation names are really served.
pub(super) type Ports = BTreeMap<u16, SocketAddr>;

/// The ports of the upstream installation: reviews, probes, metrics.
const REVIEWS: u16 = 9443;
const HEALTH: u16 = 9440;
const METRICS: u16 = 8095;

/// The webhook under test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Webhook {
    /// Our known-good one, in this process.
    Reference {
        /// Its profile.
        profile: Profile,
    },
    /// Any program that takes the upstream one's flags and environment; it runs as a pod.
    Exec {
        /// The program's file.
        program: PathBuf,
        /// Its profile; recognised from what it does when `None`.
        profile: Option<Profile>,
        /// Whether it makes and rotates its own certificate.
        cert_rotation: bool,
    },
    /// A release's own manifests, applied as they are. Their image names stand for programs of the environment's images.
    Release {
        /// The folder of manifests.
        folder: PathBuf,
        /// Its profile; recognised when `None`.
        profile: Option<Profile>,
    },
    /// A cluster without a webhook.
    None,
}

impl Webhook {
    /// The reference webhook with the newest profile.
    pub fn reference() -> Self {
        Webhook::Reference { profile: Profile::V1_6 }
    }

    /// A program, given its certificate.
    pub fn exec(program: impl Into<PathBuf>) -> Self {
        Webhook::Exec { program: program.into(), profile: None, cert_rotation: false }
    }

    pub(super) fn under_test(&self) -> WebhookUnderTest {
        match self {
            Webhook::Reference { profile } => WebhookUnderTest {
                name: format!("reference {}", profile.word()),
                profile: Some(profile.word().to_owned()),
                product: Product::new("wi-conformance-reference", env!("CARGO_PKG_VERSION")),
                registration: None,
                upgrade: None,
            },
            Webhook::Exec { program, profile, .. } => WebhookUnderTest {
                name: format!("exec:{}", program.file_name().unwrap_or_default().to_string_lossy()),
                profile: profile.map(|profile| profile.word().to_owned()),
                product: None,
                registration: None,
                upgrade: None,
            },
            Webhook::Release { folder, profile } => WebhookUnderTest {
                name: format!("release:{}", folder.file_name().unwrap_or_default().to_string_lossy()),
                profile: profile.map(|profile| profile.word().to_owned()),
                product: None,
                registration: None,
                upgrade: None,
            },
            Webhook::None => WebhookUnderTest {
                name: "none".to_owned(),
                profile: None,
                product: None,
                registration: None,
                upgrade: None,
            },
        }
    }

    /// Whether it makes and rotates its own certificate, and registers its own CA.
    pub(super) fn rotates(&self) -> bool {
        match self {
            Webhook::Reference { .. } | Webhook::None => false,
            Webhook::Exec { cert_rotation, .. } => *cert_rotation,
            // Manifests that cannot be read are told when they are applied.
            Webhook::Release { folder, .. } => Release::read(folder, "").is_ok_and(|release| release.rotates()),
        }
    }
}

/// What an installation needs to know.
#[derive(Clone)]
pub(super) struct Installation {
    pub(super) kubeconfig: String,
    pub(super) tenant_id: String,
    pub(super) breaks: std::collections::BTreeSet<String>,
    /// Where the API server looks for webhooks of this process.
    pub(super) addresses: [Ipv4Addr; 2],
    /// The version that the API server states.
    pub(super) kubernetes: String,
    /// Settings that differ from its defaults.
    pub(super) settings: BTreeMap<String, String>,
    /// Takes down what webhooks of this process log.
    pub(super) logs: Logs,
    /// Programs that images stand for.
    pub(super) programs: BTreeMap<String, PathBuf>,
    pub(super) identified: Identified,
}

/// A version of Kubernetes as servers state it, of one that a scenario names by its first two numbers.
pub(super) fn whole_version(named: &str) -> String {
    let named = named.trim_start_matches('v');
    if named.split('.').count() < 3 { format!("v{named}.0") } else { format!("v{named}") }
}

impl Installation {
    /// What a webhook of this installation is told: the tenant, and what the case asked for.
    fn told(&self) -> BTreeMap<String, String> {
        let mut told: BTreeMap<String, String> = [("AZURE_TENANT_ID".to_owned(), self.tenant_id.clone())].into();
        told.extend(self.settings.clone());
        told
    }
}

/// What product the webhook is, found out once.
pub type Identified = Arc<tokio::sync::OnceCell<Option<Product>>>;

/// An installed webhook.
pub(super) enum Installed {
    /// Ours, in this process.
    InProcess(Box<InProcess>),
    /// Pods of the cluster, and the product that they told to be.
    AsPods(Option<Product>),
}

impl Installed {
    /// Where the API server's dialer finds it, if not through its pods: the registered one, then the one beside it.
    pub(super) fn addresses(&self) -> Vec<Ports> {
        match self {
            Installed::InProcess(webhook) => webhook.addresses(),
            Installed::AsPods(_) => Vec::new(),
        }
    }

    /// The registration of the next version, where there is one.
    pub(super) fn upgrade(&self) -> Option<Value> {
        match self {
            Installed::InProcess(webhook) => webhook.upgrade(),
            Installed::AsPods(_) => None,
        }
    }

    /// What product the pods told to be.
    pub(super) fn product(&self) -> Option<&Product> {
        match self {
            Installed::InProcess(_) => None,
            Installed::AsPods(product) => product.as_ref(),
        }
    }

    pub(super) async fn stop(self) {
        match self {
            Installed::InProcess(webhook) => webhook.stop().await,
            Installed::AsPods(_) => {}
        }
    }
}

/// Starts the webhook and registers it.
pub(super) async fn install(webhook: &Webhook, installation: &Installation) -> Result<Option<Installed>, NotReady> {
    match webhook {
        Webhook::None => Ok(None),
        Webhook::Reference { profile } => {
            let started = in_process::install(*profile, installation).await.map_err(NotReady::before_it_ran)?;
            Ok(Some(Installed::InProcess(Box::new(started))))
        }
        Webhook::Exec { program, cert_rotation, .. } => {
            pods::program(program, *cert_rotation, installation).await.map(|told| Some(Installed::AsPods(told)))
        }
        Webhook::Release { folder, .. } => {
            pods::release(folder, installation).await.map(|told| Some(Installed::AsPods(told)))
        }
    }
}
