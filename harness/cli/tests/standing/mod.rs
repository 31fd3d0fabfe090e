//! An environment that stays up while a test uses it: `up embedded` as a program of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use libtest_mimic::Failed;

/// Ends the environment however the test ends.
pub(crate) struct Up(Child);

impl Drop for Up {
    fn drop(&mut self) {
        // SIGINT, so that it takes its files with it.
        let _ = Command::new("kill").arg("-INT").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// Starts it with more arguments, and waits until it is up. Its kubeconfig is `kubeconfig` in the folder, its state is beside it.
pub(crate) fn up(folder: &Path, more: &[&str]) -> Result<Up, Failed> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_wi-conformance"))
        .args(["up", "embedded", "--kubeconfig"])
        .arg(folder.join("kubeconfig"))
        .args(more)
        .env("WI_CONFORMANCE_STATE_DIR", folder.join("state"))
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let up = Up(child);
    if lines.by_ref().map_while(Result::ok).any(|line| line.starts_with("up;")) {
        Ok(up)
    } else {
        Err("the environment did not come up".into())
    }
}
