//! Steps into changes of the world, a file for each kind of change.

mod control;
mod exchange;
mod objects;
mod pods;
mod rights;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use wi_model::evidence::{PodEvidence, RefusalEvidence};
use wi_model::scenario::{Refusal, Step};
use wi_model::target::PodAdditions;

use crate::azure::Azure;
use crate::cluster::Cluster;
use crate::lease::Lease;
use crate::provision::{Provisioned, objects_of_manifests};

pub(crate) use exchange::{present, token_part};
pub(crate) use objects::ask_again;
pub(crate) use pods::{image, trust_config_map};

/// The pods of a case, by namespace and name; a workload's as `deployment/NAME`.
pub(crate) type Pods = BTreeMap<(String, String), PodEvidence>;

/// What steps are done with.
pub(crate) struct Stage<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) azure: &'a Azure,
    pub(crate) additions: &'a PodAdditions,
    pub(crate) registration: Option<&'a str>,
    pub(crate) upgrade: Option<&'a Value>,
    pub(crate) ready: &'a mut Provisioned,
    pub(crate) pods: &'a mut Pods,
    /// Pods that a later step asks to begin another round.
    pub(crate) asked_again: &'a BTreeSet<String>,
    pub(crate) cancel: &'a CancellationToken,
}

/// How a step came out.
#[derive(Debug)]
pub(crate) enum Done {
    /// It was taken.
    Accepted,
    /// A pod was refused, which its evidence tells.
    PodRefused(RefusalEvidence),
    /// Something else was refused.
    Refused(String, RefusalEvidence),
}

impl Stage<'_> {
    /// Does one step.
    ///
    /// # Errors
    /// What could not be done, for a reason that is not a refusal.
    pub(crate) async fn perform(&mut self, step: &Step, lease: &mut Lease) -> Result<Done, String> {
        let namespace = self.ready.namespace.clone();
        match step {
            Step::CreatePod(pod) => self.create(pods::pod_of(pod, &namespace), false, lease).await,
            Step::Apply(manifests) => {
                let objects = objects_of_manifests(manifests, &namespace);
                self.create_all(objects, manifests.existing, lease).await
            }
            Step::Patch(change) => self.change(change, lease).await,
            Step::Delete(gone) => self.delete(gone, lease).await,
            Step::RestartPod(name) => self.restart(name, lease).await,
            Step::AskAgain(name) => self.ask_again(&namespace, name).await,
            Step::AskToken(asked) => self.ask_token(asked).await,
            // Waiting is the case's own business.
            Step::Check(_) => Ok(Done::Accepted),
            Step::AdvanceTime(by) => self.advance_time(by.0).await,
            Step::AdvanceClusterTime(by) => self.advance_cluster_time(by.0).await,
            Step::SetApiServer(change) => self.set_api_server(*change).await,
            Step::SetIssuer(change) => self.set_issuer(*change).await,
            Step::SetWebhook(state) => self.set_webhook(*state, lease).await,
            Step::SetSecret(secret) => self.set_secret(secret).await,
            Step::RotateClientSecret(handle) => self.rotate_client_secret(handle).await,
            Step::Trust(trust) => self.trust(trust).await,
            Step::Distrust(distrust) => self.distrust(distrust).await,
            Step::Grant(grant) => self.grant(grant).await,
            Step::Break(fault) => self.break_azure(fault).await,
        }
    }

    /// Creates objects in order; the first that is refused is the answer, and ends the step.
    async fn create_all(&mut self, objects: Vec<Value>, existing: bool, lease: &mut Lease) -> Result<Done, String> {
        let mut done = Done::Accepted;
        for object in objects {
            match self.create(object, existing, lease).await? {
                Done::Accepted => {}
                // The other pods of a manifest are created all the same: each is evidence of its own.
                refused @ Done::PodRefused(_) => done = refused,
                refused @ Done::Refused(..) => return Ok(refused),
            }
        }
        Ok(done)
    }
}

/// How a step must be refused, where it must.
pub(crate) fn refusal(step: &Step) -> Option<&Refusal> {
    match step {
        Step::Apply(manifests) => manifests.refused.as_ref(),
        Step::Patch(change) => change.refused.as_ref(),
        Step::Trust(trust) => trust.refused.as_ref(),
        _ => None,
    }
}
