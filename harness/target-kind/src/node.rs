//! Images on the nodes of a cluster whose nodes are containers.

use std::collections::BTreeMap;
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

/// Removes images from a node, each as long as it is the one of this digest. A node or an image that is not there is as good
/// as one without.
pub(crate) async fn remove_images(node: &str, digests: &BTreeMap<String, String>) -> Result<(), String> {
    let absent = |why: &String| why.contains("not found") || why.contains("No such container");
    let listed = match ctr(node, &["images", "list"]).await {
        Err(why) if absent(&why) => return Ok(()),
        listed => listed?,
    };
    // A line has the name, the type and the digest.
    let ours = listed.lines().filter_map(|line| {
        let mut columns = line.split_whitespace();
        let (name, digest) = (columns.next()?, columns.nth(1)?);
        (digests.get(name).map(String::as_str) == Some(digest)).then_some(name)
    });
    let ours: Vec<&str> = ours.collect();
    if ours.is_empty() {
        return Ok(());
    }
    match ctr(node, &[&["images", "remove"], ours.as_slice()].concat()).await {
        Err(why) if absent(&why) => Ok(()),
        outcome => outcome.map(|_| ()),
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
