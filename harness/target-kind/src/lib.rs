//! A real cluster with an emulated Azure next to it: created by `kind` for the run, kept by `up`, or named by a file.

#[cfg(test)]
mod adversary;
mod docker;
mod emulator_container;
mod holdings;
mod inspection;
mod issuer;
mod kept_cluster;
mod kind;
mod lifeline;
mod node;
mod node_images;
mod node_network;
mod options;
mod release;
mod sweep;
mod webhook_install;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use wi_engine::RUN_LABEL;
use wi_engine::environments;
use wi_engine::target_file::NamedCluster;
use wi_engine::webhook_release::Release;
use wi_images::archive::{Image, Layer};
use wi_model::capability::Capability;
use wi_model::mutant::Mutants;
use wi_model::plan::{Kinds, Offer};
use wi_model::product::Product;
use wi_model::profile::Profile;
use wi_model::record::Phase;
use wi_model::secret::{Secret, sha256_hex};
use wi_model::target::{ClusterTarget, PodAdditions, Target, WebhookUnderTest};
use wi_serve::private_files::{private_folder, write_private};

use docker::Docker;
use emulator_container::Emulator;
use holdings::Holdings;
use inspection::{Given, Looked};
use kept_cluster::Standing;
use node_images::webhook_image;
use node_network::Place;
use webhook_install::Registered;

pub use emulator_container::Known;
pub use holdings::Held;
pub use kept_cluster::{NotDown, down, up};
pub use sweep::{sweep, target_of};

/// How long an expectation may take on nodes that pull, schedule and probe.
const PATIENCE: Duration = Duration::from_secs(90);
/// The repository of our images on nodes: a host that nobody can pull from.
const REPOSITORY: &str = "localhost/wi-conformance";

/// Which cluster.
#[derive(Debug, Clone)]
pub enum Which {
    /// A new one, for the run alone.
    New(NewCluster),
    /// One that kind made before, by its name.
    Standing {
        /// Its name.
        name: String,
    },
    /// One that a file names.
    Named {
        /// What the file says.
        cluster: NamedCluster,
        /// Whether it may be used although it looks like production.
        confirmed: bool,
    },
}

/// A cluster to make.
#[derive(Debug, Clone)]
pub struct NewCluster {
    /// Its name; made from the run's id when `None`.
    pub name: Option<String>,
    /// kind's configuration, as text.
    pub config: String,
    /// The image of its nodes; kind's own when `None`.
    pub node_image: Option<String>,
    /// What stays of it after the run.
    pub stays: Stays,
}

/// What stays of a cluster that we made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stays {
    /// Nothing: it ends with the run.
    Nothing,
    /// The cluster, without what the run put in it.
    Cluster,
    /// Everything, with webhook and emulator, for whoever comes next.
    Everything,
}

/// The webhook under test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Webhook {
    /// Our known-good one.
    Reference {
        /// Its profile.
        profile: Profile,
        /// The number of its pods.
        replicas: u32,
    },
    /// A release's own manifests, applied as they are.
    Manifests {
        /// The folder of manifests.
        folder: PathBuf,
        /// Its profile; recognised when `None`.
        profile: Option<Profile>,
    },
    /// The one that is installed already.
    Preinstalled {
        /// Its profile; recognised when `None`.
        profile: Option<Profile>,
    },
    /// A cluster without a webhook.
    None,
}

/// What to run on.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cluster.
    pub which: Which,
    /// The webhook under test.
    pub webhook: Webhook,
    /// The parts that are built wrong on purpose.
    pub mutants: Mutants,
    /// The Linux program that images are made of; this one when `None`.
    pub image_program: Option<PathBuf>,
    /// Archives of further images, for nodes.
    pub archives: Vec<PathBuf>,
    /// Images of manifests, and the built-in image that replaces each.
    pub stand_ins: Vec<(String, String)>,
    /// The folder for state.
    pub state_dir: PathBuf,
}

