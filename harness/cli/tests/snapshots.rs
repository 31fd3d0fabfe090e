//! What users read, as snapshots: the help of every command, a plan, a failure, and the main errors.
//!
//! `INSTA_UPDATE=always cargo test -p wi-conformance --test snapshots` rewrites them; read the difference before you commit it.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::path::Path;
use std::process::{Command, Stdio};

use regex::Regex;

const SCENARIO: &str = "\
title: a labelled pod is mutated
requirements: [A-1]
mutants: [webhook/no-env]
when:
  - create-pod: { name: p, image: quickstart/pause, labels: { azure.workload.identity/use: 'true' } }
then:
  - admission: { of: p, outcome: mutated }
";

/// Runs the program in a folder, and gives back its exit code and what it wrote, without what differs from run to run.
fn told(folder: &Path, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wi-conformance"));
    // Help shows the values of variables, so there are none but those that starting a process takes.
    command.args(args).current_dir(folder).stdin(Stdio::null()).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", folder).env("CI", "1");
    let output = command.env("WI_CONFORMANCE_STATE_DIR", folder.join("state")).output().unwrap();
    let text = |bytes: &[u8]| redacted(folder, &String::from_utf8_lossy(bytes));
    let code = output.status.code().unwrap_or(-1);
    format!("exit code {code}\n--- standard output\n{}--- standard error\n{}", text(&output.stdout), text(&output.stderr))
}

fn redacted(folder: &Path, text: &str) -> String {
    let mut text = text.replace(folder.to_str().unwrap(), "[FOLDER]");
    for (pattern, name) in [
        (r"\d+(\.\d+)? ?ms\b", "[TIME]"),
        (r"\d+\.\d+ s\b", "[TIME]"),
        (r"\d+ checks over", "[N] checks over"),
        (r"wi-[0-9a-f]{8,}", "[NAMESPACE]"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[UUID]"),
        (r"\d{4}-\d\d-\d\dT[0-9:.-]+Z?(-[0-9a-z]+)?", "[RUN]"),
    ] {
        text = Regex::new(pattern).unwrap().replace_all(&text, name).into_owned();
    }
    text
}

/// A folder with one scenario.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "scenarios/requirements.yaml", "A-1: { level: must, statement: A pod is mutated., source: u }\n");
    write(folder.path(), "scenarios/area/good.yaml", SCENARIO);
    folder
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// The commands below one, as its help lists them.
fn below(folder: &Path, command: &[&str]) -> Vec<String> {
    let help = told(folder, &[command, &["--help"]].concat());
    let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let names = listed.lines().take_while(|line| line.starts_with("  ")).filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

#[test]
fn the_help_of_every_command_reads_as_in_its_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    insta::assert_snapshot!("help", told(folder.path(), &["--help"]));
    let commands = below(folder.path(), &[]);
    assert!(commands.len() > 14, "{commands:?}");
    for command in &commands {
        insta::assert_snapshot!(format!("help-{command}"), told(folder.path(), &[command, "--help"]));
        for inner in below(folder.path(), &[command]) {
            insta::assert_snapshot!(format!("help-{command}-{inner}"), told(folder.path(), &[command, &inner, "--help"]));
        }
    }
}

#[test]
fn a_list_and_a_coverage_read_as_in_their_snapshots() {
    let folder = folder();
    insta::assert_snapshot!("list", told(folder.path(), &["list"]));
    insta::assert_snapshot!("coverage", told(folder.path(), &["coverage"]));
}

#[test]
fn a_plan_and_a_failure_read_as_in_their_snapshots() {
    let folder = folder();
    insta::assert_snapshot!("plan", told(folder.path(), &["plan"]));
    insta::assert_snapshot!("failure", told(folder.path(), &["run", "--mutant", "webhook/no-env"]));
}

#[test]
fn the_main_errors_read_as_in_their_snapshots() {
    let folder = folder();
    for (name, args) in [
        ("unknown-target", &["run", "--target", "moon"][..]),
        ("unknown-webhook", &["run", "--webhook", "exec:/nowhere"]),
        ("unknown-mutant", &["run", "--mutant", "nobody"]),
        ("unknown-command", &["rnu"]),
        ("nothing-selected", &["run", "no-such-scenario"]),
        ("deprecated-command", &["sabotage", "no-such-scenario"]),
        ("no-such-report", &["report", "nowhere"]),
        ("no-such-suite", &["run", "--scenarios", "nowhere"]),
    ] {
        insta::assert_snapshot!(format!("error-{name}"), told(folder.path(), args));
    }
    let wrong = SCENARIO.replace("image: q", "imgae: q").replace("of: p,", "of: q,").replace("A-1", "A-2");
    write(folder.path(), "scenarios/area/bad.yaml", &wrong.replace("no-env", "no-evn"));
    insta::assert_snapshot!("error-bad-scenario", told(folder.path(), &["plan"]));
}
