//! What an environment holds outside the engine's ledger: clusters, containers, images, and objects that every case uses.
//! Written down before it is made, so that a killed run's holdings are found, and with what it was called when it was made, so
//! that nothing else is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use kube::api::PostParams;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use wi_engine::kubernetes;
use wi_engine::{Kept, Left};

use super::release::Release;

/// The list, in the folder of its environment.
const FILE: &str = "holdings.jsonl";
/// The kubeconfig by which objects are removed, beside the list.
pub(crate) const KUBECONFIG: &str = "kubeconfig";
/// On every object that an environment makes: which one.
pub(crate) const ENVIRONMENT_LABEL: &str = "wi-conformance/environment";

/// Something that is ours to remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Held {
    /// A cluster that we made.
    Cluster {
        /// Its name.
        name: String,
        /// A mounted folder that identifies the nodes of this run.
        #[serde(default)]
        mark: Option<PathBuf>,
    },
    /// A network that was not there before.
    Network {
        /// Its name.
        name: String,
    },
    /// A container.
    Container {
        /// Its name.
        name: String,
    },
    /// A name of an image in the Docker engine.
    Image {
        /// The name.
        name: String,
    },
    /// Names of images on a cluster's nodes, and what each must be.
    NodeImages {
        /// The nodes.
        nodes: Vec<String>,
        /// The names.
        names: Vec<String>,
        /// The digest of each, by name.
        #[serde(default)]
        digests: BTreeMap<String, String>,
    },
    /// A Kubernetes object.
    Object {
        /// Its API version.
        api_version: String,
        /// Its kind.
        kind: String,
        /// Its namespace.
        namespace: Option<String>,
        /// Its name.
        name: String,
    },
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Held::Cluster { name, .. } => write!(f, "kind cluster {name}"),
            Held::Network { name } => write!(f, "network {name}"),
            Held::Container { name } => write!(f, "container {name}"),
            Held::Image { name } => write!(f, "image {name}"),
            Held::NodeImages { nodes, names, .. } => write!(f, "{} images on {}", names.len(), nodes.join(", ")),
            Held::Object { kind, namespace: Some(namespace), name, .. } => write!(f, "{kind} {namespace}/{name}"),
            Held::Object { kind, name, .. } => write!(f, "{kind} {name}"),
        }
    }
}

/// Something that is held, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) number: u64,
    pub(crate) held: Held,
    /// The run that made it.
    pub(crate) run: String,
    /// When it was written down, which is before it was made.
    pub(crate) written: Option<jiff::Timestamp>,
    /// What it was called when it was made: ids of containers, a uid. Empty where nobody heard of it.
    pub(crate) ids: BTreeSet<String>,
}

/// A line of the list.
#[derive(Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
enum Line {
    Holds { number: u64, run: String, written: jiff::Timestamp, held: Held },
    Made { number: u64, ids: BTreeSet<String> },
    Gone { number: u64 },
}

/// The open list of an environment.
pub(crate) struct Holdings {
    folder: PathBuf,
    run: String,
    file: File,
    held: Vec<Holding>,
}

impl Holdings {
    /// A new list in a folder that is the environment's alone.
    pub(crate) fn open(folder: &Path, run: &str) -> std::io::Result<Self> {
        let file = File::options().create_new(true).append(true).mode(0o600).open(folder.join(FILE))?;
        Ok(Holdings { folder: folder.to_owned(), run: run.to_owned(), file, held: Vec::new() })
    }

    fn write(&mut self, line: &Line) -> Result<(), String> {
        let line = serde_json::to_string(line).unwrap_or_default();
        let written = writeln!(self.file, "{line}").and_then(|()| self.file.sync_data());
        written.map_err(|error| format!("{}: {error}; choose another folder with --state-dir", self.folder.display()))
    }

