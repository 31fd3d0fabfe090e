//! Undoing what a run made or changed. A name proves nothing: what is removed carries the mark of the run and the identity
//! that the server gave it when we made it, and what is put back is as we left it. Everything else is left and reported.

mod azure;
mod back;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::azure::Azure;
use crate::cluster::{Cluster, Mark, ObjectRef};
use crate::ledger::{Entry, Owned};
use crate::provision::label;

pub(crate) use back::back;

/// How long undoing one thing may take.
const BOUND: Duration = Duration::from_secs(300);

/// Why something was left as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Kept {
    /// Another thing has its name now.
    #[error("another user's resource has this name now (expected {expected}, found {found}), so it is left unchanged")]
    Replaced {
        /// What ours is known by.
        expected: String,
        /// What was found.
        found: String,
    },
    /// It is the one that we made, and no longer says so.
    #[error("it no longer carries the mark {mark}, so another user took it over, and it is left unchanged")]
    TakenOver {
        /// The mark.
        mark: String,
    },
    /// We meant to make such a thing, and nothing proves that this is it.
    #[error(
        "there is no proof that this run created it ({why}), so it is left unchanged; remove it by hand if it is not yours"
    )]
    Unproven {
        /// What is missing.
        why: String,
    },
    /// Somebody else changed what we would put back.
    #[error("another user changed it since ({what}), so that change is kept")]
    Changed {
        /// What they changed.
        what: String,
    },
    /// Something of another user's is in it.
    #[error("it contains {what}, which this run did not create, so it is left unchanged")]
    Holds {
        /// What is in it.
        what: String,
    },
    /// Only its own target can undo it.
    #[error("it is on another target: `wi-conformance sweep --target FILE --delete` removes it")]
    OfAnotherTarget,
    /// It was tried.
    #[error("{0}")]
    Failed(String),
}

impl Kept {
    /// Whether nothing more is to be done about it: it is not, or no longer, ours.
    pub fn is_settled(&self) -> bool {
        match self {
            Kept::Replaced { .. }
            | Kept::TakenOver { .. }
            | Kept::Unproven { .. }
            | Kept::Changed { .. }
            | Kept::Holds { .. } => true,
            Kept::OfAnotherTarget | Kept::Failed(_) => false,
        }
    }
}

/// Something that was left as it is, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// What it is.
    pub what: String,
    /// Why it was left.
    pub why: Kept,
    /// The resource group that it is in, where it is in one.
    pub(crate) within: Option<String>,
}

impl Left {
    /// Something that is in no resource group.
    pub fn of(what: impl std::fmt::Display, why: Kept) -> Self {
        Left { what: what.to_string(), why, within: None }
    }

    pub(crate) fn new(owned: &Owned, why: Kept) -> Self {
        let within = match owned {
            Owned::Identity { group, .. } | Owned::Vault { group, .. } => Some(group.clone()),
            Owned::Object(_)
            | Owned::Restore { .. }
            | Owned::ResourceGroup { .. }
            | Owned::RoleAssignment { .. }
            | Owned::Application { .. } => None,
        };
        Left { what: owned.to_string(), why, within }
    }

    /// Something on this machine's disk.
    pub(crate) fn on_disk(path: &std::path::Path, error: &std::io::Error) -> Self {
        Left { what: path.display().to_string(), why: Kept::Failed(error.to_string()), within: None }
    }
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

/// Undoes what one run made, the latest first.
pub(crate) struct Undo<'a> {
    /// `Err` where the cluster cannot be reached, which does not keep Azure from being cleaned up.
    pub(crate) cluster: Result<&'a Cluster, &'a str>,
    pub(crate) azure: &'a Azure,
    run: &'a str,
    /// Namespaces of the run: what is in one goes with it.
    namespaces: BTreeSet<String>,
    /// Resource groups in which something was left.
    spared: BTreeSet<String>,
}

impl<'a> Undo<'a> {
    pub(crate) fn new(
        cluster: Result<&'a Cluster, &'a str>,
        azure: &'a Azure,
        run: &'a str,
        entries: &[Entry],
    ) -> Self {
        let namespaces = entries.iter().filter_map(|entry| match &entry.owned {
            Owned::Object(ObjectRef { kind, name, .. }) if kind == "Namespace" => Some(name.clone()),
            _ => None,
        });
        Undo { cluster, azure, run, namespaces: namespaces.collect(), spared: BTreeSet::new() }
    }

    /// The same, where something that is not ours was left in these resource groups before.
    pub(crate) fn sparing(mut self, groups: impl IntoIterator<Item = String>) -> Self {
        self.spared.extend(groups);
        self
    }

    /// Undoes one thing within the bound. What was in an Azure that has ended, perhaps just now, is gone with it.
    pub(crate) async fn undo_in_time(&mut self, entry: &Entry) -> Result<(), Kept> {
        let azure = self.azure;
        let gone = || !entry.owned.in_cluster() && azure.has_ended();
        if gone() {
            return Ok(());
        }
        let undone = tokio::time::timeout(BOUND, self.undo(entry)).await;
        let undone = undone.unwrap_or_else(|_| Err(Kept::Failed(format!("not within {} s", BOUND.as_secs()))));
        if gone() { Ok(()) } else { undone }
    }

    /// Undoes one thing. Something that is not there is as good as undone.
    pub(crate) async fn undo(&mut self, entry: &Entry) -> Result<(), Kept> {
        let undone = self.undo_one(entry).await;
        if undone.as_ref().is_err_and(Kept::is_settled)
            && let Owned::Identity { group, .. } | Owned::Vault { group, .. } = &entry.owned
        {
            self.spared.insert(group.clone());
        }
        undone
    }

    async fn undo_one(&self, entry: &Entry) -> Result<(), Kept> {
        let cluster = || self.cluster.map_err(|why| Kept::Failed(why.to_owned()));
        match &entry.owned {
            Owned::Object(object) => {
                let inside = object.namespace.as_ref().is_some_and(|namespace| self.namespaces.contains(namespace));
                match (&entry.identity, inside) {
                    (Some(uid), true) => cluster()?.remove_within(object, uid).await,
                    (None, true) => Ok(()),
                    (uid, false) => {
                        let label = label(self.run);
                        let mark = Mark { label: &label, uid: uid.as_deref(), written: entry.written };
                        cluster()?.remove_proved(object, mark).await
                    }
                }
            }
            Owned::Restore { object, noticed_in } => {
                let cluster = cluster()?;
                let restored = cluster.put_back(object, &entry.changes).await;
                if let (Ok(()), Some(namespace)) = (&restored, noticed_in) {
                    crate::webhook::wait_restored(cluster, namespace).await;
                }
                restored
            }
            Owned::ResourceGroup { name, .. } if self.spared.contains(name) => {
                Err(Kept::Holds { what: "what was left there".to_owned() })
            }
            Owned::ResourceGroup { name, made } => self.group(entry, name, made.as_deref()).await,
            Owned::Identity { group, name, made } => self.identity(entry, group, name, made.as_deref()).await,
            Owned::Vault { group, name, location, made } => {
                self.vault(entry, (group, name, location), made.as_deref()).await
            }
            Owned::RoleAssignment { path, principal } => self.role_assignment(path, principal).await,
            Owned::Application { name, made } => self.application(entry, name, made.as_deref()).await,
        }
    }
}
