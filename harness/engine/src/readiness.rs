//! Waiting until a webhook's pods are ready, and telling why they are not.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{Api, ListParams, LogParams};
use wi_model::webhook_log;
use wi_serve::wait;

use crate::kubernetes;

/// How much of a log is read.
const LONGEST_LOG: i64 = 1 << 20;
/// Which of its lines are told where nothing in it explains the failure.
const LAST_LINES: usize = 5;

/// Whether a container that keeps crashing may still come up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crashes {
    /// It may: what it lacks may come.
    Heal,
    /// It may not: everything was there before it was started.
    AreFinal,
}

/// Why pods are not ready.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}")]
pub struct NotReady {
    /// In one line: the pod's state, the probe's last answer, and what its log tells.
    pub what: String,
    /// Everything that they printed.
    pub log: String,
}

impl NotReady {
    /// A failure before anything ran.
    pub fn before_it_ran(what: String) -> Self {
        NotReady { what, log: String::new() }
    }
}

/// Waits until every Deployment of a namespace has all its pods.
///
/// # Errors
/// They are not there within the bound, or never will be.
pub async fn wait(client: &kube::Client, namespace: &str, bound: Duration, crashes: Crashes) -> Result<(), NotReady> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let settled = wait::until(bound, || async {
        let all = deployments.list(&ListParams::default()).await.ok()?;
        if !all.items.is_empty() && all.items.iter().all(is_available) {
            return Some(Ok(()));
        }
        if crashes == Crashes::Heal {
            return None;
        }
        if let Some(refused) = all.items.iter().find_map(refused_pods) {
            return Some(Err(format!("the API server refused its pods: {refused}")));
        }
        let found = pods.list(&ListParams::default()).await.ok()?;
        found.items.iter().any(keeps_crashing).then(|| Err("it keeps crashing".to_owned()))
    });
    let why = match settled.await {
        Some(Ok(())) => return Ok(()),
        Some(Err(why)) => why,
        None => format!("not ready within {} s", bound.as_secs()),
    };
    Err(explain(client, namespace, &why).await)
}

fn is_available(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let available = deployment.status.as_ref().and_then(|status| status.available_replicas);
    available.unwrap_or(0) >= wanted
}

/// What the API server said of pods that it did not let a Deployment make.
fn refused_pods(deployment: &Deployment) -> Option<String> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    let failure = conditions.iter().find(|condition| {
        condition.type_.as_deref() == Some("ReplicaFailure") && condition.status.as_deref() == Some("True")
    });
    failure.and_then(|condition| condition.message.clone())
}

fn waiting(pod: &Pod) -> Option<(&str, &str)> {
    pod.status.as_ref()?.container_statuses.iter().flatten().find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        Some((waiting.reason.as_deref().unwrap_or_default(), waiting.message.as_deref().unwrap_or_default()))
    })
}

fn keeps_crashing(pod: &Pod) -> bool {
    waiting(pod).is_some_and(|(reason, _)| reason == "CrashLoopBackOff")
}

/// Looks at each pod: its state, what its readiness probe answers, and its log, of the run before too.
async fn explain(client: &kube::Client, namespace: &str, why: &str) -> NotReady {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pods = api.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
    let (mut told, mut log) = (Vec::new(), String::new());
    for pod in &pods {
        let own = logs(&api, pod).await;
        let mut parts = vec![state(pod)];
        parts.extend(asked(client, namespace, pod).await);
        parts.push(match webhook_log::finding(&own) {
            Some(finding) => finding,
            None if own.trim().is_empty() => "it printed nothing".to_owned(),
            None => format!("its last lines: {}", webhook_log::last_lines(&own, LAST_LINES)),
        });
        told.push(parts.join("; "));
        log.push_str(&own);
    }
    let pods = if told.is_empty() { format!("namespace {namespace} has no pod") } else { told.join("; ") };
    NotReady { what: format!("{why}: {pods}"), log }
}

/// What a pod printed in the run before and in this one.
pub async fn logs(api: &Api<Pod>, pod: &Pod) -> String {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let mut all = String::new();
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    for container in containers {
        // The run before comes first: of one that was started again, it tells the same.
        for previous in [true, false] {
            let params = LogParams {
                container: Some(container.name.clone()),
                previous,
                limit_bytes: Some(LONGEST_LOG),
                ..LogParams::default()
            };
            // One that did not run has none.
            let said = api.logs(name, &params).await.unwrap_or_default();
            all.push_str(&said);
            if !said.is_empty() && !said.ends_with('\n') {
                all.push('\n');
            }
        }
    }
    all
}

/// A pod's state in a phrase: what it waits for, how it ended, or its phase.
fn state(pod: &Pod) -> String {
    let name = pod.metadata.name.as_deref().unwrap_or("?");
    let status = pod.status.clone().unwrap_or_default();
    let ended = status.container_statuses.iter().flatten().find_map(|container| {
        let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        let now = container.state.as_ref().and_then(|state| state.terminated.as_ref());
        now.or(last).map(|ended| format!(" after exit {}", ended.exit_code))
    });
    let phase = match waiting(pod) {
        Some((reason, message)) => format!("{reason} {message}").trim().to_owned(),
        None => status.phase.unwrap_or_default(),
    };
    format!("pod {name}: {phase}{}", ended.unwrap_or_default())
}

/// The address of a pod's readiness probe, and what is answered there now. `None` of a pod that does not run.
async fn asked(client: &kube::Client, namespace: &str, pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let runs = status
        .container_statuses
        .iter()
        .flatten()
        .any(|container| container.state.as_ref().is_some_and(|state| state.running.is_some()));
    let address = status.pod_ip.as_deref().filter(|_| runs)?;
    let container = pod.spec.as_ref()?.containers.iter().find(|container| container.readiness_probe.is_some())?;
    let probe = container.readiness_probe.as_ref()?.http_get.as_ref()?;
    let (port, path) = (port_of(container, &probe.port)?, probe.path.as_deref().unwrap_or("/"));
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let answer = match kubernetes::ask_pod(client, namespace, name, port, path).await {
        Ok((status, text)) => format!("answered {status} `{text}`"),
        Err(why) => format!("did not answer: {why}"),
    };
    Some(format!("GET http://{address}:{port}{path} {answer}"))
}

fn port_of(container: &Container, port: &IntOrString) -> Option<u16> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|known| known.name.as_ref() == Some(name));
            named.map(|port| port.container_port)
        }
    };
    number.and_then(|number| u16::try_from(number).ok())
}
