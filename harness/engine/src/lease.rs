//! What a case owns, released in reverse order, whatever became of the case.

use std::sync::Arc;
use std::time::Duration;

use crate::azure::{Azure, NamedBy};
use crate::cluster::Cluster;
use crate::ledger::{Ledger, LedgerError, Owned};

/// How long one release may take.
const BOUND: Duration = Duration::from_secs(300);

/// What is owned, in order of creation. Consumed by [`Lease::release`].
pub(crate) struct Lease {
    ledger: Arc<Ledger>,
    owned: Vec<(u64, Owned)>,
}

impl Lease {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        Lease { ledger, owned: Vec::new() }
    }

    /// Writes down something that is about to be made.
    pub(crate) fn take(&mut self, owned: Owned) -> Result<(), LedgerError> {
        let number = self.ledger.owns(&owned)?;
        self.owned.push((number, owned));
        Ok(())
    }

    /// Strikes out the latest: it was not made.
    pub(crate) fn forget(&mut self) -> Result<(), LedgerError> {
        match self.owned.pop() {
            Some((number, _)) => self.ledger.released(number),
            None => Ok(()),
        }
    }

    /// What is to be put back, each as it was at first.
    pub(crate) fn to_restore(&self) -> Vec<serde_json::Value> {
        let mut before: Vec<&serde_json::Value> = Vec::new();
        for (_, owned) in &self.owned {
            if let Owned::Restore { object, .. } = owned
                && !before.iter().any(|known| known["metadata"]["name"] == object["metadata"]["name"])
            {
                before.push(object);
            }
        }
        before.into_iter().cloned().collect()
    }

    /// Undoes everything, the latest first; `restored` hears when the last thing that others share is as it was. What
    /// cannot be undone is returned in words, and stays in the ledger.
    pub(crate) async fn release(mut self, cluster: &Cluster, azure: &Azure, restored: impl Fn()) -> Vec<String> {
        let (mut left, mut lost) = (Vec::new(), None);
        let mut shared = self.owned.iter().filter(|(_, owned)| matches!(owned, Owned::Restore { .. })).count();
        if shared == 0 {
            restored();
        }
        while let Some((number, owned)) = self.owned.pop() {
            let shares = matches!(owned, Owned::Restore { .. });
            if let Some(why) = lost.as_ref().filter(|_| owned.in_cluster()) {
                left.push(format!("{owned}: {why}"));
                continue;
            }
            match undo_in_time(&owned, cluster, azure).await {
                Ok(()) => {
                    if let Err(error) = self.ledger.released(number) {
                        left.push(format!("{owned}: {error}"));
                    }
                }
                Err(why) => {
                    left.push(format!("{owned}: {why}"));
                    // A cluster that is gone is not asked again for each thing in it.
                    lost = cluster.answers().await.err();
                }
            }
            if shares {
                shared -= 1;
                if shared == 0 {
                    restored();
                }
            }
        }
        left
    }
}

/// Undoes one thing within the bound. What was in an Azure that has ended, perhaps just now, is gone with it.
async fn undo_in_time(owned: &Owned, cluster: &Cluster, azure: &Azure) -> Result<(), String> {
    let gone = || !owned.in_cluster() && azure.has_ended();
    if gone() {
        return Ok(());
    }
    let undone = tokio::time::timeout(BOUND, undo(owned, cluster, azure)).await;
    let undone = undone.unwrap_or_else(|_| Err(format!("not within {} s", BOUND.as_secs())));
    if gone() { Ok(()) } else { undone }
}

/// Undoes one thing. Something that is not there is as good as undone.
pub(crate) async fn undo(owned: &Owned, cluster: &Cluster, azure: &Azure) -> Result<(), String> {
    match owned {
        Owned::Object { api_version, kind, namespace, name } => cluster
            .remove(api_version, kind, namespace.as_deref(), name)
            .await
            .map_err(|error| crate::cluster::sentence(&error)),
        Owned::Restore { object, noticed_in } => {
            cluster.restore(object).await.map_err(|error| crate::cluster::sentence(&error))?;
            if let Some(namespace) = noticed_in {
                crate::webhook::wait_restored(cluster, namespace).await;
            }
            Ok(())
        }
        _ => undo_in_azure(owned, azure).await,
    }
}

/// Undoes one thing in Azure.
pub(crate) async fn undo_in_azure(owned: &Owned, azure: &Azure) -> Result<(), String> {
    match owned {
        Owned::Object { .. } | Owned::Restore { .. } => Err("it is in a cluster".to_owned()),
        Owned::ResourceGroup { name } => azure.arm().delete_group(name).await.map_err(|error| error.to_string()),
        Owned::DeletedVault { name, location } => {
            azure.arm().purge_vault(location, name).await.map_err(|error| error.to_string())
        }
        Owned::Identity { group, name } => {
            azure.arm().delete_identity(group, name).await.map_err(|error| error.to_string())
        }
        Owned::Vault { group, name, location } => {
            azure.arm().delete_vault(group, name, location).await.map_err(|error| error.to_string())?;
            azure.arm().purge_vault(location, name).await.map_err(|error| error.to_string())
        }
        Owned::NamedApplication { name } => {
            let found = azure.graph().applications(NamedBy::Whole(name)).await.map_err(|error| error.to_string())?;
            for object_id in found.iter().filter_map(|application| application["id"].as_str()) {
                azure.graph().delete_application(object_id).await.map_err(|error| error.to_string())?;
            }
            Ok(())
        }
        Owned::Application { object_id } => {
            azure.graph().delete_application(object_id).await.map_err(|error| error.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;
    use wi_model::secret::Secret;
    use wi_model::target::{AzureTarget, ClusterTarget};

    use super::*;

    /// A lease of an identity in an Azure at an address, and nothing else.
    async fn lease(folder: &std::path::Path, azure: SocketAddr) -> (Lease, Cluster, Azure) {
        let mut target = crate::session::tests::target();
        // Both outlive the run, so that what is left would be told.
        target.azure = AzureTarget { connect: Some(azure), transient: false, ..target.azure };
        let kubeconfig = r#"{"clusters":[{"name":"c","cluster":{"server":"http://127.0.0.1:1"}}],
            "contexts":[{"name":"c","context":{"cluster":"c"}}],"current-context":"c"}"#;
        target.cluster = ClusterTarget { kubeconfig: Secret::new(kubeconfig), transient: false, ..target.cluster };
        let ledger = Arc::new(Ledger::open(folder, "r", &target).unwrap());
        let cluster = Cluster::connect(&target.cluster).await.unwrap();
        let azure = Azure::connect(&target.azure, CancellationToken::new()).unwrap();
        let mut lease = Lease::new(ledger);
        lease.take(Owned::Identity { group: "g".into(), name: "i".into() }).unwrap();
        (lease, cluster, azure)
    }

    #[tokio::test]
    async fn what_was_in_an_azure_that_has_ended_is_gone_and_not_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (lease, cluster, azure) = lease(folder.path(), silent.local_addr().unwrap()).await;
        azure.end();
        let left = lease.release(&cluster, &azure.uncancelled(), || ()).await;
        assert_eq!(left, Vec::<String>::new());
        let books = std::fs::read_to_string(folder.path().join("runs/r/ledger.jsonl")).unwrap();
        assert!(books.lines().last().is_some_and(|line| line.contains("released")), "it is struck out: {books}");
        let asked = tokio::time::timeout(Duration::from_millis(50), silent.accept()).await;
        assert!(asked.is_err(), "nobody asks what has ended");
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
        assert_eq!(left, Vec::<String>::new());
    }
}
