//! Finishes what killed runs left.

use std::path::Path;

use tokio_util::sync::CancellationToken;
use wi_model::target::Target;

use crate::azure::Azure;
use crate::cluster::Cluster;
use crate::ledger::{self, Owned};

/// What is told of something that only its own target can undo.
pub const OF_ANOTHER_TARGET: &str = "it is on another target: `wi-conformance sweep --target FILE --delete` removes it";

/// What a sweep did.
#[derive(Debug, Default)]
pub struct SweepReport {
    /// What was removed, in words.
    pub removed: Vec<String>,
    /// What is still there, in words.
    pub left: Vec<String>,
}

/// Undoes what the ledgers of killed runs still own. A ledger whose owner lives is not touched. What did not end with its
/// run can be undone only with the target that it was made on: `target_of` finds it by the run's id and the target's name.
pub async fn sweep(state_dir: &Path, target_of: &(dyn Fn(&str, &str) -> Option<Target> + Sync)) -> SweepReport {
    let mut report = SweepReport::default();
    let runs = ledger::runs(state_dir);
    let Ok(folders) = std::fs::read_dir(&runs) else { return report };
    for folder in folders.flatten().map(|entry| entry.path()) {
        let remains = match ledger::remains(&folder.join("ledger.jsonl")) {
            Ok(Some(remains)) => remains,
            Ok(None) => continue,
            Err(error) => {
                report.left.push(format!("{}: {error}", folder.display()));
                continue;
            }
        };
        let left = if remains.owned.is_empty() {
            Vec::new()
        } else {
            undo(&remains.owned, target_of(&remains.run, &remains.target).as_ref(), &mut report).await
        };
        if left.is_empty() {
            match std::fs::remove_dir_all(&folder) {
                Ok(()) => report.removed.push(format!("ledger {}", folder.display())),
                Err(error) => report.left.push(format!("{}: {error}", folder.display())),
            }
        }
        report.left.extend(left);
    }
    let _ = std::fs::remove_dir(&runs);
    report
}

async fn undo(owned: &[Owned], target: Option<&Target>, report: &mut SweepReport) -> Vec<String> {
    let Some(target) = target else {
        return owned.iter().map(|owned| format!("{owned}: {OF_ANOTHER_TARGET}")).collect();
    };
    let cancel = CancellationToken::new();
    let connected =
        async { Ok::<_, String>((Cluster::connect(&target.cluster).await?, Azure::connect(&target.azure, cancel)?)) };
    let (cluster, azure) = match connected.await {
        Ok(connected) => connected,
        Err(error) => return owned.iter().map(|owned| format!("{owned}: {error}")).collect(),
    };
    let mut left = Vec::new();
    for owned in owned {
        match crate::lease::undo(owned, &cluster, &azure).await {
            Ok(()) => report.removed.push(owned.to_string()),
            Err(why) => left.push(format!("{owned}: {why}")),
        }
    }
    left
}
