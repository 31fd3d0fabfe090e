//! The composition root: starts what a run needs and turns it into a target. The only room that knows every name.

mod every_pod;
mod images;
mod logs;
mod virtual_clock;
mod webhook_install;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use wi_azure_emulator::AzureEmulator;
use wi_embedded_cluster::EmbeddedCluster;
use wi_engine::environments;
use wi_engine::readiness::NotReady;
use wi_model::capability::Capability;
use wi_model::mutant::Mutants;
use wi_model::plan::{Kinds, Offer};
use wi_model::secret::Secret;
use wi_model::target::{AzureTarget, ClusterTarget, Credential, PodAdditions, Target, WebhookUnderTest};
use wi_process_node::{Door, Extras, ProcessNode};

pub use images::Program;
pub use webhook_install::{Identified, Webhook};

use images::Images;
use logs::Logs;
use virtual_clock::Clock;
use webhook_install::Installed;

/// The Service of the API server, as in a real cluster.
const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// Serves every Azure name inside a pod. Of the service range, so that no pod has it.
const AZURE_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 255, 1);
/// The endpoints of webhooks that run in this process: addresses that only the API server's dialer knows.
const WEBHOOK_ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 96, 255, 2), Ipv4Addr::new(10, 96, 255, 3)];

/// What to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// The webhook under test.
    pub webhook: Webhook,
    /// Programs for image names, before the built-in ones.
    pub images: Vec<(String, Program)>,
    /// Folder for what the environment needs on disk while it lasts; the system's temporary one when `None`.
    pub state_dir: Option<PathBuf>,
    /// The parts that are built wrong on purpose.
    pub mutants: Mutants,
    /// The version that the API server states, such as `1.31`; the newest that it knows when `None`.
    pub kubernetes: Option<String>,
    /// Settings of the webhook that a case asks for.
    pub settings: BTreeMap<String, String>,
    /// The issuer that a case asks for; one of this environment's own when `None`.
    pub issuer: Option<String>,
    /// Whether it is for everybody's pods, and not for those of a run alone: every pod resolves and trusts this Azure, and
    /// the reference webhook stands for the upstream one's image.
    pub for_everybody: bool,
    /// What product the webhook is, once it was found out: every environment of a run has the same.
    pub identified: Identified,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            webhook: Webhook::reference(),
            images: Vec::new(),
            state_dir: None,
            mutants: Mutants::default(),
            kubernetes: None,
            settings: BTreeMap::new(),
            issuer: None,
            for_everybody: false,
            identified: Identified::default(),
        }
    }
}

