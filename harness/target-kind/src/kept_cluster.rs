//! Clusters that stay: made by `up`, used by run after run, ended by `down`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use wi_engine::{Kept, Left};
use wi_model::profile::Profile;

use super::holdings::{self, Held, Holdings};
use super::webhook_install::Registered;
use super::{Options, RealCluster, Webhook, emulator_container};

/// What is known of a kept cluster, in its folder.
const FILE: &str = "cluster.json";

/// A cluster that stays.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Standing {
    /// Of the images that are on its nodes.
    pub(crate) tag: String,
    registered: Option<Registered>,
    profile: Option<String>,
    /// Where the account is that reads the issuer's documents for the emulator.
    pub(crate) namespace: String,
    #[serde(skip)]
    pub(crate) folder: PathBuf,
}

impl Standing {
    /// What `up` wrote down of a cluster; `None` when it made none of this name.
    pub(crate) fn read(state_dir: &Path, name: &str) -> Option<Self> {
        let folder = folder(state_dir, name);
        let standing: Standing = serde_json::from_str(&std::fs::read_to_string(folder.join(FILE)).ok()?).ok()?;
        Some(Standing { folder, ..standing })
    }

    /// The webhook that stands there, if it is of this profile and of these images.
    pub(crate) fn webhook(&self, profile: Profile, tag: &str) -> Option<Registered> {
        let same = self.tag == tag && self.profile.as_deref() == Some(profile.word());
        self.registered.clone().filter(|_| same)
    }
}

/// The folder of a kept cluster.
fn folder(state_dir: &Path, name: &str) -> PathBuf {
    state_dir.join("clusters").join(name)
}

/// Makes a cluster that stays, with its emulator and webhook, and gives back its folder.
///
/// # Errors
/// Why not, a line each.
pub async fn up(
    options: Options,
    run_id: &str,
    tell: &(dyn Fn(&str) + Sync),
    cancel: &CancellationToken,
) -> Result<(PathBuf, emulator_container::Known), Vec<String>> {
    let (state_dir, profile) = (
        options.state_dir.clone(),
        match &options.webhook {
            Webhook::Reference { profile, .. } => Some(profile.word().to_owned()),
            _ => None,
        },
    );
    let cluster = RealCluster::open(options, run_id, tell, cancel).await?;
    let standing = Standing {
        tag: cluster.parts.tag.clone(),
        registered: cluster.parts.registered.clone(),
        profile,
        namespace: cluster.parts.namespace.clone(),
        folder: PathBuf::new(),
    };
    let known = cluster.parts.emulator.known.clone();
    let path = cluster.folder.join(FILE);
    let text = serde_json::to_string_pretty(&standing).unwrap_or_default();
    let kept =
        wi_serve::private_files::write_private(&path, &text).map_err(|error| format!("{}: {error}", path.display()));
    let kept = kept.and_then(|()| settle(&state_dir, &cluster.parts.name, &cluster.folder));
    match kept {
        Ok(folder) => Ok((folder, known)),
        Err(why) => {
            let left = cluster.holdings.release().await;
            Err(std::iter::once(why).chain(left.iter().map(ToString::to_string)).collect())
        }
    }
}

/// Keeps a run's cluster and gives up everything else of the run. What could not be removed is returned, a line each.
pub(super) async fn keep(state_dir: &Path, name: &str, from: &Path, holdings: Holdings) -> Vec<Left> {
    let (stays, goes) = holdings.split(|held| matches!(held, Held::Cluster { .. } | Held::Network { .. }));
    let left = holdings::release(goes, from, &mut |_| {}).await;
    let kept = || -> Result<(), String> {
        let to = folder(state_dir, name);
        let fault = |error: std::io::Error| format!("{}: {error}", to.display());
        wi_serve::private_files::private_folder(&to).map_err(fault)?;
        let mut list = Holdings::open(&to, "").map_err(fault)?;
        stays.into_iter().try_for_each(|holding| list.take_over(holding))
    };
    let kept = kept().err().map(|why| Left::of(format!("cluster {name}"), Kept::Failed(why)));
    left.into_iter().chain(kept).collect()
}

/// Moves an environment's folder to those of kept clusters.
fn settle(state_dir: &Path, name: &str, from: &Path) -> Result<PathBuf, String> {
    let to = folder(state_dir, name);
    let fault = |error: std::io::Error| format!("{}: {error}", to.display());
    if let Some(parent) = to.parent() {
        wi_serve::private_files::private_folder(parent).map_err(fault)?;
    }
    // What a cluster of this name left when it was deleted by hand.
    if to.exists() {
        std::fs::remove_dir_all(&to).map_err(fault)?;
    }
    std::fs::rename(from, &to).map_err(fault)?;
    Ok(to)
}

/// Why a kept cluster was not removed.
#[derive(Debug)]
pub enum NotDown {
    /// We made none of this name.
    Unknown(String),
    /// What is still there, a line each.
    Left(Vec<String>),
}

/// Removes a kept cluster with everything that belongs to it.
///
/// # Errors
/// It is not ours, or something is still there.
pub async fn down(state_dir: &Path, name: &str, gone: &mut (dyn FnMut(&Held) + Send)) -> Result<(), NotDown> {
    let folder = folder(state_dir, name);
    let Some(held) = holdings::remains(&folder) else {
        return Err(NotDown::Unknown(format!(
            "no cluster {name} was created by `wi-conformance up kind`, so nothing is removed; `kind get clusters` lists all clusters"
        )));
    };
    let left = holdings::release(held, &folder, gone).await;
    if !left.is_empty() {
        let told = left.iter().map(ToString::to_string).collect();
        if !holdings::stays(&left) {
            let _ = std::fs::remove_dir_all(&folder);
        }
        return Err(NotDown::Left(told));
    }
    std::fs::remove_dir_all(&folder).map_err(|error| NotDown::Left(vec![format!("{}: {error}", folder.display())]))?;
    if let Some(all) = folder.parent() {
        let _ = std::fs::remove_dir(all);
    }
    Ok(())
}
