//! What a run owns, on disk before it exists: a killed run's creations are found and removed by a sweep.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wi_model::target::Target;

use crate::cluster::ObjectRef;

/// Something that a run made or changed, as it can be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub(crate) enum Owned {
    /// A Kubernetes object.
    Object(ObjectRef),
    /// A Kubernetes object that was taken away or changed and must be as it was.
    Restore {
        object: Value,
        /// For a webhook's registration, the namespace where it shows that the API server has noticed.
        #[serde(default)]
        noticed_in: Option<String>,
    },
    /// An Azure resource group with everything in it.
    ResourceGroup {
        name: String,
        #[serde(default)]
        made: Option<String>,
    },
    /// An identity in a resource group of the run.
    Identity {
        group: String,
        name: String,
        #[serde(default)]
        made: Option<String>,
    },
    /// A vault in such a group; deleted and purged.
    Vault {
        group: String,
        name: String,
        location: String,
        #[serde(default)]
        made: Option<String>,
    },
    /// A role on more than a vault, for a principal of the run.
    RoleAssignment {
        /// Below the subscription.
        path: String,
        principal: String,
    },
    /// An application registration with its service principal. `made` is also in its tags.
    Application {
        name: String,
        #[serde(default)]
        made: Option<String>,
    },
}

impl Owned {
    /// Whether it is the cluster's; else it is Azure's.
    pub(crate) fn in_cluster(&self) -> bool {
        matches!(self, Owned::Object { .. } | Owned::Restore { .. })
    }

    /// An application that is known by its object id alone, as a search finds it.
    pub(crate) fn application(name: &str) -> Self {
        Owned::Application { name: name.to_owned(), made: None }
    }
}

impl std::fmt::Display for Owned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Owned::Object(object) => write!(f, "{object}"),
            Owned::Restore { object, .. } => write!(f, "{}, to be restored", ObjectRef::of(object)),
            Owned::ResourceGroup { name, .. } => write!(f, "resource group {name}"),
            Owned::Identity { name, .. } => write!(f, "identity {name}"),
            Owned::Vault { name, .. } => write!(f, "vault {name}"),
            Owned::RoleAssignment { path, principal } => write!(f, "role assignment {path} for {principal}"),
            Owned::Application { name, .. } => write!(f, "application {name}"),
        }
    }
}

/// One thing in the ledger, with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) owned: Owned,
    /// When it was written down, which is before it was made; `None` in ledgers of older versions.
    pub(crate) written: Option<jiff::Timestamp>,
    /// What the server called it when it answered our creation: a uid, an object id, a time of creation. Without it
    /// nothing is known but that we were about to ask.
    pub(crate) identity: Option<String>,
    /// Of something to put back: what we were about to make of it, each time; `None` where we were about to take it away.
    pub(crate) changes: Vec<Option<Value>>,
}

/// A line of the ledger.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
enum Line {
    Run {
        run: String,
        pid: u32,
        target: String,
        transient_cluster: bool,
        transient_azure: bool,
        started: String,
    },
    Owns {
        number: u64,
        owned: Owned,
        #[serde(default)]
        written: Option<jiff::Timestamp>,
    },
    /// The server said that it made it for us.
    Made {
        number: u64,
        identity: String,
    },
    /// It is about to be changed, or taken away where `to` is nothing.
    Changes {
        number: u64,
        to: Option<Value>,
    },
    Released {
        number: u64,
    },
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
#[error("the ledger {} cannot be {action}; choose another folder with --state-dir", .path.display())]
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
        // What is to be put back may be anything, so the file is its owner's alone.
        let file = File::options().create_new(true).append(true).mode(0o600).open(&path).map_err(fault)?;
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
    pub(crate) fn owns(&self, owned: Owned) -> Result<Entry, LedgerError> {
        let number = match self.state.lock() {
            Ok(mut state) => {
                state.next += 1;
                state.next
            }
            Err(poisoned) => poisoned.into_inner().next,
        };
        let written = Some(jiff::Timestamp::now());
        self.write(&Line::Owns { number, owned: owned.clone(), written }, !self.ends_with_run(&owned))?;
        Ok(Entry { number, owned, written, identity: None, changes: Vec::new() })
    }

    /// Whether Azure, with all that is in it, ends with the run.
    pub(crate) fn azure_ends_with_run(&self) -> bool {
        self.ends.1
    }

    /// What ends with the run is gone after a power cut as well: the disk need not have heard of it.
    fn ends_with_run(&self, owned: &Owned) -> bool {
        if owned.in_cluster() { self.ends.0 } else { self.ends.1 }
    }

    /// Writes down what the server called it when it made it for us. Where a power cut loses this line, the marks decide.
    pub(crate) fn made(&self, entry: &mut Entry, identity: &str) -> Result<(), LedgerError> {
        entry.identity = Some(identity.to_owned());
        self.write(&Line::Made { number: entry.number, identity: identity.to_owned() }, false)
    }

