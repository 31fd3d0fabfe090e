//! Images on the nodes of a cluster whose nodes are containers.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// How long a node may take to answer.
const ANSWER: Duration = Duration::from_secs(60);

/// Whether a node has every one of these images.
pub(crate) async fn has_images(node: &str, names: &[String]) -> Result<bool, String> {
    let listed = ctr(node, &["images", "list", "--quiet"]).await?;
    Ok(names.iter().all(|name| listed.lines().any(|line| line == name)))
}

/// Removes images from a node. A node or an image that is not there is as good as one without.
pub(crate) async fn remove_images(node: &str, names: &[String]) -> Result<(), String> {
    let mut args = vec!["images", "remove"];
    args.extend(names.iter().map(String::as_str));
    match ctr(node, &args).await {
        Ok(_) => Ok(()),
        Err(why) if why.contains("not found") || why.contains("No such container") => Ok(()),
        Err(why) => Err(why),
    }
}

/// Asks a node's containerd, as `kind load` itself does.
async fn ctr(node: &str, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new("docker");
    command.args(["exec", "--privileged", node, "ctr", "--namespace=k8s.io"]).args(args);
    command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    let output = match tokio::time::timeout(ANSWER, command.output()).await {
        Ok(output) => output.map_err(|error| format!("`docker` could not be started: {error}"))?,
        Err(_) => return Err(format!("node {node} did not answer within {} s", ANSWER.as_secs())),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("node {node}: {}", said.lines().last().unwrap_or("it did not say why").trim()))
}