/// A cluster that is ready to run cases.
pub struct RealCluster {
    options: Options,
    folder: PathBuf,
    holdings: Holdings,
    parts: Parts,
    /// How long each part of the start took.
    pub phases: Vec<Phase>,
    _owner: std::fs::File,
}

/// What was put together.
struct Parts {
    name: String,
    kubeconfig: String,
    emulator: Emulator,
    emulator_is_ours: bool,
    images: Vec<(String, String)>,
    registered: Option<Registered>,
    tag: String,
    /// Where the account is that reads the issuer's documents.
    namespace: String,
}

/// Checks everything that a run would refuse to begin for, without touching anything.
///
/// # Errors
/// One line with the remedy.
pub async fn preflight(options: &Options) -> Result<(), String> {
    let docker = Docker::connect().await?;
    if let Which::New(new) = &options.which {
        let there = kind::clusters().await?;
        new.name.as_ref().map_or(Ok(()), |name| new.is_free(name, &there))?;
    } else {
        let given = Given::of(&options.which).await?;
        Looked::at(&given, &options.which, &docker).await?;
    }
    Layer::of(options.image_program.as_deref()).map(|_| ()).map_err(|error| wi_engine::sentence(&error))
}

/// The cluster of these options as it is reached before a run; `None` where the run makes it.
///
/// # Errors
/// kind does not give its kubeconfig, in one line.
pub async fn standing_target(options: &Options) -> Result<Option<ClusterTarget>, String> {
    let (kubeconfig, context) = match &options.which {
        Which::New(_) => return Ok(None),
        Which::Standing { name } => (kind::kubeconfig(name).await?, None),
        Which::Named { cluster, .. } => (cluster.kubeconfig.clone(), cluster.context.clone()),
    };
    let kubeconfig = Secret::new(kubeconfig);
    Ok(Some(ClusterTarget { kubeconfig, context, admission_journal: None, control: None, transient: false }))
}

impl RealCluster {
    /// Puts everything together and waits until it answers. What was made is removed when that fails.
    ///
    /// # Errors
    /// What is not fit, in one line, and whatever could not be removed.
    pub async fn open(
        options: Options,
        run_id: &str,
        tell: &(dyn Fn(&str) + Sync),
        cancel: &CancellationToken,
    ) -> Result<Self, Vec<String>> {
        let fault = |folder: &Path, error: std::io::Error| {
            vec![format!("{}: {error}; choose another folder with --state-dir", folder.display())]
        };
        let folder = environments(&options.state_dir).join(format!("real-{run_id}"));
        private_folder(&folder).map_err(|error| fault(&folder, error))?;
        let owner = std::fs::File::create(folder.join("owner")).map_err(|error| fault(&folder, error))?;
        owner.lock().map_err(|error| fault(&folder, error))?;
        let holdings = Mutex::new(Holdings::open(&folder, run_id).map_err(|error| fault(&folder, error))?);
        let mut phases = Vec::new();
        let builder = Builder { options: &options, run_id, folder: &folder, holdings: &holdings, tell };
        let built = cancel.run_until_cancelled(builder.build(&mut phases)).await;
        let why = match built {
            Some(Ok(parts)) => {
                let holdings = holdings.into_inner();
                return Ok(RealCluster { options, folder, holdings, parts, phases, _owner: owner });
            }
            Some(Err(why)) => why,
            None => "interrupted while the cluster was prepared".to_owned(),
        };
        tell("removing what was created so far");
        let left = holdings.into_inner().release().await;
        if !holdings::stays(&left) {
            let _ = std::fs::remove_dir_all(&folder);
        }
        Err(std::iter::once(why).chain(left.into_iter().map(|left| format!("left behind: {left}"))).collect())
    }

