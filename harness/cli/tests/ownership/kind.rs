//! The same table on a cluster that kind made: a real API server, whose controllers take their time.

use std::process::{Command, Stdio};

use crate::things::{self, SERVICE_THAT_LEADS_NOWHERE};
use crate::world::World;
use crate::{in_cluster, play_each};

/// A cluster of this test, which goes with it.
struct Cluster {
    name: String,
    kubeconfig: String,
}

impl Cluster {
    fn create() -> Self {
        let name = format!("wi-adversary-{}", std::process::id());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        let mut command = Command::new("kind");
        command.args(["create", "cluster", "--name", &name, "--wait", "120s", "--kubeconfig"]).arg(&path);
        if let Some((_, image)) = std::env::vars().find(|(name, _)| name == "WI_CONFORMANCE_NODE_IMAGE") {
            command.args(["--image", &image]);
        }
        // It is removed also where it could not be made whole.
        let mut cluster = Cluster { name, kubeconfig: String::new() };
        let made = command.stdin(Stdio::null()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        cluster.kubeconfig = std::fs::read_to_string(path).unwrap();
        cluster
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = Command::new("kind").args(["delete", "cluster", "--name", &self.name]).output();
    }
}

/// Each thing has a run and an Azure of its own, so that all of them are played at once: a namespace takes seconds to go.
#[test]
#[ignore = "needs Docker and kind; CI's kind lane runs it: cargo test -p wi-conformance --test ownership -- --ignored"]
fn what_somebody_else_makes_on_a_real_cluster_stays_and_what_we_made_goes() {
    let cluster = Cluster::create();
    // There is no webhook here that could lead anywhere else.
    let things = things::all().into_iter().filter(in_cluster).filter(|thing| thing.what != SERVICE_THAT_LEADS_NOWHERE);
    let lanes: Vec<_> = things
        .map(|thing| {
            let kubeconfig = cluster.kubeconfig.clone();
            std::thread::spawn(move || {
                tokio::runtime::Runtime::new().unwrap().block_on(async {
                    let world = World::up_with(Some(&kubeconfig)).await.expect("this machine can run pods");
                    play_each(&world, &thing).await
                })
            })
        })
        .collect();
    let mut wrong = Vec::new();
    for lane in lanes {
        wrong.extend(lane.join().unwrap());
    }
    assert!(wrong.is_empty(), "{} rows went wrong:\n{}", wrong.len(), wrong.join("\n"));
}
