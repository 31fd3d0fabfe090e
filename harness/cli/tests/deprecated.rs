//! Old spellings that are accepted for one more release, each with a notice.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::path::Path;
use std::process::{Command, Stdio};

const SCENARIO: &str = "\
title: a labelled pod is mutated
requirements: [A-1]
mutants: [webhook/no-env]
when:
  - create-pod: { name: p, image: quickstart/pause, labels: { azure.workload.identity/use: 'true' } }
then:
  - admission: { of: p, outcome: mutated }
";

fn run(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wi-conformance"));
    command.args(args).current_dir(folder).env("WI_CONFORMANCE_SCENARIOS", folder).stdin(Stdio::null());
    let output = command.env("WI_CONFORMANCE_STATE_DIR", folder.join("state")).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

#[test]
fn the_old_names_of_mutants_work_for_one_more_release_with_a_notice() {
    let folder = tempfile::tempdir().unwrap();
    let (run, write) = (
        |args: &[&str]| run(folder.path(), args),
        |name: &str, text: &str| {
            std::fs::create_dir_all(folder.path().join("area")).unwrap();
            std::fs::write(folder.path().join(name), text).unwrap();
        },
    );
    write("requirements.yaml", "A-1: { level: must, statement: s, source: u }\n");
    let (code, new, err) = run(&["mutants", "--list"]);
    assert!(code == 0 && new.contains("webhook/no-env  ") && err.is_empty(), "{new}{err}");
    let (code, old, err) = run(&["sabotage", "--list"]);
    assert_eq!((code, old), (0, new));
    assert!(err.contains("note: the command `sabotage` is deprecated; use `mutants`"), "{err}");
    write("area/good.yaml", &SCENARIO.replace("mutants:", "saboteurs:"));
    let (code, out, err) = run(&["list", "--strict"]);
    assert!(code == 0 && out.contains("area/good"), "{out}{err}");
    assert!(err.contains("good.yaml:3:1: the key `saboteurs` is deprecated; write `mutants`"), "{err}");
    write("area/good.yaml", &SCENARIO.replace("mutants:", "mutants: []\nsaboteurs:"));
    let (code, _, err) = run(&["list"]);
    assert!(code == 2 && err.contains("good.yaml:"), "one of them, and not both: {err}");
}