    /// This place as the engine sees it: addresses, trust roots, a credential and capabilities.
    pub fn target(&self) -> Target {
        let known = &self.parts.emulator.known;
        Target {
            name: self.parts.name.clone(),
            cluster: ClusterTarget {
                kubeconfig: Secret::new(self.parts.kubeconfig.clone()),
                context: None,
                admission_journal: None,
                control: None,
                transient: self.options.stays() == Some(Stays::Nothing),
            },
            azure: known.target(self.parts.emulator_is_ours),
            pods: PodAdditions {
                azure_address: Some(known.pod_address),
                ca_bundle: Some(known.ca().to_owned()),
                images: self.parts.images.iter().cloned().collect(),
                // They are on the nodes already and nowhere else.
                image_pull_policy: Some(wi_model::target::file::ImagePullPolicy::Never),
            },
            webhook: self.options.under_test(self.parts.registered.as_ref()),
            capabilities: self.options.capabilities(),
            patience: PATIENCE,
        }
    }

    /// Waits until the emulator ends, and says what became of it in one line.
    pub async fn ended(&self) -> String {
        self.parts.emulator.ended().await
    }

    /// Removes what was made for the run, and says what is still there.
    pub async fn stop(self) -> Vec<String> {
        drop(self.parts.emulator);
        let left = if self.options.stays() == Some(Stays::Cluster) {
            kept_cluster::keep(&self.options.state_dir, &self.parts.name, &self.folder, self.holdings).await
        } else {
            self.holdings.release().await
        };
        let mut told: Vec<String> = left.iter().map(ToString::to_string).collect();
        if !holdings::stays(&left)
            && let Err(error) = std::fs::remove_dir_all(&self.folder)
        {
            told.push(format!("{}: {error}", self.folder.display()));
        }
        told
    }
}

/// Puts a cluster together, step by step.
struct Builder<'a> {
    options: &'a Options,
    run_id: &'a str,
    folder: &'a Path,
    holdings: &'a Mutex<Holdings>,
    tell: &'a (dyn Fn(&str) + Sync),
}

/// A cluster before the run has created anything in it.
struct Found {
    name: String,
    kubeconfig: String,
    context: node_network::Context,
    place: Place,
    client: kube::Client,
    standing: Option<Standing>,
}