    /// Writes down what is about to be made of something that is to be put back; only then may it be changed.
    pub(crate) fn changes(&self, entry: &mut Entry, to: Option<Value>) -> Result<(), LedgerError> {
        entry.changes.push(to.clone());
        self.write(&Line::Changes { number: entry.number, to }, !self.ends_with_run(&entry.owned))
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
        // The folders above are left only if another user's ledger is in them.
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
    pub(crate) entries: Vec<Entry>,
}

/// Reads a ledger that was left behind; `None` while its owner lives. A torn last line is what a kill leaves and is
/// skipped: what it speaks of was not made yet.
pub(crate) fn remains(path: &Path) -> std::io::Result<Option<Remains>> {
    let file = File::open(path)?;
    if file.try_lock().is_err() {
        return Ok(None);
    }
    let mut remains = Remains::default();
    let mut entries: Vec<Entry> = Vec::new();
    let mut ended = (false, false);
    for line in BufReader::new(file).lines() {
        let find = |entries: &mut [Entry], number: u64| entries.iter().position(|entry| entry.number == number);
        match serde_json::from_str(&line?) {
            Ok(Line::Run { run, target, transient_cluster, transient_azure, .. }) => {
                (remains.run, remains.target) = (run, target);
                ended = (transient_cluster, transient_azure);
            }
            Ok(Line::Owns { number, owned, written }) => {
                entries.push(Entry { number, owned, written, identity: None, changes: Vec::new() });
            }
            Ok(Line::Made { number, identity }) => {
                if let Some(at) = find(&mut entries, number) {
                    entries[at].identity = Some(identity);
                }
            }
            Ok(Line::Changes { number, to }) => {
                if let Some(at) = find(&mut entries, number) {
                    entries[at].changes.push(to);
                }
            }
            Ok(Line::Released { number }) => entries.retain(|entry| entry.number != number),
            Err(_) => {}
        }
    }
    entries.retain(|entry| !if entry.owned.in_cluster() { ended.0 } else { ended.1 });
    entries.reverse();
    remains.entries = entries;
    Ok(Some(remains))
}

/// Strikes entries out of a ledger that was left behind: they are settled.
pub(crate) fn strike(path: &Path, numbers: &[u64]) -> std::io::Result<()> {
    let mut file = File::options().append(true).open(path)?;
    // A kill may have torn the last line.
    let mut text = "\n".to_owned();
    for number in numbers {
        text.push_str(&serde_json::to_string(&Line::Released { number: *number })?);
        text.push('\n');
    }
    file.write_all(text.as_bytes())?;
    file.sync_data()
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
        let group = Owned::ResourceGroup { name: "a".to_owned(), made: None };
        open.owns(group.clone()).unwrap();
        open.owns(Owned::Restore { object: serde_json::json!({}), noticed_in: None }).unwrap();
        let path = open.path.clone();
        drop(open);
        let remains = remains(&path).unwrap().unwrap();
        let owned: Vec<Owned> = remains.entries.into_iter().map(|entry| entry.owned).collect();
        assert_eq!((remains.run.as_str(), owned), ("r1", vec![group]));
    }

    #[test]
    fn what_was_not_released_remains_latest_first_and_a_torn_line_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let open = ledger(folder.path());
        let group = |name: &str| Owned::ResourceGroup { name: name.to_owned(), made: None };
        let first = open.owns(group("a")).unwrap();
        let mut second = open.owns(group("b")).unwrap();
        open.owns(group("c")).unwrap();
        open.released(first.number).unwrap();
        open.made(&mut second, "its-id").unwrap();
        let path = open.path.clone();
        drop(open);
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"{\"line\":\"owns\",\"num").unwrap();
        drop(file);
        let left = |entry: &Entry| (entry.owned.clone(), entry.identity.clone());
        let entries = remains(&path).unwrap().unwrap().entries;
        let expected = [(group("c"), None), (group("b"), Some("its-id".to_owned()))];
        assert_eq!(entries.iter().map(left).collect::<Vec<_>>(), expected);
        strike(&path, &[entries[0].number]).unwrap();
        assert_eq!(remains(&path).unwrap().unwrap().entries, entries[1..]);
    }

    #[test]
    fn a_ledger_of_an_older_version_proves_nothing_but_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.jsonl");
        let object = r#"{"line":"owns","number":1,"owned":{"what":"object","api_version":"v1","kind":"Namespace","namespace":null,"name":"n"}}"#;
        std::fs::write(&path, object).unwrap();
        let entries = remains(&path).unwrap().unwrap().entries;
        assert_eq!((entries[0].owned.to_string().as_str(), entries[0].written), ("Namespace n", None));
        assert_eq!(entries[0].identity, None);
    }
}
