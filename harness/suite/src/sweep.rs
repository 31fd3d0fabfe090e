//! Removes what killed runs left: what their ledgers own, and the folders of their environments.

use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wi_engine::environments;
use wi_target_azure as aks;
use wi_target_kind as real_cluster;

use crate::console;
use crate::exit::{Exit, Stop};

/// What a sweep did.
#[derive(Debug, Default)]
pub struct Swept {
    /// What was removed, a line each.
    pub removed: Vec<String>,
    /// What is still there, a line each.
    pub left: Vec<String>,
}

/// Removes what killed runs left below the state folder. Whatever belongs to a living process is not touched.
pub async fn sweep(state_dir: &Path) -> Swept {
    let mut swept = Swept::default();
    let report = wi_engine::sweep(state_dir, &|run, _| real_cluster::target_of(state_dir, run)).await;
    swept.removed.extend(report.removed);
    swept.left.extend(report.left.iter().map(ToString::to_string));
    let Ok(folders) = std::fs::read_dir(environments(state_dir)) else { return swept };
    for folder in folders.flatten().map(|entry| entry.path()) {
        if owner_lives(&folder) {
            continue;
        }
        if let Some((removed, left)) = real_cluster::sweep(&folder).await {
            swept.removed.extend(removed);
            swept.left.extend(left.iter().map(ToString::to_string));
            // What is not ours is told once.
            if left.iter().any(|left| !left.why.is_settled()) {
                continue;
            }
        }
        match wi_process_node::sweep(&folder.join("node")) {
            Ok(report) => swept.removed.extend(report.removed),
            Err(error) => {
                swept.left.push(wi_engine::sentence(&error));
                continue;
            }
        }
        match std::fs::remove_dir_all(&folder) {
            Ok(()) => swept.removed.push(format!("folder {}", folder.display())),
            Err(error) => swept.left.push(format!("folder {}: {error}", folder.display())),
        }
    }
    swept
}

/// Looks through a target for what runs left there, and removes it if it shall.
///
/// # Errors
/// The target cannot be looked at.
pub async fn search(
    options: &aks::Options,
    state_dir: &Path,
    older_than: Duration,
    delete: bool,
) -> Result<Exit, Stop> {
    let unfit = |lines| Stop::lines(Exit::TargetUnfit, lines);
    let target = options.target(&CancellationToken::new()).await.map_err(unfit)?;
    let search = wi_engine::Search::connect(&target).await.map_err(|why| unfit(vec![why]))?;
    let (mut here, mut left, mut refused) = (0, Vec::new(), Vec::new());
    if delete {
        // Ledgers on this machine know more than marks tell: what to put back, and what each thing was called when it was made.
        let of = |_: &str, name: &str| (name == target.name).then(|| target.clone());
        let report = wi_engine::sweep(state_dir, &of).await;
        here = report.removed.len();
        report.removed.iter().for_each(|line| console::say(format!("removed {line}")));
        // What other targets own is not looked for here.
        refused = report.left;
        refused.retain(|left| left.why != wi_engine::Kept::OfAnotherTarget);
        left.extend(refused.iter().map(|left| format!("left behind: {left}")));
    }
    let mut found = search.find(older_than).await;
    // What a ledger says is not ours is not taken for ours because of the marks on it.
    found.leftovers.retain(|leftover| !refused.iter().any(|left| left.what == leftover.what()));
    left.extend(found.unseen.iter().map(|line| format!("cannot check {line}")));
    for leftover in &found.leftovers {
        if !delete {
            console::say(format!("found {leftover}"));
            continue;
        }
        match search.remove(leftover).await {
            Ok(()) => console::say(format!("removed {leftover}")),
            Err(why) => left.push(format!("left behind: {leftover}: {why}")),
        }
    }
    match found.leftovers.len() + here {
        0 if left.is_empty() => console::say("nothing was left behind"),
        number if number > 0 && !delete => {
            console::say(format!("{number} resources would be removed; use --delete to remove them"));
        }
        _ => {}
    }
    left.iter().for_each(console::tell);
    Ok(if left.is_empty() { Exit::Conformant } else { Exit::LeftBehind })
}

/// Whether the process that made an environment's folder still lives: it holds a lock on the file `owner`.
fn owner_lives(folder: &Path) -> bool {
    match std::fs::File::open(folder.join("owner")) {
        Ok(owner) => owner.try_lock().is_err(),
        // Without an owner's mark it is either being made this moment, or being removed.
        Err(_) => folder
            .metadata()
            .and_then(|m| m.modified())
            .ok()
            .and_then(|at| at.elapsed().ok())
            .is_some_and(|age| age.as_secs() < 60),
    }
}
