//! Finishes what killed runs left.

use std::path::Path;

use tokio_util::sync::CancellationToken;
use wi_model::target::Target;

use crate::azure::Azure;
use crate::cluster::Cluster;
use crate::ledger::{self, Remains};
use crate::undo::{Kept, Left, Undo};

/// What a sweep did.
#[derive(Debug, Default)]
pub struct SweepReport {
    /// What was removed, in words.
    pub removed: Vec<String>,
    /// What was left as it is.
    pub left: Vec<Left>,
}

/// Undoes what the ledgers of killed runs still own. A ledger whose owner lives is not touched. What did not end with its
/// run can be undone only with the target that it was made on: `target_of` finds it by the run's id and the target's name.
/// What turns out not to be ours is reported once, and then struck out.
pub async fn sweep(state_dir: &Path, target_of: &(dyn Fn(&str, &str) -> Option<Target> + Sync)) -> SweepReport {
    let mut report = SweepReport::default();
    let runs = ledger::runs(state_dir);
    let Ok(folders) = std::fs::read_dir(&runs) else { return report };
    for folder in folders.flatten().map(|entry| entry.path()) {
        let path = folder.join("ledger.jsonl");
        let remains = match ledger::remains(&path) {
            Ok(Some(remains)) => remains,
            Ok(None) => continue,
            Err(error) => {
                report.left.push(Left::on_disk(&folder, &error));
                continue;
            }
        };
        let target = target_of(&remains.run, &remains.target);
        let (settled, stays) = undo(&remains, target.as_ref(), &mut report).await;
        if stays {
            if let Err(error) = ledger::strike(&path, &settled) {
                report.left.push(Left::on_disk(&path, &error));
            }
            continue;
        }
        match std::fs::remove_dir_all(&folder) {
            Ok(()) => report.removed.push(format!("ledger {}", folder.display())),
            Err(error) => report.left.push(Left::on_disk(&folder, &error)),
        }
    }
    let _ = std::fs::remove_dir(&runs);
    report
}

/// Undoes what a ledger still owns. Gives back the numbers of what is settled, and whether anything is not.
async fn undo(remains: &Remains, target: Option<&Target>, report: &mut SweepReport) -> (Vec<u64>, bool) {
    let (mut settled, mut stays) = (Vec::new(), false);
    if remains.entries.is_empty() {
        return (settled, stays);
    }
    let connected = match target {
        None => Err(Kept::OfAnotherTarget),
        Some(target) => {
            let cancel = CancellationToken::new();
            let azure = Azure::connect(&target.azure, cancel).map_err(Kept::Failed);
            match azure {
                Ok(azure) => Ok((Cluster::connect(&target.cluster).await, azure)),
                Err(why) => Err(why),
            }
        }
    };
    let (cluster, azure) = match connected {
        Ok(connected) => connected,
        Err(why) => {
            report.left.extend(remains.entries.iter().map(|entry| Left::new(&entry.owned, why.clone())));
            return (settled, true);
        }
    };
    let cluster = cluster.as_ref().map_err(String::as_str);
    let mut undo = Undo::new(cluster, &azure, &remains.run, &remains.entries);
    for entry in &remains.entries {
        match undo.undo(entry).await {
            Ok(()) => {
                report.removed.push(entry.owned.to_string());
                settled.push(entry.number);
            }
            Err(why) => {
                if why.is_settled() {
                    settled.push(entry.number);
                } else {
                    stays = true;
                }
                report.left.push(Left::new(&entry.owned, why));
            }
        }
    }
    (settled, stays)
}