impl Builder<'_> {
    async fn build(&self, phases: &mut Vec<Phase>) -> Result<Parts, String> {
        let mut began = Instant::now();
        let mut phase = |what: &str| {
            let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            phases.push(Phase { what: what.to_owned(), ms });
            began = Instant::now();
        };
        let docker = Docker::connect().await?;
        let found = self.cluster(&docker).await?;
        phase("cluster");
        let tenant = match self.options.webhook {
            Webhook::Preinstalled { .. } => Some(webhook_install::preinstalled_tenant(&found.client).await?),
            _ => None,
        };
        let layer = Layer::of(self.options.image_program.as_deref()).map_err(|error| wi_engine::sentence(&error))?;
        let tag = self.tag(&layer, &found);
        let images = self.images(&layer, &tag, &found).await?;
        phase("images");
        let (emulator, emulator_is_ours) = self.emulator(&docker, &layer, &tag, &found, tenant).await?;
        emulator.known.write(self.folder)?;
        phase("emulator");
        let namespace = self.namespace(&found.client).await?;
        // The emulator that stands since `up` outlives this run, and so must the account that reads for it.
        let standing = found.standing.as_ref().filter(|_| !emulator_is_ours && !self.stands());
        let reads_in = standing.map_or(namespace.as_str(), |standing| standing.namespace.as_str());
        let reader = issuer::Reader { client: &found.client, namespace: reads_in, suffix: &self.suffix() };
        if standing.is_none() {
            reader.grant(self.holdings).await?;
        }
        reader.show(&emulator.known, &found.place, &found.context).await?;
        let reused = standing.and_then(|standing| self.standing_webhook(standing, &tag));
        let registered = self.webhook(&found, &emulator, &layer, &tag, reused).await?;
        if registered.is_some() {
            webhook_install::wait_asked(&found.client, &namespace).await?;
        }
        phase("webhook");
        Ok(Parts {
            name: found.name,
            kubeconfig: found.kubeconfig,
            emulator,
            emulator_is_ours,
            images,
            registered,
            tag,
            namespace,
        })
    }

    /// Ends the names of what lives in no namespace: two runs on one cluster do not meet.
    fn suffix(&self) -> String {
        format!("-{}", &sha256_hex(self.run_id.as_bytes())[..8])
    }

    fn stands(&self) -> bool {
        self.options.stays() == Some(Stays::Everything)
    }

    /// A namespace of the run's own, outside every case.
    async fn namespace(&self, client: &kube::Client) -> Result<String, String> {
        let name = format!("wi-conformance{}", self.suffix());
        let mut own = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        if !self.stands() {
            own["metadata"]["labels"] = json!({ RUN_LABEL: wi_engine::label(self.run_id) });
        }
        holdings::create(client, own, self.holdings).await?;
        Ok(name)
    }

    async fn cluster(&self, docker: &Docker) -> Result<Found, String> {
        let mut standing = None;
        let given = match &self.options.which {
            Which::New(new) => {
                let name = new.name.clone().unwrap_or_else(|| format!("wi{}", self.suffix()));
                let kubeconfig = self.create(docker, new, &name).await?;
                Given { name: Some(name), kubeconfig, context: None }
            }
            Which::Standing { name } => {
                let given = Given::of(&self.options.which).await?;
                standing = Standing::read(&self.options.state_dir, name);
                given
            }
            Which::Named { .. } => Given::of(&self.options.which).await?,
        };
        let looked = Looked::at(&given, &self.options.which, docker).await?;
        write_private(&self.folder.join(holdings::KUBECONFIG), &looked.kubeconfig)
            .map_err(|error| format!("{}: {error}", self.folder.display()))?;
        let Looked { name, kubeconfig, context, place, client } = looked;
        Ok(Found { name, kubeconfig, context, place, client, standing })
    }

    async fn create(&self, docker: &Docker, new: &NewCluster, name: &str) -> Result<String, String> {
        new.is_free(name, &kind::clusters().await?)?;
        if let Some(image) = &new.node_image
            && !docker.has_image(image).await?
        {
            (self.tell)(&format!("pulling node image {image}"));
            docker.pull(image).await.map_err(|why| {
                format!("node image {image} is not on this machine and cannot be pulled ({why}); choose another with --node-image")
            })?;
        }
        let network = match docker.network(kind::NETWORK).await? {
            Some(_) => None,
            None => Some(self.holdings.lock().await.take(Held::Network { name: kind::NETWORK.to_owned() })?),
        };
        // Nodes cannot be labelled, so a mounted folder identifies them.
        let mark = self.folder.join("node-mark");
        private_folder(&mark).map_err(|error| format!("{}: {error}", mark.display()))?;
        let mark = mark.canonicalize().map_err(|error| format!("{}: {error}", mark.display()))?;
        let config = kind::marked(&new.config, &mark);
        let held = Held::Cluster { name: name.to_owned(), mark: config.is_some().then_some(mark) };
        let number = self.holdings.lock().await.take(held)?;
        (self.tell)(&format!("creating kind cluster {name}"));
        let kubeconfig = self.folder.join(holdings::KUBECONFIG);
        let config = config.as_deref().unwrap_or(&new.config);
        let cluster = kind::NewCluster { name, config, image: new.node_image.as_deref(), kubeconfig: &kubeconfig };
        let created = cluster.create(&|line| (self.tell)(&format!("kind: {line}"))).await;
        if let (Some(network), Ok(Some(found))) = (network, docker.network(kind::NETWORK).await) {
            self.holdings.lock().await.made(network, [found.id])?;
        }
        created.map_err(|why| {
            let pulling = why.contains("failed to pull image");
            if pulling { format!("{why}; choose a node image that is on this machine with --node-image") } else { why }
        })?;
        let nodes = docker.nodes_of(name).await?;
        self.holdings.lock().await.made(number, nodes.into_iter().map(|node| node.id))?;
        std::fs::read_to_string(&kubeconfig).map_err(|error| format!("{}: {error}", kubeconfig.display()))
    }

    /// The emulator that stands since `up`, or one of our own; and whether it is ours.
    async fn emulator(
        &self,
        docker: &Docker,
        layer: &Layer,
        tag: &str,
        found: &Found,
        tenant: Option<String>,
    ) -> Result<(Emulator, bool), String> {
        let network = &found.place.network;
        let usual = self.options.mutants.azure.is_empty() && tenant.is_none();
        if let Some(standing) = found.standing.as_ref().filter(|standing| usual && standing.tag == tag)
            && let Some(emulator) = Known::find(&standing.folder, docker, network).await?
        {
            return Ok((emulator, false));
        }
        (self.tell)("starting the Azure emulator");
        let image = format!("{REPOSITORY}/azure:{tag}");
        let args = vec!["fixture".to_owned(), "azure".to_owned()];
        if !docker.has_image(&image).await? {
            let number = self.holdings.lock().await.take(Held::Image { name: image.clone() })?;
            let run = Some(self.run_id.to_owned());
            let wanted = [Image { name: image.clone(), args, env: [].into(), file: None, run }];
            docker.load(layer.archive(&wanted).map_err(|error| wi_engine::sentence(&error))?).await?;
            let loaded = docker.image(&image).await?;
            self.holdings.lock().await.made(number, loaded.map(|loaded| loaded.id))?;
        }
        let start = emulator_container::Start {
            docker,
            name: format!("wi-conformance-azure{}", self.suffix()),
            image: &image,
            network,
            tenant,
            defects: self.options.mutants.azure.iter().cloned().collect(),
            ends_with_us: !self.stands(),
            run_id: self.run_id,
        };
        Ok((start.start(self.holdings).await?, !self.stands()))
    }

    /// The webhook that stands beside the emulator that stands: it gives out that one's tenant, and its proxy trusts that one's
    /// certificates.
    fn standing_webhook(&self, standing: &Standing, tag: &str) -> Option<Registered> {
        let Webhook::Reference { profile, .. } = self.options.webhook else { return None };
        let mutants = &self.options.mutants;
        standing.webhook(profile, tag).filter(|_| mutants.webhook.is_empty() && mutants.proxy.is_empty())
    }

    async fn webhook(
        &self,
        found: &Found,
        emulator: &Emulator,
        layer: &Layer,
        tag: &str,
        reused: Option<Registered>,
    ) -> Result<Option<Registered>, String> {
        // A webhook that was installed for a run leaves other runs' pods alone, and one that stands leaves every run's.
        let (namespaces, suffix) = if self.stands() {
            (json!({ "matchExpressions": [{ "key": RUN_LABEL, "operator": "DoesNotExist" }] }), String::new())
        } else {
            (json!({ "matchLabels": { RUN_LABEL: wi_engine::label(self.run_id) } }), self.suffix())
        };
        let breaks = self.options.mutants.webhook.clone();
        match &self.options.webhook {
            Webhook::None => Ok(None),
            Webhook::Preinstalled { .. } => {
                let product = webhook_install::product(&found.client).await;
                Ok(Some(Registered { registration: None, namespace: String::new(), ca: String::new(), product }))
            }
            Webhook::Manifests { folder, .. } => {
                (self.tell)("installing the webhook under test");
                let tenant = emulator.known.tenant_id();
                webhook_install::manifests(&found.client, folder, tenant, self.holdings).await.map(Some)
            }
            Webhook::Reference { profile, replicas } => {
                if let Some(installed) = reused {
                    return webhook_install::register(&found.client, &installed, &suffix, namespaces, self.holdings)
                        .await
                        .map(Some);
                }
                let proxy = self.proxy(layer, tag, found, emulator.known.ca()).await?;
                (self.tell)("installing the webhook under test");
                let reference = webhook_install::Reference {
                    image: &webhook_image(tag),
                    proxy: &proxy,
                    tenant_id: emulator.known.tenant_id(),
                    profile: *profile,
                    replicas: *replicas,
                    breaks,
                    namespace: &if suffix.is_empty() {
                        "azure-workload-identity-system".to_owned()
                    } else {
                        format!("azure-workload-identity{suffix}")
                    },
                    suffix: &suffix,
                    namespaces,
                };
                reference.install(&found.client, self.holdings).await.map(Some)
            }
        }
    }
}
