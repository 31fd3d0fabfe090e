//! Removing what an environment holds, where it is proved to be that.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use kube::api::{DeleteParams, DynamicObject, Preconditions};
use serde_json::json;
use wi_engine::Kept;
use wi_engine::kubernetes;
use wi_serve::wait;

use super::docker::{Docker, RUN_LABEL};
use super::holdings::{ENVIRONMENT_LABEL, Held, Holding, KUBECONFIG};
use super::node;

/// How long an object may take to be gone.
const GONE: Duration = Duration::from_secs(90);
/// How often an object is looked at again that changed between the look and its deletion.
const LOOKS: u32 = 5;

/// Removes what one list holds.
pub(super) struct Release<'a> {
    folder: &'a Path,
    /// Namespaces of the list: what is in one goes with it.
    namespaces: BTreeSet<String>,
}

fn unproven(why: impl Into<String>) -> Kept {
    Kept::Unproven { why: why.into() }
}

/// Whether something was made after it was written down. The other clock has whole seconds.
fn after(holding: &Holding, created: Option<jiff::Timestamp>) -> Result<(), Kept> {
    match (holding.written, created) {
        (Some(written), Some(created)) if created.as_second() >= written.as_second() => Ok(()),
        (Some(written), Some(created)) => {
            Err(unproven(format!("it was created at {created}, before its ledger entry at {written}")))
        }
        (None, _) | (_, None) => Err(unproven("its creation time is unknown")),
    }
}

impl<'a> Release<'a> {
    pub(super) fn new(folder: &'a Path, held: &[Holding]) -> Self {
        let namespaces = held.iter().filter_map(|one| match &one.held {
            Held::Object { kind, name, .. } if kind == "Namespace" => Some(name.clone()),
            _ => None,
        });
        Release { folder, namespaces: namespaces.collect() }
    }

    /// Removes one thing. One that is not there is as good as removed.
    pub(super) async fn undo(&self, holding: &Holding) -> Result<(), Kept> {
        let docker = async || Docker::connect().await.map_err(Kept::Failed);
        match &holding.held {
            Held::Cluster { name, mark } => cluster(&docker().await?, holding, name, mark.as_deref()).await,
            Held::Network { name } => network(&docker().await?, holding, name).await,
            Held::Container { name } => container(&docker().await?, holding, name).await,
            Held::Image { name } => image(&docker().await?, holding, name).await,
            Held::NodeImages { nodes, names, digests } => {
                if digests.is_empty() && !names.is_empty() {
                    return Err(unproven("their expected values are unknown"));
                }
                for node in nodes {
                    node::remove_images(node, digests).await.map_err(Kept::Failed)?;
                }
                Ok(())
            }
            Held::Object { api_version, kind, namespace, name } => {
                let failed = |why: String| Kept::Failed(why);
                let kubeconfig = std::fs::read_to_string(self.folder.join(KUBECONFIG));
                let kubeconfig = kubeconfig.map_err(|error| failed(error.to_string()))?;
                let client = kubernetes::client(&kubeconfig, None).await.map_err(failed)?;
                let metadata = json!({ "namespace": namespace, "name": name });
                let object = json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata });
                let object: DynamicObject =
                    serde_json::from_value(object).map_err(|error| failed(error.to_string()))?;
                let inside = namespace.as_ref().is_some_and(|namespace| self.namespaces.contains(namespace));
                remove_object(&client, holding, &object, inside).await
            }
        }
    }
}

/// Removes the containers of a kind cluster, each by its id, once all of them are known to be ours.
async fn cluster(docker: &Docker, holding: &Holding, name: &str, mark: Option<&Path>) -> Result<(), Kept> {
    let nodes = docker.nodes_of(name).await.map_err(Kept::Failed)?;
    for node in &nodes {
        let marked = || mark.is_some_and(|mark| node.mounts.iter().any(|mount| Path::new(mount) == mark));
        // The mark decides only where nobody heard what the nodes are called.
        let ours = if holding.ids.is_empty() { marked() } else { holding.ids.contains(&node.id) };
        if ours {
            continue;
        }
        return Err(match holding.ids.first() {
            Some(expected) => {
                Kept::Replaced { expected: format!("container {expected}"), found: format!("container {}", node.id) }
            }
            None => unproven(format!("node {} does not carry the mark of this run", node.name)),
        });
    }
    for node in nodes {
        docker.remove(&node.id).await.map_err(Kept::Failed)?;
    }
    Ok(())
}

