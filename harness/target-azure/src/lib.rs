//! A cluster and an Azure that are there already, as a target file names them: AKS, or whatever stands in for it. Nothing
//! is started and nothing is installed; what is missing is told before anything is made.

mod preflight;
mod registry;
mod remedy;
mod rights;
mod target_file;
mod vaults;

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wi_model::capability::Capability;
use wi_model::product::Product;
use wi_model::secret::Secret;
use wi_model::target::{ClusterTarget, PodAdditions, Target, WebhookUnderTest};

pub use target_file::{Options, print, write};

/// How long an expectation may take on nodes that pull, schedule and probe.
const PATIENCE: Duration = Duration::from_secs(90);

/// A target that was looked at and found fit.
pub struct Fit {
    target: Target,
}

impl Options {
    /// What it can do, as the file says.
    pub fn capabilities(&self) -> BTreeSet<Capability> {
        let permitted = self.file.existing_objects.then_some(Capability::ExistingObjects);
        if let Some(named) = &self.file.capabilities {
            return named.iter().copied().chain(permitted).collect();
        }
        let mut all: BTreeSet<Capability> =
            // Whoever installed the webhook that is there saw to it that nodes can pull what it injects.
            [
                Capability::RunsPods,
                Capability::RunsProxy,
                Capability::Webhook,
                Capability::IssuerReachable,
                Capability::Azure,
            ]
            .into();
        if self.azure().is_some_and(|azure| azure.journal.is_some()) {
            all.extend([Capability::RequestJournal, Capability::AzureFaults]);
        }
        if self.file.admission_journal.is_some() {
            all.insert(Capability::AdmissionJournal);
        }
        all.extend(permitted);
        all
    }

    /// How long a run may take.
    pub fn time_limit(&self) -> Option<Duration> {
        self.file.time_limit.map(|limit| limit.0)
    }

    /// The target, as far as finding and undoing what runs made needs it; the cluster is asked nothing.
    ///
    /// # Errors
    /// The file's references lead nowhere, or Azure does not give the cluster's kubeconfig; a line each.
    pub async fn target(&self, cancel: &CancellationToken) -> Result<Target, Vec<String>> {
        let azure = self.azure_target().map_err(|why| vec![why])?;
        let reader = wi_engine::Reader::connect(&azure, cancel.clone()).map_err(|why| vec![why])?;
        let kubeconfig = match self.kubeconfig() {
            Some(read) => read.map_err(|why| vec![why])?,
            None => preflight::user_kubeconfig(self, &reader).await.map_err(|why| vec![why])?,
        };
        Ok(self.assemble(azure, kubeconfig, None))
    }

    fn assemble(&self, azure: wi_model::target::AzureTarget, kubeconfig: Secret, webhook: Option<String>) -> Target {
        let file = &self.file;
        Target {
            name: self.name(),
            cluster: ClusterTarget {
                kubeconfig,
                context: self.context(),
                admission_journal: file.admission_journal.clone(),
                control: None,
                transient: false,
            },
            azure,
            pods: PodAdditions {
                azure_address: file.pods.azure_address,
                ca_bundle: file.pods.ca_bundle.as_ref().and_then(|path| self.text(path).ok()),
                images: self.images(),
                image_pull_policy: file.pods.image_pull_policy,
            },
            webhook: WebhookUnderTest {
                product: webhook.as_deref().and_then(Product::of_image),
                name: file.webhook.name.clone().or(webhook).unwrap_or_else(|| "preinstalled".to_owned()),
                profile: file.webhook.profile.clone(),
                registration: file.webhook.registration.clone(),
                upgrade: None,
            },
            capabilities: self.capabilities(),
            patience: file.patience.map_or(PATIENCE, |patience| patience.0),
        }
    }
}

/// Looks at the target and changes nothing.
///
/// # Errors
/// What is not as it must be, a line each, with the remedy.
pub async fn survey(
    options: &Options,
    tell: &(dyn Fn(&str) + Sync),
    cancel: &CancellationToken,
) -> Result<Fit, Vec<String>> {
    let surveyed = cancel.run_until_cancelled(preflight::survey(options, tell, cancel)).await;
    surveyed.unwrap_or_else(|| Err(vec!["interrupted while the target was checked".to_owned()]))
}

impl Fit {
    /// The target as the engine sees it.
    pub fn target(&self) -> Target {
        self.target.clone()
    }
}
