//! A connected target for one run, proved to be what it claims to be.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;
use wi_model::capability::Capability;
use wi_model::evidence::Facts;
use wi_model::plan::Case;
use wi_model::record::{Environment, Record};
use wi_model::target::Target;

use crate::azure::Azure;
use crate::case::{self, CaseOptions, Event};
use crate::cluster::{Cluster, sentence};
use crate::ledger::Ledger;
use crate::provision::Group;
use crate::undo::Left;
use crate::webhook::{self, WEBHOOK};

/// A connected target for one run.
pub struct Session {
    pub(crate) target: Target,
    pub(crate) run_id: String,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) cluster: Cluster,
    pub(crate) azure: Azure,
    pub(crate) facts: Facts,
    /// The run's resource group.
    pub(crate) group: Group,
    /// What the webhooks behind Services were started with, by namespace and name of the Service.
    pub(crate) webhook_values: tokio::sync::Mutex<BTreeMap<(String, String), BTreeMap<String, String>>>,
    environment: Environment,
    left: Mutex<Vec<Left>>,
}

/// What was found out while connecting.
pub(crate) struct Known {
    pub(crate) issuer: String,
    pub(crate) tenant_id: String,
    pub(crate) authority: String,
    pub(crate) profile: Option<String>,
    pub(crate) pods_run: bool,
    pub(crate) request_journal: bool,
    pub(crate) kubernetes: String,
}

/// A target that is not what it claims to be.
#[derive(Debug, thiserror::Error)]
#[error("the target does not meet a prerequisite: {what}: expected {expected}, found {found}; {remedy}")]
pub struct SessionError {
    what: &'static str,
    expected: String,
    found: String,
    remedy: &'static str,
}

impl Session {
    /// Connects, and proves what the target claims. Nothing is changed.
    ///
    /// # Errors
    /// The first claim that does not hold, with what to do about it.
    pub async fn open(
        target: Target,
        run_id: &str,
        ledger: Arc<Ledger>,
        cancel: CancellationToken,
    ) -> Result<Self, SessionError> {
        let unfit = |what, expected: &str, found: String, remedy| SessionError {
            what,
            expected: expected.to_owned(),
            found,
            remedy,
        };
        let cluster = Cluster::connect(&target.cluster)
            .await
            .map_err(|why| unfit("cluster", "a usable kubeconfig", why, "check the kubeconfig and its context"))?;
        let version = cluster.version().await.map_err(|error| {
            unfit(
                "cluster",
                "an API server that answers",
                sentence(&error),
                "check that the cluster is running and reachable from here",
            )
        })?;
        let issuer = cluster.issuer().await.map_err(|why| {
            unfit(
                "issuer",
                "a discovery document",
                why,
                "enable the OIDC issuer, and permit reading /.well-known/openid-configuration",
            )
        })?;
        let has = |capability| target.capabilities.contains(&capability);
        if has(Capability::Webhook) {
            let found = cluster.webhook_configurations(WEBHOOK, target.webhook.registration.as_deref()).await.map_err(
                |error| {
                    unfit(
                        "webhook",
                        "to list webhook configurations",
                        sentence(&error),
                        "grant the permission to list mutatingwebhookconfigurations",
                    )
                },
            )?;
            if found.is_empty() {
                return Err(unfit(
                    "webhook",
                    WEBHOOK,
                    "no configuration that contains it".to_owned(),
                    "install the webhook, or remove the capability from the target file",
                ));
            }
        }
        let azure = Azure::connect(&target.azure, cancel.clone()).map_err(|why| {
            unfit("Azure", "a usable connection", why, "check the target's trust roots and credential")
        })?;
        if has(Capability::Azure) {
            azure.sign_in().await.map_err(|error| {
                unfit("Azure", "a token for Resource Manager", error.to_string(), "check tenant, client id and secret")
            })?;
            azure.arm().subscription().await.map_err(|error| {
                unfit(
                    "Azure",
                    "the subscription",
                    error.to_string(),
                    "check the subscription id, and the credential's permissions on it",
                )
            })?;
        }
        if has(Capability::RequestJournal) {
            // From here on it is known what was there before the run.
            azure.journal(0).await.map_err(|error| {
                unfit(
                    "request journal",
                    "a list",
                    error.to_string(),
                    "remove the capability from the target file, or name the journal's address",
                )
            })?;
        }
        if has(Capability::AdmissionJournal) {
            cluster.admission_journal("default").await.map_err(|why| {
                unfit("admission journal", "a list", why, "remove the capability from the target file")
            })?;
        }
        let profile = match &target.webhook.profile {
            // One that a case upgrades is not the same all the time.
            None if has(Capability::Webhook) && target.webhook.upgrade.is_none() => {
                webhook::shown_profile(&cluster, &cancel).await.map(str::to_owned)
            }
            declared => declared.clone(),
        };
        let facts = case::facts(&Known {
            issuer,
            tenant_id: target.azure.tenant_id.clone(),
            authority: target.azure.authority.clone(),
            profile: profile.clone(),
            pods_run: has(Capability::RunsPods),
            request_journal: has(Capability::RequestJournal),
            kubernetes: version.clone(),
        });
        let environment = Environment {
            target: target.name.clone(),
            webhook: target.webhook.name.clone(),
            product: target.webhook.product.clone(),
            profile,
            kubernetes: Some(version),
            harness: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: target.capabilities.iter().map(ToString::to_string).collect(),
        };
        let left = Mutex::default();
        let group = Group::new(&target.azure.marks.prefix, run_id);
        let (run_id, webhook_values) = (run_id.to_owned(), tokio::sync::Mutex::default());
        Ok(Session { group, target, run_id, ledger, cluster, azure, facts, webhook_values, environment, left })
    }