    /// Writes down something that is about to be made. Only then may it be made.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) fn take(&mut self, held: Held) -> Result<u64, String> {
        let number = self.held.len() as u64 + 1;
        let written = jiff::Timestamp::now();
        let run = self.run.clone();
        self.write(&Line::Holds { number, run: run.clone(), written, held: held.clone() })?;
        self.held.push(Holding { number, held, run, written: Some(written), ids: BTreeSet::new() });
        Ok(number)
    }

    /// Writes down what it is called now that it is made.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) fn made(&mut self, number: u64, ids: impl IntoIterator<Item = String>) -> Result<(), String> {
        let ids: BTreeSet<String> = ids.into_iter().collect();
        if let Some(holding) = self.held.iter_mut().find(|holding| holding.number == number) {
            holding.ids.extend(ids.iter().cloned());
        }
        self.write(&Line::Made { number, ids })
    }

    /// Strikes out what was not made: another user's has its name.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) fn forget(&mut self, number: u64) -> Result<(), String> {
        // The place in the list stays, so that numbers stay what they are.
        if let Some(holding) = self.held.iter_mut().find(|holding| holding.number == number) {
            holding.number = 0;
        }
        self.write(&Line::Gone { number })
    }

    /// The same of something that another list held.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) fn take_over(&mut self, holding: Holding) -> Result<(), String> {
        let number = self.held.len() as u64 + 1;
        let Holding { held, run, written, ids, .. } = holding;
        let at = written.unwrap_or_else(jiff::Timestamp::now);
        self.write(&Line::Holds { number, run: run.clone(), written: at, held: held.clone() })?;
        self.write(&Line::Made { number, ids: ids.clone() })?;
        self.held.push(Holding { number, held, run, written, ids });
        Ok(())
    }

    /// An object that is about to be made, with the mark of this environment on it.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) fn take_object(&mut self, object: &mut Value) -> Result<u64, String> {
        object["metadata"]["labels"][ENVIRONMENT_LABEL] = wi_engine::label(&self.run).into();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.take(Held::Object {
            api_version: text(&object["apiVersion"]),
            kind: text(&object["kind"]),
            namespace: object["metadata"]["namespace"].as_str().map(str::to_owned),
            name: text(&object["metadata"]["name"]),
        })
    }

    /// What is held, in two parts.
    pub(crate) fn split(self, first: impl Fn(&Held) -> bool) -> (Vec<Holding>, Vec<Holding>) {
        self.held.into_iter().filter(|holding| holding.number > 0).partition(|holding| first(&holding.held))
    }

    /// Removes everything, the latest first. What is still there is returned.
    pub(crate) async fn release(self) -> Vec<Left> {
        let folder = self.folder.clone();
        let (all, _) = self.split(|_| true);
        release(all, &folder, &mut |_| {}).await
    }
}

/// Creates an object that is not there: in the list before it is made, with its uid as soon as there is one. What is there
/// already belongs to another user, and leaves the list at once.
///
/// # Errors
/// Its kind and name, and why not.
pub(crate) async fn create(
    client: &kube::Client,
    mut object: Value,
    holdings: &tokio::sync::Mutex<Holdings>,
) -> Result<(), String> {
    let mut holdings = holdings.lock().await;
    let number = holdings.take_object(&mut object)?;
    let object: kube::api::DynamicObject = serde_json::from_value(object).map_err(|error| error.to_string())?;
    let kind = object.types.clone().unwrap_or_default().kind;
    let name = object.metadata.name.clone().unwrap_or_default();
    match kubernetes::api_of(client, &object).create(&PostParams::default(), &object).await {
        Ok(made) => holdings.made(number, made.metadata.uid),
        Err(error) => {
            // Whoever passes a request on may not know what became of it.
            if matches!(&error, kube::Error::Api(status) if status.code < 500) {
                holdings.forget(number)?;
            }
            Err(format!("{kind} {name}: {}", kubernetes::sentence(&error)))
        }
    }
}

/// Whether something is still to be done about what was left.
pub(crate) fn stays(left: &[Left]) -> bool {
    left.iter().any(|left| !left.why.is_settled())
}

