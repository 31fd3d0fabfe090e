//! What can be said of real clusters without one: which flags go together, and what is told where none can be had.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::path::Path;
use std::process::{Command, Stdio};

/// Runs the program with an empty PATH and a Docker engine that is not there.
fn run(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wi-conformance"));
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    command.args(args).current_dir(folder).env("WI_CONFORMANCE_SCENARIOS", scenarios).env("PATH", folder);
    command.env("DOCKER_HOST", format!("unix://{}/docker.sock", folder.display()));
    command.env("WI_CONFORMANCE_STATE_DIR", folder.join("state")).stdin(Stdio::null());
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// What the program said of itself.
fn told(err: &str) -> Vec<&str> {
    err.lines().filter(|line| line.starts_with("wi-conformance: ")).collect()
}

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(files(&path)),
            path => found.push(path.display().to_string()),
        }
    }
    found
}

#[test]
fn without_a_docker_engine_one_line_says_so_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&["run", "--target", "kind"][..], &["run", "--target", "kind", "--reuse"], &["up", "kind"]] {
        let (code, _, err) = run(folder.path(), args);
        let told: Vec<&str> = err.lines().filter(|line| line.starts_with("wi-conformance: ")).collect();
        assert_eq!((code, told.len()), (4, 1), "{args:?}: {err}");
        assert!(told[0].contains("Docker cannot be reached") && told[0].contains("DOCKER_HOST"), "{err}");
    }
    let left: Vec<String> = files(folder.path()).into_iter().filter(|file| !file.contains("/reports/")).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn flags_that_do_not_go_together_are_usage() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("target.yaml"), "kubeconfig: k\ncontxt: c\n").unwrap();
    std::fs::write(folder.path().join("lost.yaml"), "kubeconfig: nowhere\n").unwrap();
    let cases: &[(&[&str], &str)] = &[
        (&["run", "--target", "nowhere"], "expected `embedded`, `kind`, `aks`, or an existing regular file"),
        (&["run", "--target", "target.yaml"], "target.yaml:2:1: "),
        (&["run", "--target", "lost.yaml"], "nowhere: "),
        (&["run", "--target", "kind", "--keep", "--reuse"], "cannot be used with"),
        (&["run", "--target", "kind", "--webhook", "exec:/bin/sh"], "manifests:DIR"),
        (&["run", "--target", "kind", "--webhook", "manifests:nowhere"], "no such folder"),
        (&["run", "--target", "kind", "--kind-config", "nowhere.yaml"], "nowhere.yaml: "),
        (&["run", "--target", "kind", "--mutant", "issuer/wrong-subject"], "not part of this target"),
        (&["run", "--target", "kind", "--webhook", "none", "--mutant", "webhook/no-env"], "not part of this target"),
        (&["run", "--webhook", "preinstalled"], "need a real cluster"),
        (&["run", "--webhook", "else"], "`preinstalled`"),
        (&["up", "embedded"], "--kubeconfig"),
        (&["up", "kind", "--write-target", "t.yaml"], "--write-target is for `up embedded`"),
        (&["down", "embedded"], "expected `kind`"),
        (&["down", "kind", "--name", "somebody-elses"], "so nothing is removed"),
        (&["diff", "nowhere", "nowhere"], "nowhere: "),
        (&["diff", "target.yaml", "target.yaml"], "invalid JSON"),
    ];
    for (args, expected) in cases {
        let (code, _, err) = run(folder.path(), args);
        assert_eq!(code, 2, "{args:?}: {err}");
        assert!(err.contains(expected), "{args:?}: expected {expected} in {err}");
    }
}

#[test]
fn a_plan_names_what_a_real_cluster_lacks_and_needs_none_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, err) = run(folder.path(), &["plan", "--target", "kind", "--webhook", "preinstalled"]);
    assert_eq!(code, 4, "{err}");
    assert!(out.contains("not applicable  install/webhook-down  the target lacks webhook-control"), "{out}");
    // Where a run would not begin, nothing would run.
    assert!(out.contains("applicable  quickstart/article") && !out.contains(" runs  "), "{out}");
    assert!(
        out.contains("\n0 of ") && out.contains("scenarios would run: the target does not meet the prerequisites"),
        "{out}"
    );
    let (_, _, ran) = run(folder.path(), &["run", "--target", "kind", "--webhook", "preinstalled"]);
    assert_eq!(told(&err), told(&ran), "a plan says what a run says");
}

#[test]
fn runs_are_compared_case_by_case() {
    let folder = tempfile::tempdir().unwrap();
    let report = |outcome: &str| {
        format!(
            r#"{{"version":1,"run":"r","started":"","duration-ms":1,"environment":{{"target":"t","webhook":"w","profile":null,"kubernetes":null,"harness":"","capabilities":[]}},"cases":[{{"id":"a/b","title":"t","file":"f","requirements":[],"source":null,"sabotage":null,"outcome":"{outcome}","reason":null,"failures":[],"checks":[],"started":"","duration-ms":1,"timeline":[],"evidence":null,"artefacts":[]}}],"leftovers":[],"interrupted":false}}"#
        )
    };
    std::fs::write(folder.path().join("a.json"), report("pass")).unwrap();
    std::fs::write(folder.path().join("b.json"), report("fail")).unwrap();
    std::fs::write(folder.path().join("v.json"), r#"{"version":99}"#).unwrap();
    let (code, out, err) = run(folder.path(), &["diff", "a.json", "a.json"]);
    assert!(code == 0 && out.contains("0 of 1 cases that both runs ran differ"), "{code} {out} {err}");
    let (code, out, err) = run(folder.path(), &["diff", "a.json", "b.json"]);
    assert!(code == 1 && out.contains("a/b\n  a  pass\n  b  fail"), "{code} {out} {err}");
    let (code, _, err) = run(folder.path(), &["diff", "a.json", "v.json"]);
    assert!(code == 2 && err.contains("expected a report of version 1, found version 99"), "{code} {err}");
}
