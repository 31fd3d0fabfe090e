//! What killed runs left on real clusters.

use std::path::Path;
use std::time::Duration;

use wi_engine::Left;
use wi_engine::environments;
use wi_model::secret::Secret;
use wi_model::target::{ClusterTarget, PodAdditions, Target, WebhookUnderTest};

use super::{emulator_container, holdings};

/// The target of a killed run, as far as undoing its creations needs it; `None` where it never came that far.
pub fn target_of(state_dir: &Path, run_id: &str) -> Option<Target> {
    let folder = environments(state_dir).join(format!("real-{run_id}"));
    let kubeconfig = std::fs::read_to_string(folder.join(holdings::KUBECONFIG)).ok()?;
    let known = emulator_container::Known::read(&folder)?;
    Some(Target {
        name: run_id.to_owned(),
        cluster: ClusterTarget {
            kubeconfig: Secret::new(kubeconfig),
            context: None,
            admission_journal: None,
            control: None,
            transient: false,
        },
        azure: known.target(false),
        pods: PodAdditions::default(),
        webhook: WebhookUnderTest {
            name: String::new(),
            product: None,
            profile: None,
            registration: None,
            upgrade: None,
        },
        capabilities: [].into(),
        patience: Duration::from_secs(1),
    })
}

/// Removes what an environment's folder says it holds; `None` when it is no real cluster's. What was removed and what is
/// still there, a line each.
pub async fn sweep(folder: &Path) -> Option<(Vec<String>, Vec<Left>)> {
    let held = holdings::remains(folder)?;
    let mut removed = Vec::new();
    let left = holdings::release(held, folder, &mut |held| removed.push(held.to_string())).await;
    Some((removed, left))
}