/// What a list that was left behind says; `None` when there is none. A torn last line is what a kill leaves: what it
/// speaks of was not made yet.
pub(crate) fn remains(folder: &Path) -> Option<Vec<Holding>> {
    let text = std::fs::read_to_string(folder.join(FILE)).ok()?;
    let mut all: Vec<Holding> = Vec::new();
    for line in text.lines() {
        match serde_json::from_str(line) {
            Ok(Line::Holds { number, run, written, held }) => {
                all.push(Holding { number, held, run, written: Some(written), ids: BTreeSet::new() });
            }
            Ok(Line::Made { number, ids }) => {
                all.iter_mut().filter(|holding| holding.number == number).for_each(|one| one.ids.extend(ids.clone()));
            }
            Ok(Line::Gone { number }) => all.retain(|holding| holding.number != number),
            // A list of an older version says what is held, and nothing else of it.
            Err(_) => all.extend(serde_json::from_str(line).ok().map(|held| Holding {
                number: 0,
                held,
                run: String::new(),
                written: None,
                ids: BTreeSet::new(),
            })),
        }
    }
    Some(all)
}

/// Removes what is held, the latest first, and tells each that is gone. What is still there is returned.
pub(crate) async fn release(held: Vec<Holding>, folder: &Path, gone: &mut (dyn FnMut(&Held) + Send)) -> Vec<Left> {
    let release = Release::new(folder, &held);
    let whole_cluster = held.iter().any(|one| matches!(one.held, Held::Cluster { .. }));
    let mut left = Vec::new();
    // Objects first, all at once: a namespace takes seconds to go, and goes as well beside another. With the cluster they
    // go by themselves, and so do the images on its nodes.
    let in_cluster = |one: &Holding| matches!(one.held, Held::Object { .. } | Held::NodeImages { .. });
    let (inside, outside): (Vec<Holding>, Vec<Holding>) = held.into_iter().rev().partition(in_cluster);
    let mut tell = |one: &Holding, outcome: Result<(), Kept>| match outcome {
        Ok(()) => gone(&one.held),
        Err(why) => left.push(Left::of(&one.held, why)),
    };
    if !whole_cluster {
        let (objects, images): (Vec<Holding>, Vec<Holding>) =
            inside.into_iter().partition(|one| matches!(one.held, Held::Object { .. }));
        let removed = futures::future::join_all(objects.iter().map(|one| release.undo(one))).await;
        objects.iter().zip(removed).for_each(|(one, outcome)| tell(one, outcome));
        for one in images {
            let outcome = release.undo(&one).await;
            tell(&one, outcome);
        }
    }
    for one in outside {
        let outcome = release.undo(&one).await;
        tell(&one, outcome);
    }
    left
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_written_down_remains_with_what_it_was_called_and_a_torn_line_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let mut holdings = Holdings::open(folder.path(), "r").unwrap();
        let a = holdings.take(Held::Container { name: "a".into() }).unwrap();
        holdings.made(a, ["id-of-a".to_owned()]).unwrap();
        let b = holdings.take(Held::Container { name: "b".into() }).unwrap();
        holdings.forget(b).unwrap();
        let mut object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "n" } });
        holdings.take_object(&mut object).unwrap();
        assert_eq!(object["metadata"]["labels"][ENVIRONMENT_LABEL], "r");
        write!(holdings.file, "{{\"line\":\"hol").unwrap();
        let remains = remains(folder.path()).unwrap();
        assert_eq!(remains.iter().map(|one| one.held.to_string()).collect::<Vec<_>>(), ["container a", "Namespace n"]);
        assert_eq!(remains[0].ids, ["id-of-a".to_owned()].into());
        assert!(remains[1].ids.is_empty() && remains[1].written.is_some());
    }

    #[test]
    fn a_list_of_an_older_version_can_be_read_and_proves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "{\"what\":\"cluster\",\"name\":\"c\"}\n").unwrap();
        let remains = remains(folder.path()).unwrap();
        assert_eq!(remains[0].held, Held::Cluster { name: "c".into(), mark: None });
        assert!(remains[0].ids.is_empty() && remains[0].written.is_none());
    }
}