/// Why an environment could not be started. One line each.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// This machine cannot run pods.
    #[error(transparent)]
    Machine(wi_process_node::PreflightError),
    /// No folder for what has to lie on disk.
    #[error("cannot create a state folder in {}; choose another with --state-dir", .folder.display())]
    State {
        /// Where it was tried.
        folder: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The Kubernetes API did not start.
    #[error("the Kubernetes API did not start")]
    Cluster(#[source] wi_embedded_cluster::StartError),
    /// The node did not start.
    #[error("the node did not start")]
    Node(#[source] wi_process_node::StartError),
    /// The Azure emulator did not start.
    #[error("the Azure emulator did not start")]
    Azure(#[source] wi_azure_emulator::StartError),
    /// The webhook under test did not start, or was not installed.
    #[error("the webhook under test is not ready")]
    Webhook(#[source] NotReady),
}

impl EnvironmentError {
    /// What the webhook printed, where it is what did not start.
    pub fn log(&self) -> &str {
        match self {
            EnvironmentError::Webhook(not_ready) => &not_ready.log,
            EnvironmentError::Machine(_)
            | EnvironmentError::State { .. }
            | EnvironmentError::Cluster(_)
            | EnvironmentError::Node(_)
            | EnvironmentError::Azure(_) => "",
        }
    }
}

/// A Kubernetes API, a node, an emulated Azure and a webhook, all up.
pub struct Environment {
    cluster: EmbeddedCluster,
    node: ProcessNode,
    azure: Arc<AzureEmulator>,
    installed: Option<Installed>,
    webhook: WebhookUnderTest,
    capabilities: BTreeSet<Capability>,
    folder: tempfile::TempDir,
    _owner: std::fs::File,
}

/// Everything that this kind of environment can do, before it is started: plans need no cluster.
pub fn capabilities(webhook: &Webhook) -> BTreeSet<Capability> {
    let mut all: BTreeSet<Capability> = Capability::ALL.into();
    let lacks: &[Capability] = match webhook {
        Webhook::Reference { .. } => &[],
        Webhook::Exec { .. } | Webhook::Release { .. } => &[Capability::WebhookUpgrade],
        Webhook::None => &[Capability::Webhook, Capability::WebhookUpgrade, Capability::WebhookSettings],
    };
    all.retain(|capability| !lacks.contains(capability));
    if webhook.rotates() {
        all.remove(&Capability::WebhookCa);
    }
    all
}

/// What such an environment offers, before it is started.
pub fn offer(options: &Options) -> Offer {
    let named = options.images.iter().map(|(name, _)| name.clone());
    let built_in = wi_images::all().map(|(name, _)| name.to_owned());
    let namespaces = ["default", "kube-system", "kube-public", "kube-node-lease"].map(str::to_owned);
    let webhooks = (options.webhook != Webhook::None).then(|| webhook_install::NAMESPACE.to_owned());
    Offer {
        capabilities: capabilities(&options.webhook),
        kinds: Kinds::These(wi_embedded_cluster::serves),
        images: Some(named.chain(built_in).collect()),
        namespaces: Some(namespaces.into_iter().chain(webhooks).collect()),
        kubernetes: Some(wi_embedded_cluster::Options::default().version),
        profile: options.webhook.under_test().profile,
    }
}

/// Checks that this machine can run pods.
///
/// # Errors
/// One line with the remedy.
pub fn preflight() -> Result<(), EnvironmentError> {
    wi_process_node::preflight().map_err(EnvironmentError::Machine)
}

impl Environment {
    /// Starts everything and waits until it answers.
    ///
    /// # Errors
    /// What did not start, and why.
    pub async fn start(options: Options) -> Result<Self, EnvironmentError> {
        preflight()?;
        let base =
            environments(&options.state_dir.clone().unwrap_or_else(|| std::env::temp_dir().join("wi-conformance")));
        let state = |source| EnvironmentError::State { folder: base.clone(), source };
        make_private(&base).map_err(state)?;
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        let folder = builder.prefix("env-").tempdir_in(&base).map_err(state)?;
        // The lock on this file says that the owner lives, whatever becomes of process numbers.
        let owner = std::fs::File::create(folder.path().join("owner")).map_err(state)?;
        owner.lock().map_err(state)?;

        let time = Clock::new();
        let clock = time.read();
        let routes: Arc<Routes> = Arc::default();
        let usual = wi_embedded_cluster::Options::default();
        let logs = Logs::new(clock.clone());
        let version = options.kubernetes.as_deref().map_or(usual.version.clone(), webhook_install::whole_version);
        let cluster_options = wi_embedded_cluster::Options {
            issuer: options.issuer.clone().unwrap_or_else(|| usual.issuer.clone()),
            version: version.clone(),
            mirrored_logs: logs.source(),
            clock: clock.clone(),
            clock_moved: time.moves(),
            advance: Some(time.advance()),
            advance_alone: Some(time.advance_cluster()),
            dialer: dialer(routes.clone()),
            defects: options.mutants.cluster.clone(),
            ..usual
        };
        let cluster = EmbeddedCluster::start(cluster_options).await.map_err(EnvironmentError::Cluster)?;

        let azure = Arc::new(start_azure(&cluster, time.read_in_azure(), &options.mutants).await?);
        let trust = folder.path().join("azure.pem");
        std::fs::write(&trust, azure.ca_pem()).map_err(state)?;
        let extras = if options.for_everybody { every_pod::extras(&azure, &trust) } else { Extras::default() };
        let images = Images::new(&options.images, &options.webhook, trust, &options.mutants.proxy);
        let images = if options.for_everybody { images.with_upstream_webhook() } else { images };
        let mutants = options.mutants.node.clone();
        let node = start_node(&cluster, &azure, &time, folder.path(), (images, mutants, extras)).await?;
        let node_name = node.name().to_owned();
        tracing::debug!(node = node_name, api = cluster.url(), "environment is up");
        routes.set_node(&node);

        let installation = webhook_install::Installation {
            kubeconfig: cluster.kubeconfig(),
            tenant_id: azure.tenant_id().to_string(),
            breaks: options.mutants.webhook.clone(),
            addresses: WEBHOOK_ADDRESSES,
            kubernetes: version,
            logs,
            settings: options.settings.clone(),
            programs: options.images.iter().map(|(name, program)| (name.clone(), program.path.clone())).collect(),
            identified: options.identified.clone(),
        };
        let installed =
            webhook_install::install(&options.webhook, &installation).await.map_err(EnvironmentError::Webhook)?;
        routes.set_webhooks(installed.as_ref().map(Installed::addresses).unwrap_or_default());
        let capabilities = capabilities(&options.webhook);
        let mut webhook = options.webhook.under_test();
        webhook.upgrade = installed.as_ref().and_then(Installed::upgrade);
        if let Some(product) = installed.as_ref().and_then(Installed::product) {
            webhook.profile = webhook.profile.or_else(|| product.profile().map(str::to_owned));
            webhook.product = Some(product.clone());
        }
        if options.settings.contains_key("profile") {
            // Which one it is may change while the case runs; each pod shows it.
            webhook.profile = None;
        }
        Ok(Environment { cluster, node, azure, installed, webhook, capabilities, folder, _owner: owner })
    }

    /// The kubeconfig of a cluster administrator, as YAML.
    pub fn kubeconfig(&self) -> String {
        self.cluster.kubeconfig()
    }

    /// Address of the Kubernetes API.
    pub fn api_url(&self) -> String {
        self.cluster.url()
    }

    /// Certificate authority of the Kubernetes API, PEM.
    pub fn api_ca(&self) -> &str {
        self.cluster.ca_pem()
    }

    /// The cluster's issuer, byte for byte.
    pub fn issuer(&self) -> &str {
        self.cluster.issuer()
    }

    /// The emulated Azure.
    pub fn azure(&self) -> &AzureEmulator {
        &self.azure
    }

    /// Has the emulated Azure know the cluster as one that it manages, and gives back its place there.
    pub fn declare_managed(&self) -> wi_model::target::file::ManagedCluster {
        let place = wi_model::target::file::ManagedCluster {
            subscription: None,
            resource_group: "clusters".to_owned(),
            name: "embedded".to_owned(),
        };
        self.azure.add_managed_cluster(wi_azure_emulator::ManagedCluster {
            resource_group: place.resource_group.clone(),
            name: place.name.clone(),
            location: None,
            issuer_url: self.issuer().to_owned(),
            kubeconfig: wi_azure_emulator::Secret::new(self.cluster.kubeconfig()),
            fqdn: None,
            kubernetes_version: "1.34.0".to_owned(),
            tags: BTreeMap::new(),
            oidc_issuer: true,
            workload_identity: true,
            exists: true,
        });
        place
    }

    /// This environment as the engine sees it: addresses, trust roots, a credential and capabilities.
    pub fn target(&self) -> Target {
        let operator = self.azure.operator();
        Target {
            name: "embedded".to_owned(),
            cluster: ClusterTarget {
                kubeconfig: Secret::new(self.cluster.kubeconfig()),
                context: None,
                admission_journal: Some("/debug/admission-exchanges".to_owned()),
                control: Some("/debug".to_owned()),
                transient: true,
            },
            azure: AzureTarget {
                authority: "https://login.microsoftonline.com/".to_owned(),
                resource_manager: "https://management.azure.com/".to_owned(),
                graph: "https://graph.microsoft.com/".to_owned(),
                vault_domain: "vault.azure.net".to_owned(),
                tenant_id: self.azure.tenant_id().to_string(),
                subscription_id: self.azure.subscription_id().to_string(),
                location: self.azure.location().to_owned(),
                credential: Credential::ClientSecret {
                    client_id: operator.client_id.to_string(),
                    secret: Secret::new(operator.secret.expose()),
                },
                trust_roots: Some(self.azure.ca_pem().to_owned()),
                connect: Some(self.azure.address()),
                journal: Some(self.azure.control_url()),
                journal_token: Some(Secret::new(self.azure.control_token().expose())),
                marks: wi_model::target::Marks::default(),
                transient: true,
            },
            pods: PodAdditions {
                azure_address: Some(IpAddr::V4(AZURE_ADDRESS)),
                ca_bundle: Some(self.azure.ca_pem().to_owned()),
                ..PodAdditions::default()
            },
            webhook: self.webhook.clone(),
            capabilities: self.capabilities.clone(),
            patience: Duration::from_secs(30),
        }
    }

    /// Ends everything and removes its folder.
    ///
    /// # Errors
    /// What was left behind, in words.
    pub async fn stop(self) -> Result<(), String> {
        let mut left = Vec::new();
        if let Some(installed) = self.installed {
            installed.stop().await;
        }
        if let Err(error) = self.node.stop().await {
            left.push(wi_engine::sentence(&error));
        }
        self.cluster.stop().await;
        if let Ok(azure) = Arc::try_unwrap(self.azure) {
            azure.stop().await;
        }
        let folder = self.folder.path().to_owned();
        if let Err(error) = self.folder.close() {
            left.push(format!("{}: {error}", folder.display()));
        }
        if left.is_empty() { Ok(()) } else { Err(left.join("; ")) }
    }
}

/// Makes a folder that no other user of this machine may enter: keys and tokens lie in it.
fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

async fn start_azure(
    cluster: &EmbeddedCluster,
    clock: wi_azure_emulator::Clock,
    mutants: &Mutants,
) -> Result<AzureEmulator, EnvironmentError> {
    let host = cluster.issuer().trim_start_matches("https://").split('/').next().unwrap_or_default().to_owned();
    let route = wi_azure_emulator::IssuerRoute {
        host,
        address: cluster.address(),
        ca_pem: cluster.ca_pem().to_owned(),
        token: None,
    };
    let options = wi_azure_emulator::Options {
        clock,
        issuers: vec![route],
        defects: mutants.azure.clone(),
        ..wi_azure_emulator::Options::default()
    };
    AzureEmulator::start(options).await.map_err(EnvironmentError::Azure)
}

async fn start_node(
    cluster: &EmbeddedCluster,
    azure: &Arc<AzureEmulator>,
    time: &Clock,
    folder: &Path,
    (images, defects, extras): (Images, BTreeSet<String>, Extras),
) -> Result<ProcessNode, EnvironmentError> {
    let name = "wi-node".to_owned();
    let api = cluster.acceptor();
    let doors = vec![
        Door { address: SocketAddrV4::new(API_SERVICE, 443), open: Arc::new(move |listener| api.accept(listener)) },
        Door {
            address: SocketAddrV4::new(AZURE_ADDRESS, 443),
            open: Arc::new({
                // Weak, so that a sandbox that ends late cannot keep the emulator alive.
                let azure = Arc::downgrade(azure);
                move |listener| {
                    if let Some(azure) = azure.upgrade() {
                        azure.accept(listener);
                    }
                }
            }),
        },
    ];
    let options = wi_process_node::Options {
        kubeconfig: cluster.kubeconfig_for(&format!("system:node:{name}"), &["system:nodes"]),
        name,
        root: folder.join("node"),
        image_names: images.names(),
        images: Arc::new(move |image| images.resolve(image)),
        doors,
        extras,
        clock: time.read(),
        clock_moved: time.moves(),
        program: "/proc/self/exe".into(),
        ceiling: wi_process_node::Ceiling::default(),
        defects,
    };
    ProcessNode::start(options).await.map_err(EnvironmentError::Node)
}

/// Where the API server finds endpoints that are not on the machine's own network.
#[derive(Default)]
struct Routes {
    node: OnceLock<NodeRoute>,
    webhooks: OnceLock<Vec<webhook_install::Ports>>,
}

type Dial = Arc<
    dyn Fn(IpAddr, u16) -> futures::future::BoxFuture<'static, std::io::Result<tokio::net::TcpStream>> + Send + Sync,
>;

struct NodeRoute {
    owns: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    dial: Dial,
}

impl Routes {
    fn set_node(&self, node: &ProcessNode) {
        let (owner, dialer) = (node.network(), node.network());
        let route = NodeRoute {
            owns: Box::new(move |ip| owner.owns(ip)),
            dial: Arc::new(move |ip, port| dialer.dial(ip, port)),
        };
        let _ = self.node.set(route);
    }

    fn set_webhooks(&self, addresses: Vec<webhook_install::Ports>) {
        let _ = self.webhooks.set(addresses);
    }
}

fn dialer(routes: Arc<Routes>) -> wi_embedded_cluster::Dialer {
    Arc::new(move |ip, port| {
        if let Some(node) = routes.node.get().filter(|node| (node.owns)(ip)) {
            return (node.dial)(ip, port);
        }
        let ours = WEBHOOK_ADDRESSES.iter().position(|ours| ip == IpAddr::V4(*ours));
        let webhook = ours.and_then(|index| routes.webhooks.get()?.get(index)?.get(&port).copied());
        let address = webhook.unwrap_or_else(|| SocketAddr::new(ip, port));
        Box::pin(tokio::net::TcpStream::connect(address))
    })
}
