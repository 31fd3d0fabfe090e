//! What a case owns, released in reverse order, whatever became of the case.

use std::sync::Arc;

use serde_json::Value;

use crate::azure::Azure;
use crate::cluster::{Cluster, Created, Mark, ObjectRef, sentence};
use crate::ledger::{Entry, Ledger, LedgerError, Owned};
use crate::provision::{RUN_LABEL, label};
use crate::undo::{Kept, Left, Undo};

/// What is owned, in order of creation. Consumed by [`Lease::release`].
pub(crate) struct Lease {
    ledger: Arc<Ledger>,
    run: String,
    entries: Vec<Entry>,
}

impl Lease {
    pub(crate) fn new(ledger: Arc<Ledger>, run: &str) -> Self {
        Lease { ledger, run: run.to_owned(), entries: Vec::new() }
    }

    /// Writes down something that is about to be made.
    pub(crate) fn take(&mut self, owned: Owned) -> Result<(), LedgerError> {
        self.entries.push(self.ledger.owns(owned)?);
        Ok(())
    }

    /// Writes down what the server called the latest when it made it.
    pub(crate) fn made(&mut self, identity: &str) -> Result<(), LedgerError> {
        self.entries.last_mut().map_or(Ok(()), |entry| self.ledger.made(entry, identity))
    }

    /// Strikes out the latest: it was not made.
    pub(crate) fn forget(&mut self) -> Result<(), LedgerError> {
        self.entries.pop().map_or(Ok(()), |entry| self.ledger.released(entry.number))
    }

    /// Whether a resource group is the case's own.
    pub(crate) fn owns_group(&self, wanted: &str) -> bool {
        let is = |entry: &Entry| matches!(&entry.owned, Owned::ResourceGroup { name, .. } if name == wanted);
        self.entries.iter().any(|entry| entry.identity.is_some() && is(entry))
    }

    /// Whether a namespace is the case's own: then so is everything in it.
    pub(crate) fn owns_namespace(&self, name: &str) -> bool {
        self.uid_of(&ObjectRef::new("v1", "Namespace", None, name)).is_some()
    }

    /// Whether an object is the case's own.
    pub(crate) fn owns(&self, object: &ObjectRef) -> bool {
        self.uid_of(object).is_some() || object.namespace.as_ref().is_some_and(|name| self.owns_namespace(name))
    }

    /// The uid of an object that the case made.
    pub(crate) fn uid_of(&self, object: &ObjectRef) -> Option<&str> {
        let made = |entry: &&Entry| matches!(&entry.owned, Owned::Object(made) if made == object);
        self.entries.iter().rev().filter(made).find_map(|entry| entry.identity.as_deref())
    }

    /// Marks an object that is about to be created as this run's, unless it goes with a namespace that is.
    pub(crate) async fn mark(&self, cluster: &Cluster, object: &mut Value) {
        let named = cluster.named(ObjectRef::of(object)).await;
        let inside = named.namespace.is_some_and(|namespace| self.owns_namespace(&namespace));
        if !inside && object["metadata"].is_object() {
            object["metadata"]["labels"][RUN_LABEL] = label(&self.run).into();
        }
    }

    /// Creates an object that is marked: in the ledger before it is there, and with its uid as soon as there is one. What
    /// was there already belongs to another user, and leaves the ledger at once.
    pub(crate) async fn create(&mut self, cluster: &Cluster, object: &Value) -> Result<Created, String> {
        let told = |error: LedgerError| sentence(&error);
        let named = cluster.named(ObjectRef::of(object)).await;
        self.take(Owned::Object(named.clone())).map_err(told)?;
        let created = cluster.create(object).await?;
        match &created {
            Created::Stored(stored) => {
                let uid = stored["metadata"]["uid"].as_str().unwrap_or_default();
                self.made(uid).map_err(told)?;
            }
            // An answer to an earlier try may have been lost: then what is there is ours.
            Created::Refused(refused) if refused.status == 409 => match self.made_unheard(cluster, &named).await {
                Some(uid) => self.made(&uid).map_err(told)?,
                None => self.forget().map_err(told)?,
            },
            Created::Refused(refused) if refused.status < 500 => self.forget().map_err(told)?,
            // Whoever passes a request on may not know what became of it.
            Created::Refused(_) => {}
        }
        Ok(created)
    }

    /// The uid of an object that the latest entry made without hearing of it.
    async fn made_unheard(&self, cluster: &Cluster, object: &ObjectRef) -> Option<String> {
        let found = cluster.find(object).await.ok()??;
        let label = label(&self.run);
        let mark = Mark { label: &label, uid: None, written: self.entries.last()?.written };
        mark.proves(&found).is_ok().then(|| found["metadata"]["uid"].as_str().map(str::to_owned))?
    }

    /// Writes down an object as it is, before it is changed to something else, or taken away where that is nothing.
    pub(crate) fn remember(
        &mut self,
        before: &Value,
        to: Option<Value>,
        noticed_in: Option<String>,
    ) -> Result<(), LedgerError> {
        let named = ObjectRef::of(before);
        let known = self
            .entries
            .iter()
            .position(|entry| matches!(&entry.owned, Owned::Restore { object, .. } if ObjectRef::of(object) == named));
        let at = match known {
            Some(at) => at,
            None => {
                self.take(Owned::Restore { object: before.clone(), noticed_in })?;
                self.entries.len() - 1
            }
        };
        self.ledger.changes(&mut self.entries[at], to)
    }

