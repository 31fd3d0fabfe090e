//! What a run owns, on disk before it exists: a killed run's creations are found and removed by a sweep.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use wi_model::target::Target;

/// Something that a run made or changed, as it can be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub(crate) enum Owned {
    /// A Kubernetes object.
    Object { api_version: String, kind: String, namespace: Option<String>, name: String },
    /// A Kubernetes object that was taken away or changed and must be as it was.
    Restore {
        object: serde_json::Value,
        /// For a webhook's registration, the namespace where it shows that the API server has noticed.
        #[serde(default)]
        noticed_in: Option<String>,
    },
    /// An Azure resource group with everything in it.
    ResourceGroup { name: String },
    /// A vault that stays behind in deleted state until it is purged.
    DeletedVault { name: String, location: String },
    /// An identity in a group that other cases use too.
    Identity { group: String, name: String },
    /// A vault in such a group; deleted and purged.
    Vault { group: String, name: String, location: String },
    /// Application registrations by a name that is ours alone, written down before there is an object id.
    NamedApplication { name: String },
    /// An application registration, by object id.
    Application { object_id: String },
}

impl Owned {
    /// Whether it is the cluster's; else it is Azure's.
    pub(crate) fn in_cluster(&self) -> bool {
        matches!(self, Owned::Object { .. } | Owned::Restore { .. })
    }
}

impl std::fmt::Display for Owned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Owned::Object { kind, namespace: Some(namespace), name, .. } => write!(f, "{kind} {namespace}/{name}"),
            Owned::Object { kind, name, .. } => write!(f, "{kind} {name}"),
            Owned::Restore { object, .. } => {
                let text = |value: &serde_json::Value| value.as_str().unwrap_or("?").to_owned();
                write!(f, "{} {}, to be put back", text(&object["kind"]), text(&object["metadata"]["name"]))
            }
            Owned::ResourceGroup { name } => write!(f, "resource group {name}"),
            Owned::DeletedVault { name, .. } => write!(f, "deleted vault {name}"),
            Owned::Identity { name, .. } => write!(f, "identity {name}"),
            Owned::Vault { name, .. } => write!(f, "vault {name}"),
            Owned::NamedApplication { name } => write!(f, "application {name}"),
            Owned::Application { object_id } => write!(f, "application {object_id}"),
        }
    }
}

/// A line of the ledger.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
enum Line {
    Run { run: String, pid: u32, target: String, transient_cluster: bool, transient_azure: bool, started: String },
    Owns { number: u64, owned: Owned },
    Released { number: u64 },
}

/// The open ledger of a run. The file is locked while its owner lives.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    state: Mutex<State>,
    /// Whether the cluster, and whether Azure, end with the run.
    ends: (bool, bool),
}

#[derive(Debug)]
struct State {
    file: File,
    next: u64,
}

/// A ledger that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the ledger {} cannot be {action}; name another folder with --state-dir", .path.display())]
pub struct LedgerError {
    path: PathBuf,
    action: &'static str,
    #[source]
    source: std::io::Error,
}

/// Makes a folder that no other user of this machine may enter.
fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

impl Ledger {
    /// Opens the ledger of a run.
    ///
    /// # Errors
    /// The folder or the file cannot be written.
    pub fn open(state_dir: &Path, run_id: &str, target: &Target) -> Result<Self, LedgerError> {
        let folder = runs(state_dir).join(run_id);
        let path = folder.join("ledger.jsonl");
        let fault = |source| LedgerError { path: path.clone(), action: "opened", source };
        make_private(&folder).map_err(fault)?;
        let file = File::options().create_new(true).append(true).open(&path).map_err(fault)?;
        file.lock().map_err(fault)?;
        let ends = (target.cluster.transient, target.azure.transient);
        let ledger = Ledger { path: path.clone(), state: Mutex::new(State { file, next: 0 }), ends };
        let run = Line::Run {
            run: run_id.to_owned(),
            pid: std::process::id(),
            target: target.name.clone(),
            transient_cluster: target.cluster.transient,
            transient_azure: target.azure.transient,
            started: jiff::Timestamp::now().to_string(),
        };
        ledger.write(&run, ends != (true, true))?;
        Ok(ledger)
    }

    /// Writes down something that is about to be made. Only then may it be made.
    pub(crate) fn owns(&self, owned: &Owned) -> Result<u64, LedgerError> {
        let number = match self.state.lock() {
            Ok(mut state) => {
                state.next += 1;
                state.next
            }
            Err(poisoned) => poisoned.into_inner().next,
        };
        // What ends with the run is gone after a power cut as well: the disk need not have heard of it.
        let ends = if owned.in_cluster() { self.ends.0 } else { self.ends.1 };
        self.write(&Line::Owns { number, owned: owned.clone() }, !ends)?;
        Ok(number)
    }

