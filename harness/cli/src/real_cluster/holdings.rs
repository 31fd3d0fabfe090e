//! What an environment holds outside the engine's ledger: clusters, containers, images, and objects that every case uses.
//! Written down before it is made, so that a killed run's holdings are found and removed.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::api::{DeleteParams, DynamicObject};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::docker::Docker;
use super::kind;
use crate::{kubernetes, patience};

/// The list, in the folder of its environment.
const FILE: &str = "holdings.jsonl";
/// The kubeconfig by which objects are removed, beside the list.
pub(crate) const KUBECONFIG: &str = "kubeconfig";
/// How long an object may take to be gone.
const GONE: Duration = Duration::from_secs(90);

/// Something that is ours to remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub(crate) enum Held {
    /// A cluster that we made.
    Cluster { name: String },
    /// A network that was not there before.
    Network { name: String },
    /// A container.
    Container { name: String },
    /// A name of an image in the Docker engine.
    Image { name: String },
    /// Names of images on a cluster's nodes.
    NodeImages { nodes: Vec<String>, names: Vec<String> },
    /// A Kubernetes object.
    Object { api_version: String, kind: String, namespace: Option<String>, name: String },
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Held::Cluster { name } => write!(f, "kind cluster {name}"),
            Held::Network { name } => write!(f, "network {name}"),
            Held::Container { name } => write!(f, "container {name}"),
            Held::Image { name } => write!(f, "image {name}"),
            Held::NodeImages { nodes, names } => write!(f, "{} images on {}", names.len(), nodes.join(", ")),
            Held::Object { kind, namespace: Some(namespace), name, .. } => write!(f, "{kind} {namespace}/{name}"),
            Held::Object { kind, name, .. } => write!(f, "{kind} {name}"),
        }
    }
}

/// The open list of an environment.
pub(crate) struct Holdings {
    folder: PathBuf,
    file: File,
    held: Vec<Held>,
}

impl Holdings {
    /// A new list in a folder that is the environment's alone.
    pub(crate) fn open(folder: &Path) -> std::io::Result<Self> {
        let file = File::options().create_new(true).append(true).mode(0o600).open(folder.join(FILE))?;
        Ok(Holdings { folder: folder.to_owned(), file, held: Vec::new() })
    }

    /// Writes down something that is about to be made. Only then may it be made.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) fn take(&mut self, held: Held) -> Result<(), String> {
        let line = serde_json::to_string(&held).unwrap_or_default();
        let written = writeln!(self.file, "{line}").and_then(|()| self.file.sync_data());
        written.map_err(|error| format!("{}: {error}; name another folder with --state-dir", self.folder.display()))?;
        self.held.push(held);
        Ok(())
    }

    /// The same for an object.
    pub(crate) fn take_object(&mut self, object: &Value) -> Result<(), String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.take(Held::Object {
            api_version: text(&object["apiVersion"]),
            kind: text(&object["kind"]),
            namespace: object["metadata"]["namespace"].as_str().map(str::to_owned),
            name: text(&object["metadata"]["name"]),
        })
    }

    /// What is held, in two parts.
    pub(crate) fn split(self, first: impl Fn(&Held) -> bool) -> (Vec<Held>, Vec<Held>) {
        self.held.into_iter().partition(first)
    }

    /// Removes everything, the latest first. What is still there is returned, a line each.
    pub(crate) async fn release(self) -> Vec<String> {
        release(self.held, &self.folder, &mut |_| {}).await
    }
}

/// What a list that was left behind says; `None` when there is none. A torn last line is what a kill leaves: what it
/// speaks of was not made yet.
pub(crate) fn remains(folder: &Path) -> Option<Vec<Held>> {
    let text = std::fs::read_to_string(folder.join(FILE)).ok()?;
    Some(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// Removes what is held, the latest first, and tells each that is gone. What is still there is returned, a line each.
pub(crate) async fn release(held: Vec<Held>, folder: &Path, gone: &mut (dyn FnMut(&Held) + Send)) -> Vec<String> {
    let whole_cluster = held.iter().any(|held| matches!(held, Held::Cluster { .. }));
    let mut left = Vec::new();
    // Objects first, all at once: a namespace takes seconds to go, and goes as well beside another. With the cluster they
    // go by themselves, and so do the images on its nodes.
    let in_cluster = |held: &Held| matches!(held, Held::Object { .. } | Held::NodeImages { .. });
    let (inside, outside): (Vec<Held>, Vec<Held>) = held.into_iter().rev().partition(in_cluster);
    if !whole_cluster {
        let (objects, images): (Vec<Held>, Vec<Held>) =
            inside.into_iter().partition(|held| matches!(held, Held::Object { .. }));
        let removed = futures::future::join_all(objects.iter().map(|held| undo(held, folder))).await;
        let mut tell = |held: &Held, outcome: Result<(), String>| match outcome {
            Ok(()) => gone(held),
            Err(why) => left.push(format!("{held}: {why}")),
        };
        objects.iter().zip(removed).for_each(|(held, outcome)| tell(held, outcome));
        for held in images {
            let outcome = undo(&held, folder).await;
            tell(&held, outcome);
        }
    }
    for held in outside {
        match undo(&held, folder).await {
            Ok(()) => gone(&held),
            Err(why) => left.push(format!("{held}: {why}")),
        }
    }
    left
}

async fn undo(held: &Held, folder: &Path) -> Result<(), String> {
    match held {
        Held::Cluster { name } => kind::delete(name, &folder.join(KUBECONFIG)).await,
        Held::Network { name } => Docker::connect().await?.remove_unused_network(name).await,
        Held::Container { name } => Docker::connect().await?.remove(name).await,
        Held::Image { name } => Docker::connect().await?.remove_image(name).await,
        Held::NodeImages { nodes, names } => {
            for node in nodes {
                super::node::remove_images(node, names).await?;
            }
            Ok(())
        }
        Held::Object { api_version, kind, namespace, name } => {
            let kubeconfig = std::fs::read_to_string(folder.join(KUBECONFIG)).map_err(|error| error.to_string())?;
            let client = kubernetes::client(&kubeconfig, None).await?;
            let object = json!({ "apiVersion": api_version, "kind": kind, "metadata": { "namespace": namespace, "name": name } });
            remove_object(&client, object, name).await
        }
    }
}

async fn remove_object(client: &kube::Client, object: Value, name: &str) -> Result<(), String> {
    let object: DynamicObject = serde_json::from_value(object).map_err(|error| error.to_string())?;
    let api = kubernetes::api_of(client, &object);
    match api.delete(name, &DeleteParams::background()).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(error) => return Err(kubernetes::sentence(&error)),
    }
    patience::until(GONE, || async { matches!(api.get_opt(name).await, Ok(None)).then_some(()) })
        .await
        .ok_or_else(|| format!("still there {} s after its deletion", GONE.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_written_down_remains_and_a_torn_line_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let mut holdings = Holdings::open(folder.path()).unwrap();
        holdings.take(Held::Container { name: "a".into() }).unwrap();
        holdings.take_object(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "n" } })).unwrap();
        write!(holdings.file, "{{\"what\":\"clus").unwrap();
        let remains = remains(folder.path()).unwrap();
        assert_eq!(remains.iter().map(ToString::to_string).collect::<Vec<_>>(), ["container a", "Namespace n"]);
    }
}