    /// What is to be put back, each as it was at first, with what was made of it since.
    pub(crate) fn to_restore(&self) -> Vec<(Value, Vec<Option<Value>>)> {
        let restores = self.entries.iter().filter_map(|entry| match &entry.owned {
            Owned::Restore { object, .. } => Some((object.clone(), entry.changes.clone())),
            _ => None,
        });
        restores.collect()
    }

    /// What is in Azure ends with the run, and nothing that follows needs its names: nobody removes it one by one.
    pub(crate) fn leave_azure(&mut self) {
        if self.ledger.azure_ends_with_run() {
            self.entries.retain(|entry| entry.owned.in_cluster());
        }
    }

    /// Undoes everything, the latest first; `restored` hears when the last thing that others share is as it was. What
    /// cannot be undone is returned, and stays in the ledger; what turns out not to be ours is returned as well.
    pub(crate) async fn release(mut self, cluster: &Cluster, azure: &Azure, restored: impl Fn()) -> Vec<Left> {
        let (mut left, mut lost) = (Vec::new(), None);
        let mut shared = self.entries.iter().filter(|entry| matches!(entry.owned, Owned::Restore { .. })).count();
        if shared == 0 {
            restored();
        }
        let run = self.run.clone();
        let mut undo = Undo::new(Ok(cluster), azure, &run, &self.entries);
        while let Some(entry) = self.entries.pop() {
            let owned = &entry.owned;
            if let Some(why) = lost.as_ref().filter(|_| owned.in_cluster()) {
                left.push(Left::new(owned, Kept::Failed(String::clone(why))));
                continue;
            }
            let undone = undo.undo_in_time(&entry).await;
            if undone.as_ref().err().is_none_or(Kept::is_settled)
                && let Err(error) = self.ledger.released(entry.number)
            {
                left.push(Left::new(owned, Kept::Failed(sentence(&error))));
            }
            if let Err(why) = undone {
                // A cluster that is gone is not asked again for each thing in it.
                if !why.is_settled() {
                    lost = cluster.answers().await.err();
                }
                left.push(Left::new(owned, why));
            }
            if matches!(owned, Owned::Restore { .. }) {
                shared -= 1;
                if shared == 0 {
                    restored();
                }
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;
    use wi_model::secret::Secret;
    use wi_model::target::{AzureTarget, ClusterTarget};

    use super::*;

    /// A lease of an identity in an Azure at an address that outlives the run, and nothing else.
    async fn lease(folder: &std::path::Path, azure: SocketAddr) -> (Lease, Cluster, Azure) {
        lease_in(folder, azure, false).await
    }

    async fn lease_in(folder: &std::path::Path, azure: SocketAddr, transient: bool) -> (Lease, Cluster, Azure) {
        let mut target = crate::session::tests::target();
        target.azure = AzureTarget { connect: Some(azure), transient, ..target.azure };
        let kubeconfig = r#"{"clusters":[{"name":"c","cluster":{"server":"http://127.0.0.1:1"}}],
            "contexts":[{"name":"c","context":{"cluster":"c"}}],"current-context":"c"}"#;
        target.cluster = ClusterTarget { kubeconfig: Secret::new(kubeconfig), transient: false, ..target.cluster };
        let ledger = Arc::new(Ledger::open(folder, "r", &target).unwrap());
        let cluster = Cluster::connect(&target.cluster).await.unwrap();
        let azure = Azure::connect(&target.azure, CancellationToken::new()).unwrap();
        let mut lease = Lease::new(ledger, "r");
        lease.take(Owned::Identity { group: "g".into(), name: "i".into(), made: None }).unwrap();
        (lease, cluster, azure)
    }

    #[tokio::test]
    async fn what_was_in_an_azure_that_has_ended_is_gone_and_not_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (lease, cluster, azure) = lease(folder.path(), silent.local_addr().unwrap()).await;
        azure.end();
        let left = lease.release(&cluster, &azure.uncancelled(), || ()).await;
        assert_eq!(left, Vec::<Left>::new());
        let books = std::fs::read_to_string(folder.path().join("runs/r/ledger.jsonl")).unwrap();
        assert!(books.lines().last().is_some_and(|line| line.contains("released")), "it is struck out: {books}");
        let asked = tokio::time::timeout(Duration::from_millis(50), silent.accept()).await;
        assert!(asked.is_err(), "nobody asks what has ended");
    }

    #[tokio::test]
    async fn what_ends_with_the_run_is_left_to_its_end_and_what_outlives_it_is_removed() {
        for transient in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let (mut lease, cluster, azure) = lease_in(folder.path(), silent.local_addr().unwrap(), transient).await;
            lease.leave_azure();
            let azure = azure.uncancelled();
            let released = lease.release(&cluster, &azure, || ());
            let asks = tokio::select! {
                biased;
                left = released => {
                    assert_eq!(left, Vec::<Left>::new());
                    false
                }
                _ = silent.accept() => true,
            };
            assert_eq!(asks, !transient, "transient: {transient}");
        }
    }

    #[tokio::test]
    async fn cleaning_up_that_is_under_way_ends_with_its_azure() {
        let folder = tempfile::tempdir().unwrap();
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (lease, cluster, azure) = lease(folder.path(), silent.local_addr().unwrap()).await;
        let uncancelled = azure.uncancelled();
        let ends = async {
            let connection = silent.accept().await.unwrap();
            azure.end();
            connection
        };
        let both = async { tokio::join!(lease.release(&cluster, &uncancelled, || ()), ends) };
        let (left, _) = tokio::time::timeout(Duration::from_secs(10), both).await.expect("it waits for no answer");
        assert_eq!(left, Vec::<Left>::new());
    }
}