async fn network(docker: &Docker, holding: &Holding, name: &str) -> Result<(), Kept> {
    let Some(found) = docker.network(name).await.map_err(Kept::Failed)? else { return Ok(()) };
    if found.used {
        // Others have come to use it; then it is theirs.
        return Ok(());
    }
    match holding.ids.first() {
        Some(ours) if *ours == found.id => {}
        Some(ours) => {
            return Err(Kept::Replaced { expected: format!("network {ours}"), found: format!("network {}", found.id) });
        }
        None => return Err(unproven("kind created it, and its id is unknown")),
    }
    docker.remove_unused_network(&found.id).await.map_err(Kept::Failed)
}

async fn container(docker: &Docker, holding: &Holding, name: &str) -> Result<(), Kept> {
    let Some(found) = docker.container(name).await.map_err(Kept::Failed)? else { return Ok(()) };
    if let Some(ours) = holding.ids.first()
        && *ours != found.id
    {
        return Err(Kept::Replaced { expected: format!("container {ours}"), found: format!("container {}", found.id) });
    }
    if found.run.as_deref() != Some(&holding.run) {
        // A container's labels never change, so a container of this run always has it.
        return Err(unproven(format!("it does not carry {RUN_LABEL}={}", holding.run)));
    }
    if holding.ids.is_empty() {
        after(holding, found.created)?;
    }
    docker.remove(&found.id).await.map_err(Kept::Failed)
}

async fn image(docker: &Docker, holding: &Holding, name: &str) -> Result<(), Kept> {
    let Some(found) = docker.image(name).await.map_err(Kept::Failed)? else { return Ok(()) };
    if let Some(ours) = holding.ids.first()
        && *ours != found.id
    {
        return Err(Kept::Replaced { expected: format!("image {ours}"), found: format!("image {}", found.id) });
    }
    if found.run.as_deref() != Some(&holding.run) {
        return Err(unproven(format!("it does not carry {RUN_LABEL}={}", holding.run)));
    }
    docker.remove_image(name).await.map_err(Kept::Failed)
}

async fn remove_object(
    client: &kube::Client,
    holding: &Holding,
    object: &DynamicObject,
    inside: bool,
) -> Result<(), Kept> {
    let failed = |error: kube::Error| Kept::Failed(kubernetes::sentence(&error));
    let (api, name) = (kubernetes::api_of(client, object), object.metadata.name.clone().unwrap_or_default());
    if inside && holding.ids.is_empty() {
        // It goes with its namespace.
        return Ok(());
    }
    for _ in 0..LOOKS {
        let Some(found) = api.get_opt(&name).await.map_err(failed)? else { return Ok(()) };
        let uid = found.metadata.uid.clone().unwrap_or_default();
        if let Some(ours) = holding.ids.first()
            && *ours != uid
        {
            return Err(Kept::Replaced { expected: format!("uid {ours}"), found: format!("uid {uid}") });
        }
        let label = wi_engine::label(&holding.run);
        if found.metadata.labels.as_ref().and_then(|labels| labels.get(ENVIRONMENT_LABEL)) != Some(&label) {
            let mark = format!("{ENVIRONMENT_LABEL}={label}");
            let taken = !holding.ids.is_empty();
            return Err(if taken { Kept::TakenOver { mark } } else { unproven(format!("it does not carry {mark}")) });
        }
        if holding.ids.is_empty() {
            after(holding, found.metadata.creation_timestamp.as_ref().map(|time| time.0))?;
        }
        let version = found.metadata.resource_version.clone();
        let preconditions = Preconditions { uid: Some(uid.clone()), resource_version: version };
        match api.delete(&name, &DeleteParams::background().preconditions(preconditions)).await {
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => continue,
            outcome => _ = outcome.map_err(failed)?,
        }
        let gone = || async {
            let found = api.get_opt(&name).await.ok()?;
            found.is_none_or(|found| found.metadata.uid.as_deref() != Some(&uid)).then_some(())
        };
        let gone = wait::until(GONE, gone).await;
        return gone.ok_or_else(|| Kept::Failed(format!("still there {} s after its deletion", GONE.as_secs())));
    }
    Err(Kept::Failed(format!("it was changed {LOOKS} times between a check and its deletion")))
}
