//! Where cases run: each kind of place is opened here, and nothing behind this door knows which it was.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wi_engine::There;
use wi_model::capability::Capability;
use wi_model::plan::{Case, Offer};
use wi_model::product::Product;
use wi_model::record::Phase;
use wi_model::target::Target;
use wi_model::variation::Shared;
use wi_target_azure as aks;
use wi_target_embedded::{self as environment, Environment};
use wi_target_kind::{self as real_cluster, RealCluster};

use crate::exit::{Exit, Stop};

/// A place before it is opened.
#[derive(Debug, Clone)]
pub enum Place {
    /// Everything in this process.
    Embedded(Box<environment::Options>),
    /// A real cluster, with an emulated Azure beside it.
    Real(Box<real_cluster::Options>),
    /// A cluster and an Azure that are there.
    Aks(Box<aks::Options>),
}

/// A place that is ready to run cases.
pub enum Opened {
    Embedded(Box<Environment>),
    Real(Box<RealCluster>),
    Aks(Box<aks::Fit>),
}

impl Place {
    /// What it can do, before it is opened: plans touch nothing.
    pub fn capabilities(&self) -> BTreeSet<Capability> {
        match self {
            Place::Embedded(options) => environment::capabilities(&options.webhook),
            Place::Real(options) => options.capabilities(),
            Place::Aks(options) => options.capabilities(),
        }
    }

    /// What is known of it before it is opened: by this plans tell what runs will do, and runs decide.
    pub fn offer(&self) -> Offer {
        match self {
            Place::Embedded(options) => environment::offer(options),
            Place::Real(options) => options.offer(),
            Place::Aks(options) => Offer { capabilities: options.capabilities(), ..Offer::default() },
        }
    }

    /// What product the webhook is, where an environment of its own has found it out.
    pub fn product(&self) -> Option<Product> {
        match self {
            Place::Embedded(options) => options.identified.get().cloned().flatten(),
            Place::Real(_) | Place::Aks(_) => None,
        }
    }

    /// The same place as a case that has it alone asks for it.
    pub fn for_case(&self, case: &Case) -> Place {
        match self {
            Place::Embedded(options) => {
                let wanted = &case.scenario.given.webhook_settings;
                let mut settings = options.settings.clone();
                settings.extend(wanted.iter().map(|(name, value)| (name.clone(), value.value.clone())));
                let issuer = case.scenario.given.issuer.as_ref().map(|issuer| issuer.value.clone());
                let asked = case.scenario.given.kubernetes.as_ref().map(|version| version.value.clone());
                let kubernetes = asked.or_else(|| options.kubernetes.clone());
                let options = environment::Options { settings, issuer, kubernetes, ..(**options).clone() };
                Place::Embedded(Box::new(options))
            }
            Place::Real(_) | Place::Aks(_) => self.clone(),
        }
    }