    /// What is judged, and where.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The issuer of the cluster's tokens.
    pub fn issuer(&self) -> &str {
        &self.facts.issuer
    }

    /// Runs a case to its record, whatever happens.
    pub async fn run(&self, case: &Case, options: &CaseOptions, on_event: &(dyn Fn(&Event) + Sync)) -> Record {
        case::run(self, case, options, on_event).await
    }

    pub(crate) fn leave_behind(&self, left: &[Left]) {
        if let Ok(mut all) = self.left.lock() {
            all.extend_from_slice(left);
        }
    }

    /// Asks the API server for a sign of life.
    ///
    /// # Errors
    /// It gives none; in one line.
    pub async fn answers(&self) -> Result<(), String> {
        let answered = self.cluster.answers().await;
        answered.map_err(|why| format!("the cluster stopped answering during the run: {why}"))
    }

    /// Says that this Azure has ended, with everything in it: what is under way there fails now, and nothing is cleaned up
    /// there.
    pub fn azure_ended(&self) {
        self.azure.end();
    }

    /// Ends the session and says what was left behind: nothing, when the cluster itself `ends` now. A session that leaves
    /// nothing takes its ledger along.
    pub async fn close(self, ends: bool) -> Vec<String> {
        let mut left = self.left.into_inner().unwrap_or_default();
        if ends && self.target.azure.transient {
            left.clear();
        }
        if !self.target.azure.transient && !self.azure.has_ended() {
            let spared =
                left.iter().filter(|left| left.why.is_settled()).filter_map(|left| left.within.clone()).collect();
            left.extend(self.group.remove(&self.azure.uncancelled(), &self.ledger, &self.run_id, spared).await);
        }
        // What is not ours is told once; a sweep has nothing more to do about it.
        let settled = left.iter().all(|left| left.why.is_settled());
        let mut told: Vec<String> = left.iter().map(ToString::to_string).collect();
        if settled && let Err(error) = self.ledger.close() {
            told.push(sentence(&error));
        }
        told
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use wi_model::secret::Secret;
    use wi_model::target::{AzureTarget, ClusterTarget, Credential, PodAdditions, WebhookUnderTest};

    use super::*;

    /// A target that leads nowhere.
    pub(crate) fn target() -> Target {
        Target {
            name: "nowhere".into(),
            cluster: ClusterTarget {
                kubeconfig: Secret::new("{}"),
                context: None,
                admission_journal: None,
                control: None,
                transient: true,
            },
            azure: AzureTarget {
                authority: "https://login.microsoftonline.com/".into(),
                resource_manager: "https://management.azure.com/".into(),
                graph: "https://graph.microsoft.com/".into(),
                vault_domain: "vault.azure.net".into(),
                tenant_id: "00000000-0000-0000-0000-000000000001".into(),
                subscription_id: "00000000-0000-0000-0000-000000000002".into(),
                location: "westeurope".into(),
                credential: Credential::ClientSecret { client_id: "c".into(), secret: Secret::new("s") },
                trust_roots: None,
                connect: None,
                journal: None,
                journal_token: None,
                marks: wi_model::target::Marks::default(),
                transient: true,
            },
            pods: PodAdditions::default(),
            webhook: WebhookUnderTest {
                name: "none".into(),
                product: None,
                profile: None,
                registration: None,
                upgrade: None,
            },
            capabilities: [].into(),
            patience: Duration::from_secs(1),
        }
    }

    #[tokio::test]
    async fn a_kubeconfig_that_leads_nowhere_is_told_in_one_line_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let target = target();
        let ledger = Arc::new(Ledger::open(folder.path(), "r", &target).unwrap());
        let error = Session::open(target, "r", ledger, CancellationToken::new()).await.err().unwrap().to_string();
        assert!(
            error.contains("cluster: expected a usable kubeconfig") && error.contains("check the kubeconfig"),
            "{error}"
        );
        assert!(!error.contains('\n'), "{error}");
    }
}
