//! What is asked of `kind`.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// How long a cluster may take to be made and to be ready.
const CREATE: Duration = Duration::from_secs(600);
/// How long anything else may take.
const OTHER: Duration = Duration::from_secs(180);

/// The label of a node's container that names its cluster.
pub(crate) const CLUSTER_LABEL: &str = "io.x-k8s.kind.cluster";
/// The network of every cluster.
pub(crate) const NETWORK: &str = "kind";

/// Names of clusters.
pub(crate) async fn clusters() -> Result<Vec<String>, String> {
    let out = run(&["get", "clusters", "--quiet"]).await?;
    Ok(String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect())
}

/// A cluster to make.
pub(crate) struct NewCluster<'a> {
    pub(crate) name: &'a str,
    pub(crate) config: &'a str,
    pub(crate) image: Option<&'a str>,
    pub(crate) kubeconfig: &'a Path,
}

impl NewCluster<'_> {
    /// Makes it and waits until it is ready; `on_line` sees what kind says meanwhile.
    ///
    /// # Errors
    /// What kind said, in one line.
    pub(crate) async fn create(&self, on_line: &(dyn Fn(&str) + Sync)) -> Result<(), String> {
        let kubeconfig = self.kubeconfig.display().to_string();
        let mut args = vec!["create", "cluster", "--name", self.name, "--kubeconfig", &kubeconfig, "--wait", "300s"];
        args.extend(["--config", "-"]);
        if let Some(image) = self.image {
            args.extend(["--image", image]);
        }
        let mut child = command(&args)
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .map_err(absent)?;
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let told = async {
            if let Some(mut stdin) = stdin {
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stdin, self.config.as_bytes()).await;
            }
            let mut said = Vec::new();
            let Some(stderr) = stderr else { return (said, child.wait().await) };
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let line = line.trim().to_owned();
                // Steps are told when they begin and again, with a tick, when they are done.
                if line.starts_with('✓') || line.starts_with('✗') {
                    on_line(line.trim_start_matches(['✓', '✗', ' ']));
                }
                said.push(line);
            }
            (said, child.wait().await)
        };
        let Ok((said, ended)) = tokio::time::timeout(CREATE, told).await else {
            return Err(format!("kind did not create a cluster within {} s", CREATE.as_secs()));
        };
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(reason(&said)),
            Err(error) => Err(format!("kind: {error}")),
        }
    }
}

/// kind's configuration with a folder given to every node, by which its container is known; `None` where the configuration is
/// not one that can be read, which is for kind to tell.
pub(crate) fn marked(config: &str, mark: &Path) -> Option<String> {
    let mut config: Value = serde_saphyr::from_str(config).ok()?;
    let mount = json!({ "hostPath": mark, "containerPath": "/var/lib/wi-conformance", "readOnly": true });
    if config["nodes"].is_null() {
        config["nodes"] = json!([{ "role": "control-plane" }]);
    }
    for node in config["nodes"].as_array_mut()? {
        if node["extraMounts"].is_null() {
            node["extraMounts"] = json!([]);
        }
        node["extraMounts"].as_array_mut()?.push(mount.clone());
    }
    // JSON is YAML.
    Some(config.to_string())
}

/// A cluster's kubeconfig, for use from this machine.
pub(crate) async fn kubeconfig(name: &str) -> Result<String, String> {
    let out = run(&["get", "kubeconfig", "--name", name]).await?;
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Brings an archive of images to every node of a cluster.
pub(crate) async fn load(name: &str, archive: &Path) -> Result<(), String> {
    run(&["load", "image-archive", &archive.display().to_string(), "--name", name]).await.map(|_| ())
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new("kind");
    // A Ctrl-C is for us: we end what we started ourselves.
    command.args(args).process_group(0).kill_on_drop(true);
    command
}

async fn run(args: &[&str]) -> Result<Output, String> {
    let output = command(args).stdin(Stdio::null()).output();
    let output = match tokio::time::timeout(OTHER, output).await {
        Ok(output) => output.map_err(absent)?,
        Err(_) => return Err(format!("kind {} did not end within {} s", args.join(" "), OTHER.as_secs())),
    };
    if output.status.success() {
        return Ok(output);
    }
    let said: Vec<String> =
        String::from_utf8_lossy(&output.stderr).lines().map(|line| line.trim().to_owned()).collect();
    Err(reason(&said))
}

fn absent(error: std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            "`kind` is not on the PATH; see https://kind.sigs.k8s.io/docs/user/quick-start/#installation".to_owned()
        }
        _ => format!("kind could not be started: {error}"),
    }
}

/// Why kind failed, of all that it said: its own last word, and the engine's or the node's before it.
fn reason(said: &[String]) -> String {
    // What kind ran to fail is of no use to whoever reads it.
    let own = said.iter().rev().find_map(|line| line.strip_prefix("ERROR: ")?.split(": command \"").next());
    let cause = said.iter().rev().find(|line| {
        ["Error response from daemon", "docker: Error", "error execution phase", "no space left"]
            .iter()
            .any(|word| line.contains(word))
    });
    let cause = cause.map(|line| line.find("Error response").map_or(line.as_str(), |at| &line[at..]));
    let last = said.iter().rev().find(|line| !line.is_empty()).map_or("it did not say why", String::as_str);
    match (own, cause) {
        (Some(own), Some(cause)) if !own.contains(cause) => format!("kind: {own}: {cause}"),
        (Some(own), _) => format!("kind: {own}"),
        (None, Some(cause)) => format!("kind: {cause}"),
        (None, None) => format!("kind: {last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_of_a_configuration_gets_the_mark_beside_what_it_mounts() {
        let mark = Path::new("/state/mark");
        let one = json!({ "hostPath": "/state/mark", "containerPath": "/var/lib/wi-conformance", "readOnly": true });
        let plain = marked("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n", mark).unwrap();
        let plain: Value = serde_json::from_str(&plain).unwrap();
        assert_eq!(plain["nodes"], json!([{ "role": "control-plane", "extraMounts": [one] }]));
        let text = "kind: Cluster\nnodes:\n- role: control-plane\n  extraMounts: [{ hostPath: /a, containerPath: /b }]\n- role: worker\n";
        let more: Value = serde_json::from_str(&marked(text, mark).unwrap()).unwrap();
        assert_eq!(more["nodes"][0]["extraMounts"], json!([{ "hostPath": "/a", "containerPath": "/b" }, one]));
        assert_eq!(more["nodes"][1]["extraMounts"], json!([one]));
        assert_eq!(marked(": no YAML [", mark), None);
    }

    #[test]
    fn a_failure_is_told_in_one_line_with_the_engines_word() {
        let said = "Creating cluster \"x\" ...\n✗ Preparing nodes\nERROR: failed to create cluster: command \"docker run --name x\" failed with error: exit status 125\nCommand Output: 5f\ndocker: Error response from daemon: driver failed programming external connectivity: Bind for 127.0.0.1:6443 failed: port is already allocated.";
        let said: Vec<String> = said.lines().map(str::to_owned).collect();
        let reason = reason(&said);
        assert!(
            reason.starts_with("kind: failed to create cluster") && reason.ends_with("port is already allocated."),
            "{reason}"
        );
        assert!(!reason.contains('\n') && !reason.contains("--name"), "{reason}");
    }
}
