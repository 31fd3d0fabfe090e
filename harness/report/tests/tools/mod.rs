//! Other people's programs that read our reports, found or fetched when a test runs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder that stays between runs of the tests, made by `make` if it is not whole yet.
///
/// # Errors
/// Why it cannot be had here; the test is ignored with that reason.
pub(crate) fn folder(name: &str, make: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let lock = File::create(folder.join(".lock")).map_err(|error| error.to_string())?;
    // Another test that makes the same is waited for.
    lock.lock().map_err(|error| error.to_string())?;
    let whole = folder.join(".whole");
    if !whole.exists() {
        make(&folder)?;
        std::fs::write(&whole, "").map_err(|error| error.to_string())?;
    }
    Ok(folder)
}

/// Runs a program to its end.
///
/// # Errors
/// It is not there, or it failed; with the end of what it said.
pub(crate) fn run(command: &mut Command) -> Result<Output, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("there is no {name} here: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(format!("{name} ended with {}: {last}", output.status))
}

/// Packages of npm in a folder.
///
/// # Errors
/// There is no npm, or the registry cannot be reached.
pub(crate) fn npm(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    folder(name, |folder| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]);
        npm.args(["--fetch-retries=1", "--fetch-timeout=20000", "--prefix"]).arg(folder).args(packages);
        run(&mut npm).map(|_| ()).map_err(|why| format!("npm packages cannot be had: {why}"))
    })
}
