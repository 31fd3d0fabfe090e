//! Taking the webhook's installation away for a case, and putting it back.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wi_model::injection;
use wi_model::scenario::WebhookState;

use crate::cluster::{Cluster, Created, ObjectRef, sentence};
use crate::lease::Lease;
use crate::settle;

/// The name by which the webhook registers, whoever installed it.
pub const WEBHOOK: &str = "mutation.azure-workload-identity.io";

/// How long an API server may take to notice that a registration has changed. It is waited for, not relied on: what it
/// does then is what the case judges.
const NOTICED: Duration = Duration::from_secs(10);

/// How long a webhook may take until it shows what it makes of a pod.
const SHOWN: Duration = Duration::from_secs(5);
/// How often a registration is read again that somebody else changed in the meantime.
const LOOKS: u32 = 5;

/// The webhook's installation, as a case changes it.
pub(crate) struct Installation<'a> {
    pub(crate) registration: Option<&'a str>,
    pub(crate) cluster: &'a Cluster,
    /// The case's own namespace.
    pub(crate) namespace: &'a str,
    /// For a Service that leads nowhere.
    pub(crate) name: &'a str,
    /// The registration of the next version.
    pub(crate) upgrade: Option<&'a Value>,
    pub(crate) cancel: &'a CancellationToken,
}

impl Installation<'_> {
    /// Brings it into a state. What was there is in the lease before it is touched.
    pub(crate) async fn set(&self, state: WebhookState, lease: &mut Lease) -> Result<(), String> {
        if state == WebhookState::Installed {
            return self.put_back(lease).await;
        }
        for _ in 0..LOOKS {
            if self.set_once(state, lease).await? {
                let as_wanted = |asked: Asked| match state {
                    WebhookState::Absent | WebhookState::Elsewhere => asked == Asked::Unmutated,
                    WebhookState::Unreachable | WebhookState::Untrusted => asked == Asked::Refused,
                    WebhookState::Installed | WebhookState::Upgraded => asked == Asked::Mutated,
                };
                wait_noticed(self.cluster, self.namespace, self.cancel, as_wanted).await;
                return Ok(());
            }
        }
        Err(format!("webhook {WEBHOOK}: its registration was changed {LOOKS} times during the update"))
    }

    /// Changes the registrations as they are found; `false` where one of them was changed by somebody else meanwhile.
    async fn set_once(&self, state: WebhookState, lease: &mut Lease) -> Result<bool, String> {
        let found = self.cluster.webhook_configurations(WEBHOOK, self.registration).await;
        let configurations = found.map_err(|error| sentence(&error))?;
        if state != WebhookState::Absent && configurations.is_empty() {
            return Err(format!("no webhook {WEBHOOK} is registered, so it cannot be changed"));
        }
        for before in configurations {
            let wanted = match state {
                WebhookState::Absent => None,
                WebhookState::Unreachable => Some(self.misdirected(&before, lease).await?),
                WebhookState::Untrusted => Some(distrusted(&before)?),
                WebhookState::Upgraded => Some(self.upgraded(&before)?),
                WebhookState::Elsewhere => Some(confined(&before)),
                WebhookState::Installed => Some(before.clone()),
            };
            // What is put back is what was there before the case's first change, and only that.
            lease
                .remember(&before, wanted.clone(), Some(self.namespace.to_owned()))
                .map_err(|error| sentence(&error))?;
            let changed = match &wanted {
                Some(wanted) => self.cluster.replace(wanted).await,
                None => self.cluster.delete_exactly(&ObjectRef::of(&before), &before).await,
            };
            match changed {
                Err(kube::Error::Api(status)) if status.code == 409 => return Ok(false),
                outcome => outcome.map_err(|error| sentence(&error))?,
            }
        }
        Ok(true)
    }

    /// Brings it back as it was before the case's first change, which the lease remembers.
    async fn put_back(&self, lease: &Lease) -> Result<(), String> {
        let before = lease.to_restore();
        for (configuration, changes) in &before {
            self.cluster.put_back(configuration, changes).await.map_err(|why| why.to_string())?;
        }
        if !before.is_empty() {
            wait_noticed(self.cluster, self.namespace, self.cancel, |asked| asked == Asked::Mutated).await;
        }
        Ok(())
    }

    /// The registration of the next version in place of this one.
    fn upgraded(&self, before: &Value) -> Result<Value, String> {
        let mut next = self.upgrade.ok_or("this webhook has no next version to upgrade to")?.clone();
        for field in ["name", "uid", "resourceVersion"] {
            next["metadata"][field] = before["metadata"][field].clone();
        }
        Ok(next)
    }

    /// Led to a Service without a pod. The webhook's own Service may have other registrations, and an API server goes on
    /// using a connection that it has: to a Service that it never saw, it has none.
    async fn misdirected(&self, before: &Value, lease: &mut Lease) -> Result<Value, String> {
        let mut configuration = before.clone();
        for webhook in configuration["webhooks"].as_array_mut().into_iter().flatten() {
            let service = &mut webhook["clientConfig"]["service"];
            let Some(namespace) = service["namespace"].as_str().map(str::to_owned) else {
                return Err("cannot simulate an unreachable Service: the webhook is registered by URL".to_owned());
            };
            let port = service["port"].as_u64().unwrap_or(443);
            let mut nobody = json!({
                "apiVersion": "v1", "kind": "Service", "metadata": { "name": self.name, "namespace": namespace },
                "spec": { "selector": { "wi-conformance/nobody": "true" }, "ports": [{ "port": port }] },
            });
            if !lease.owns(&ObjectRef::of(&nobody)) {
                lease.mark(self.cluster, &mut nobody).await;
                if let Created::Refused(refused) = lease.create(self.cluster, &nobody).await? {
                    return Err(format!("Service {} was refused: {} {}", self.name, refused.status, refused.message));
                }
            }
            service["name"] = self.name.into();
        }
        Ok(configuration)
    }
}