    /// Starts what its cases share otherwise, as far as that is ours to start.
    pub fn vary(&mut self, shared: &Shared) {
        match self {
            Place::Embedded(options) => {
                options.kubernetes = shared.kubernetes.map(str::to_owned);
                let settings = shared.webhook_settings.iter();
                options.settings.extend(settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            }
            Place::Real(_) | Place::Aks(_) => {}
        }
    }

    /// Whether a case that changes the cluster for everybody gets one of its own; else it waits until it is alone.
    pub fn opens_in_no_time(&self) -> bool {
        matches!(self, Place::Embedded(_))
    }

    /// How long a run may take here.
    pub fn time_limit(&self) -> Option<Duration> {
        match self {
            Place::Embedded(_) | Place::Real(_) => None,
            Place::Aks(options) => options.time_limit(),
        }
    }

    /// Checks what can be checked without touching anything.
    ///
    /// # Errors
    /// One line with the remedy.
    pub async fn preflight(&self) -> Result<(), Stop> {
        match self {
            Place::Aks(options) => {
                let (tell, cancel) = (|what: &str| crate::console::tell(what), CancellationToken::new());
                let unfit = |lines| Stop::lines(Exit::TargetUnfit, lines);
                aks::survey(options, &tell, &cancel).await.map(|_| ()).map_err(unfit)
            }
            Place::Embedded(_) => environment::preflight().map_err(|error| Stop::from_error(Exit::TargetUnfit, &error)),
            Place::Real(options) => {
                real_cluster::preflight(options).await.map_err(|why| Stop::new(Exit::TargetUnfit, why))
            }
        }
    }

    /// Objects of the cases that are on its cluster before a run, where that is there before a run. Nothing is changed.
    ///
    /// # Errors
    /// One line with the remedy.
    pub async fn there_already(&self, cases: &[Case]) -> Result<Vec<There>, Stop> {
        let unfit = |why: String| {
            Stop::new(Exit::TargetUnfit, format!("the existing objects of the cluster cannot be read: {why}"))
        };
        let cluster = match self {
            Place::Embedded(_) => None,
            Place::Aks(options) => {
                let target = options.target(&CancellationToken::new()).await;
                Some(target.map_err(|lines| Stop::lines(Exit::TargetUnfit, lines))?.cluster)
            }
            Place::Real(options) => real_cluster::standing_target(options).await.map_err(unfit)?,
        };
        let Some(cluster) = cluster else { return Ok(Vec::new()) };
        wi_engine::there_already(&cluster, cases).await.map_err(unfit)
    }

    /// Opens it and waits until it answers; `tell` hears what is done meanwhile.
    ///
    /// # Errors
    /// It is not fit, or the wait was cancelled.
    pub async fn open(
        &self,
        run_id: &str,
        tell: &(dyn Fn(&str) + Sync),
        cancel: &CancellationToken,
    ) -> Result<Opened, Stop> {
        let interrupted = || Stop::new(Exit::Interrupted, "interrupted while the environment started");
        match self {
            Place::Embedded(options) => {
                let started = cancel.run_until_cancelled(Environment::start((**options).clone())).await;
                let started = started.ok_or_else(interrupted)?;
                started.map(|environment| Opened::Embedded(Box::new(environment))).map_err(|error| Stop {
                    log: error.log().to_owned(),
                    ..Stop::from_error(Exit::TargetUnfit, &error)
                })
            }
            Place::Aks(options) => {
                let fit = aks::survey(options, tell, cancel).await;
                fit.map(|fit| Opened::Aks(Box::new(fit))).map_err(|lines| {
                    Stop::lines(if cancel.is_cancelled() { Exit::Interrupted } else { Exit::TargetUnfit }, lines)
                })
            }
            Place::Real(options) => {
                let opened = RealCluster::open((**options).clone(), run_id, tell, cancel).await;
                opened.map(|cluster| Opened::Real(Box::new(cluster))).map_err(|lines| {
                    Stop::lines(if cancel.is_cancelled() { Exit::Interrupted } else { Exit::TargetUnfit }, lines)
                })
            }
        }
    }
}

impl Opened {
    /// The place as the engine sees it.
    pub fn target(&self) -> Target {
        match self {
            Opened::Embedded(environment) => environment.target(),
            Opened::Real(cluster) => cluster.target(),
            Opened::Aks(fit) => fit.target(),
        }
    }

    /// Durations while it was opened.
    pub fn phases(&self) -> Vec<Phase> {
        match self {
            Opened::Embedded(_) | Opened::Aks(_) => Vec::new(),
            Opened::Real(cluster) => cluster.phases.clone(),
        }
    }

    /// Waits until its Azure ends, with everything in it, before anybody asked for that; says in one line what became of it.
    pub async fn azure_ended(&self) -> String {
        match self {
            Opened::Real(cluster) => cluster.ended().await,
            // One ends with this process, the other never.
            Opened::Embedded(_) | Opened::Aks(_) => std::future::pending().await,
        }
    }

    /// Ends it, and says what is still there, a line each.
    pub async fn stop(self) -> Vec<String> {
        match self {
            Opened::Embedded(environment) => environment.stop().await.err().into_iter().collect(),
            Opened::Real(cluster) => cluster.stop().await,
            // Nothing was started.
            Opened::Aks(_) => Vec::new(),
        }
    }
}
