//! Kubernetes' own clients against the embedded cluster, as `tests/clients/kubernetes/install.sh` installs them.
//!
//! What ran is held against the table of `docs/compatibility.md`, which `WI_WRITE_COMPATIBILITY=1` writes.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]
#![expect(
    clippy::disallowed_methods,
    reason = "where the clients are, and whether to write, are told to a test by its environment"
)]

mod standing;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde::Deserialize;
use standing::up;

/// Where the table of `docs/compatibility.md` begins.
const HEAD: &str = "| Kubernetes client | version | operation | result |\n| --- | --- | --- | --- |\n";

/// What a program tells of one operation.
#[derive(Deserialize)]
struct Told {
    client: String,
    version: String,
    operation: String,
    #[serde(default)]
    error: String,
}

fn main() -> std::process::ExitCode {
    let python = || {
        let program = root().join("tests/clients/kubernetes/python/main.py");
        vec![cache().join("kubernetes-python/bin/python"), program]
    };
    let trials = vec![Trial::ignorable_test("the_python_client_takes_the_embedded_cluster_for_a_cluster", move || {
        session(&python())
    })];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn cache() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let usual =
        || Some(set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?.join("wi-conformance/clients"));
    set("WI_CLIENTS").or_else(usual).unwrap_or_default()
}

fn session(command: &[PathBuf]) -> Result<Completion, Failed> {
    if !command[0].exists() {
        let why = format!("{} is not there; tests/clients/kubernetes/install.sh makes it", command[0].display());
        return Ok(Completion::ignored_with(why));
    }
    let folder = tempfile::tempdir()?;
    let _up = up(folder.path(), &[])?;
    let mut program = Command::new(&command[0]);
    program.args(&command[1..]).env("KUBECONFIG", folder.path().join("kubeconfig"));
    let output = program.stdin(Stdio::null()).output()?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let told: Vec<Told> = out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let wrong: Vec<String> = told
        .iter()
        .filter(|one| !one.error.is_empty())
        .map(|one| format!("{}: {}", one.operation, one.error))
        .collect();
    if !output.status.success() || told.is_empty() || !wrong.is_empty() {
        return Err(format!("{} ended with {}: {wrong:#?}\n{err}", command[0].display(), output.status).into());
    }
    documented(&told)?;
    Ok(Completion::Completed)
}

/// Holds `docs/compatibility.md` against what ran, or writes it.
fn documented(told: &[Told]) -> Result<(), Failed> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let path = root().join("docs/compatibility.md");
    let text = std::fs::read_to_string(&path)?;
    let (before, after) = text.split_once(HEAD).ok_or("docs/compatibility.md has no table of Kubernetes' clients")?;
    let length = after.lines().take_while(|line| line.starts_with('|')).map(|line| line.len() + 1).sum();
    let (rows, after) = after.split_at(length);
    let mine = format!("| {} |", told[0].client);
    let ran: Vec<String> =
        told.iter().map(|one| format!("{mine} {} | {} | works |", one.version, one.operation)).collect();
    if std::env::var_os("WI_WRITE_COMPATIBILITY").is_some() {
        let mut all: Vec<&str> = rows.lines().filter(|line| !line.starts_with(&mine)).collect();
        all.extend(ran.iter().map(String::as_str));
        all.sort_by_key(|row| row.split('|').nth(1));
        std::fs::write(&path, format!("{before}{HEAD}{}\n{after}", all.join("\n")))?;
        return Ok(());
    }
    let shown: Vec<&str> = rows.lines().filter(|line| line.starts_with(&mine)).collect();
    if shown == ran {
        return Ok(());
    }
    let stale = "docs/compatibility.md is stale; write it again with WI_WRITE_COMPATIBILITY=1";
    Err(format!("{stale}\nfound    {shown:#?}\nexpected {ran:#?}").into())
}
