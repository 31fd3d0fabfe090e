//! A target: everything that the engine may know about where it is, as data.

pub mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::capability::Capability;
use crate::product::Product;
use crate::secret::Secret;

/// A cluster, an Azure and a webhook under test.
#[derive(Debug, Clone)]
pub struct Target {
    /// What reports call it.
    pub name: String,
    /// The cluster.
    pub cluster: ClusterTarget,
    /// The Azure.
    pub azure: AzureTarget,
    /// What pods need besides what the scenario gives them.
    pub pods: PodAdditions,
    /// The webhook under test.
    pub webhook: WebhookUnderTest,
    /// What it can do.
    pub capabilities: BTreeSet<Capability>,
    /// How long an expectation may take where its scenario does not say.
    pub patience: Duration,
}

/// How the cluster is reached.
#[derive(Debug, Clone)]
pub struct ClusterTarget {
    /// The kubeconfig's text.
    pub kubeconfig: Secret,
    /// The context in it; the current one when `None`.
    pub context: Option<String>,
    /// Path on the API server that gives back admission exchanges, where [`Capability::AdmissionJournal`] is there.
    pub admission_journal: Option<String>,
    /// Prefix of the paths on the API server that change its time and its issuer, where [`Capability::VirtualTime`] or
    /// [`Capability::IssuerControl`] is there.
    pub control: Option<String>,
    /// Whether it ends with the run, and everything made in it: then nothing in it is ever left behind.
    pub transient: bool,
}

/// How Azure is reached.
#[derive(Debug, Clone)]
pub struct AzureTarget {
    /// The identity provider, such as `https://login.microsoftonline.com/`.
    pub authority: String,
    /// Azure Resource Manager, such as `https://management.azure.com/`.
    pub resource_manager: String,
    /// Microsoft Graph, such as `https://graph.microsoft.com/`.
    pub graph: String,
    /// The domain of vaults, such as `vault.azure.net`.
    pub vault_domain: String,
    /// Tenant id.
    pub tenant_id: String,
    /// Subscription id.
    pub subscription_id: String,
    /// Where resources are made.
    pub location: String,
    /// How we sign in to set things up.
    pub credential: Credential,
    /// Certificates to trust, as PEM; the public roots when `None`.
    pub trust_roots: Option<String>,
    /// Where all those names are really served; by DNS when `None`.
    pub connect: Option<SocketAddr>,
    /// Where exchanges can be read back, where [`Capability::RequestJournal`] is there.
    pub journal: Option<String>,
    /// What whoever keeps that record asks of its readers, as a bearer token.
    pub journal_token: Option<Secret>,
    /// What tells the things that a run makes from everybody else's.
    pub marks: Marks,
    /// Whether it ends with the run, and everything made in it: then nothing in it is ever left behind.
    pub transient: bool,
}

/// What tells the things that a run makes from everybody else's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks {
    /// Begins the names of resource groups and applications.
    pub prefix: String,
    /// After how long what a run made counts as forgotten.
    pub expires_after: Duration,
}

impl Default for Marks {
    fn default() -> Self {
        Marks { prefix: "wi-conformance".to_owned(), expires_after: Duration::from_secs(6 * 3600) }
    }
}

/// How the harness signs in. Never how a pod does.
#[derive(Debug, Clone)]
pub enum Credential {
    /// Each in turn, until one gives a token.
    FirstOf(Vec<Credential>),
    /// Whoever is signed in to the Azure CLI.
    AzureCli,
    /// An application that trusts the token in a file.
    TokenFile {
        /// Client id.
        client_id: String,
        /// Path of the token, which is read again whenever it is needed.
        path: PathBuf,
    },
    /// An application that trusts the token which a CI provider gives to a job.
    CiToken {
        /// Client id.
        client_id: String,
        /// Where the provider gives it.
        url: String,
        /// What the provider asks for.
        bearer: Secret,
    },
    /// An application with a certificate.
    ClientCertificate {
        /// Client id.
        client_id: String,
        /// The certificate and its private key, as PEM.
        pem: Secret,
    },
    /// An application with a client secret.
    ClientSecret {
        /// Client id.
        client_id: String,
        /// Its secret.
        secret: Secret,
    },
}

impl Credential {
    /// The word by which a target file names it.
    pub fn word(&self) -> &'static str {
        match self {
            Credential::FirstOf(_) => "any",
            Credential::AzureCli => "azure-cli",
            Credential::TokenFile { .. } => "workload-identity",
            Credential::CiToken { .. } => "ci-token",
            Credential::ClientSecret { .. } => "client-secret",
            Credential::ClientCertificate { .. } => "client-certificate",
        }
    }

    /// Every value in it that must never be shown.
    pub fn secrets(&self) -> Vec<Secret> {
        match self {
            Credential::FirstOf(all) => all.iter().flat_map(Credential::secrets).collect(),
            Credential::AzureCli | Credential::TokenFile { .. } => Vec::new(),
            Credential::CiToken { bearer: secret, .. }
            | Credential::ClientSecret { secret, .. }
            | Credential::ClientCertificate { pem: secret, .. } => vec![secret.clone()],
        }
    }
}

/// What pods need so that real names lead to where Azure is served, and its certificates are trusted.
#[derive(Debug, Clone, Default)]
pub struct PodAdditions {
    /// The address that serves every Azure name, for `hostAliases`; DNS when `None`.
    pub azure_address: Option<IpAddr>,
    /// A CA bundle to mount, with the variables that make each runtime trust it.
    pub ca_bundle: Option<String>,
    /// Where images come from, by their name without tag and digest. Others stay as they are.
    pub images: BTreeMap<String, String>,
    /// When nodes pull those; as the pod says when `None`.
    pub image_pull_policy: Option<file::ImagePullPolicy>,
}

/// The webhook under test.
#[derive(Debug, Clone)]
pub struct WebhookUnderTest {
    /// What reports call it, with its version.
    pub name: String,
    /// What product it is, as the program or its image tells; `None` where neither does.
    pub product: Option<Product>,
    /// Its profile, `1.5` or `1.6`; recognised from what it does when `None`.
    pub profile: Option<String>,
    /// The MutatingWebhookConfiguration that registers it; every one that names the webhook when `None`.
    pub registration: Option<String>,
    /// The MutatingWebhookConfiguration of its next version, where a case may upgrade to one.
    pub upgrade: Option<serde_json::Value>,
}