/// With a certificate authority of somebody else.
fn distrusted(before: &Value) -> Result<Value, String> {
    use base64::Engine as _;
    let mut configuration = before.clone();
    let bundle = base64::engine::general_purpose::STANDARD.encode(crate::provision::foreign_authority()?);
    for webhook in configuration["webhooks"].as_array_mut().into_iter().flatten() {
        webhook["clientConfig"]["caBundle"] = bundle.clone().into();
    }
    Ok(configuration)
}

/// Confined to namespaces that carry a label which the case's own has not.
fn confined(before: &Value) -> Value {
    let mut configuration = before.clone();
    for webhook in configuration["webhooks"].as_array_mut().into_iter().flatten() {
        webhook["namespaceSelector"]["matchLabels"]["wi-conformance/included"] = "true".into();
    }
    configuration
}

/// What an API server does with a labelled pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Mutated,
    Unmutated,
    Refused,
}

/// Waits until the webhook is asked again after its registration was put back.
pub(crate) async fn wait_restored(cluster: &Cluster, namespace: &str) {
    wait_noticed(cluster, namespace, &CancellationToken::new(), |asked| asked == Asked::Mutated).await;
}

/// The profile that a webhook shows in a pod that is not kept; `None` where it does not mutate one.
pub(crate) async fn shown_profile(cluster: &Cluster, cancel: &CancellationToken) -> Option<&'static str> {
    let looked = || async {
        match cluster.try_out(&probe("default")).await {
            Ok(Created::Stored(stored)) => Some(injection::shown_layout(&stored).map(|layout| layout.profile)),
            // The account may not be there yet, or the webhook not asked.
            Ok(Created::Refused(_)) | Err(_) => None,
        }
    };
    settle::until(SHOWN, cancel, looked).await.ok().flatten()
}

/// A labelled pod that is good for nothing else.
fn probe(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "wi-probe", "namespace": namespace, "labels": { "azure.workload.identity/use": "true" } },
        "spec": { "automountServiceAccountToken": false, "containers": [{ "name": "probe", "image": "probe" }] },
    })
}

/// Waits, within a bound, until a labelled pod that is not kept meets what is wanted.
async fn wait_noticed(cluster: &Cluster, namespace: &str, cancel: &CancellationToken, wanted: impl Fn(Asked) -> bool) {
    let pod = probe(namespace);
    let looked = || async {
        let asked = match cluster.try_out(&pod).await {
            Ok(Created::Stored(stored)) if injection::identity_tokens(&stored).is_empty() => Asked::Unmutated,
            Ok(Created::Stored(_)) => Asked::Mutated,
            Ok(Created::Refused(_)) => Asked::Refused,
            Err(_) => return None,
        };
        wanted(asked).then_some(())
    };
    let _ = settle::until(NOTICED, cancel, looked).await;
}