    /// Writes down that it is gone.
    pub(crate) fn released(&self, number: u64) -> Result<(), LedgerError> {
        self.write(&Line::Released { number }, self.ends != (true, true))
    }

    /// Removes the ledger of a run that owns nothing any more.
    ///
    /// # Errors
    /// The folder could not be removed.
    pub fn close(&self) -> Result<(), LedgerError> {
        let folder = self.path.parent().unwrap_or(&self.path);
        std::fs::remove_dir_all(folder).map_err(|source| LedgerError {
            path: self.path.clone(),
            action: "removed",
            source,
        })?;
        // The folders above are left only if somebody else's ledger is in them.
        if let Some(runs) = folder.parent() {
            let _ = std::fs::remove_dir(runs);
        }
        Ok(())
    }

    fn write(&self, line: &Line, to_disk: bool) -> Result<(), LedgerError> {
        let fault = |source| LedgerError { path: self.path.clone(), action: "written", source };
        let mut text = serde_json::to_string(line).map_err(|error| fault(error.into()))?;
        text.push('\n');
        let mut state = match self.state.lock() {
            Ok(state) => state,
            Err(poisoned) => poisoned.into_inner(),
        };
        state.file.write_all(text.as_bytes()).map_err(fault)?;
        if to_disk { state.file.sync_data().map_err(fault) } else { Ok(()) }
    }
}

/// Where ledgers lie.
pub(crate) fn runs(state_dir: &Path) -> PathBuf {
    state_dir.join("runs")
}

/// What a ledger that was left behind says.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    /// The run's id.
    pub(crate) run: String,
    /// What its target was called.
    pub(crate) target: String,
    /// What is still owned, the latest first, without what ended with the run.
    pub(crate) owned: Vec<Owned>,
}

/// Reads a ledger that was left behind; `None` while its owner lives. A torn last line is what a kill leaves and is
/// skipped: what it speaks of was not made yet.
pub(crate) fn remains(path: &Path) -> std::io::Result<Option<Remains>> {
    let file = File::open(path)?;
    if file.try_lock().is_err() {
        return Ok(None);
    }
    let mut remains = Remains::default();
    let mut owned: Vec<(u64, Owned)> = Vec::new();
    let mut ended = (false, false);
    for line in BufReader::new(file).lines() {
        match serde_json::from_str(&line?) {
            Ok(Line::Run { run, target, transient_cluster, transient_azure, .. }) => {
                (remains.run, remains.target) = (run, target);
                ended = (transient_cluster, transient_azure);
            }
            Ok(Line::Owns { number, owned: thing }) => owned.push((number, thing)),
            Ok(Line::Released { number }) => owned.retain(|(n, _)| *n != number),
            Err(_) => {}
        }
    }
    owned.retain(|(_, thing)| !if thing.in_cluster() { ended.0 } else { ended.1 });
    remains.owned = owned.into_iter().rev().map(|(_, thing)| thing).collect();
    Ok(Some(remains))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_on(folder: &Path, transient_cluster: bool) -> Ledger {
        let mut target = crate::session::tests::target();
        target.azure.transient = false;
        target.cluster.transient = transient_cluster;
        Ledger::open(folder, "r1", &target).unwrap()
    }

    fn ledger(folder: &Path) -> Ledger {
        open_on(folder, false)
    }

    #[test]
    fn a_living_owners_ledger_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let open = ledger(folder.path());
        assert!(remains(&open.path).unwrap().is_none());
    }

    #[test]
    fn what_is_in_a_cluster_that_ended_with_its_run_does_not_remain() {
        let folder = tempfile::tempdir().unwrap();
        let open = open_on(folder.path(), true);
        let group = Owned::ResourceGroup { name: "a".to_owned() };
        open.owns(&group).unwrap();
        open.owns(&Owned::Restore { object: serde_json::json!({}), noticed_in: None }).unwrap();
        let path = open.path.clone();
        drop(open);
        let remains = remains(&path).unwrap().unwrap();
        assert_eq!((remains.run.as_str(), remains.owned), ("r1", vec![group]));
    }

    #[test]
    fn what_was_not_released_remains_latest_first_and_a_torn_line_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let open = ledger(folder.path());
        let group = |name: &str| Owned::ResourceGroup { name: name.to_owned() };
        let first = open.owns(&group("a")).unwrap();
        open.owns(&group("b")).unwrap();
        open.owns(&group("c")).unwrap();
        open.released(first).unwrap();
        let path = open.path.clone();
        drop(open);
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"{\"line\":\"owns\",\"num").unwrap();
        drop(file);
        assert_eq!(remains(&path).unwrap().unwrap().owned, [group("c"), group("b")]);
    }
}
