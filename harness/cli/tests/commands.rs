//! What users type and read: the program itself, from outside.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const SCENARIO: &str = "\
title: a labelled pod is mutated
requirements: [A-1]
saboteurs: [webhook/no-env]
when:
  - create-pod: { name: p, image: quickstart/pause, labels: { azure.workload.identity/use: 'true' } }
then:
  - admission: { of: p, outcome: mutated }
";

/// A folder of scenarios with one good one, and everything else that a run writes.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.write("requirements.yaml", "A-1: { level: must, statement: s, source: u }\n");
        folder.write("area/good.yaml", SCENARIO);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wi-conformance"));
        command.args(args).current_dir(self.0.path()).env("WI_CONFORMANCE_SCENARIOS", self.0.path());
        command.env("WI_CONFORMANCE_STATE_DIR", self.path("state")).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        read(self.command(args).output().unwrap())
    }
}

fn read(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

#[test]
fn bad_scenarios_end_with_code_2_and_the_place() {
    let cases: &[(&str, &[u8], &str)] = &[
        ("area/bad.yaml", SCENARIO.replace("create-pod", "creat-pod").leak().as_bytes(), "bad.yaml:5:"),
        ("area/bad.yaml", SCENARIO.replace("image: q", "imgae: q").leak().as_bytes(), "bad.yaml:5:"),
        ("area/bad.yaml", SCENARIO.replace("of: p,", "of: q,").leak().as_bytes(), "bad.yaml:7:"),
        ("area/bad.yaml", SCENARIO.replace("name: p,", "name: '{{nobody}}',").leak().as_bytes(), "bad.yaml:5:"),
        ("area/bad.yaml", SCENARIO.replace("A-1", "A-2").leak().as_bytes(), "unknown requirement `A-2`"),
        ("area/bad.yaml", SCENARIO.replace("webhook/no-env", "webhook/nothing").leak().as_bytes(), "unknown saboteur"),
        ("area/bad.yaml", b"title: \xff\xfe", "byte 7 is not UTF-8"),
        ("area/good.yml", SCENARIO.as_bytes(), "id `area/good"),
        ("area/bad.yaml", b"", "bad.yaml"),
    ];
    for (name, text, expected) in cases {
        let folder = Folder::new();
        folder.write(name, text);
        for command in ["run", "plan", "list"] {
            let (code, _, err) = folder.run(&[command]);
            assert_eq!(code, 2, "{command} {name}: {err}");
            assert!(err.contains(expected), "{command} {name}: expected {expected} in {err}");
        }
    }
}

#[test]
fn a_file_of_ten_megabytes_is_refused_without_being_read() {
    let folder = Folder::new();
    folder.write("area/large.yaml", vec![b'#'; 10 * 1024 * 1024]);
    let (code, _, err) = folder.run(&["list"]);
    assert_eq!(code, 2);
    assert!(err.contains("large.yaml: 10485760 bytes"), "{err}");
}

#[test]
fn every_fault_of_every_file_is_told_at_once() {
    let folder = Folder::new();
    folder.write("area/one.yaml", "title: [");
    folder.write("area/two.yaml", "tilte: x");
    let (_, _, err) = folder.run(&["list"]);
    assert!(err.contains("one.yaml:") && err.contains("two.yaml:"), "{err}");
}

#[test]
fn missing_files_folders_and_targets_are_named() {
    let folder = Folder::new();
    folder.write(
        "area/lost.yaml",
        SCENARIO.replace(
            "create-pod: { name: p, image: quickstart/pause, labels: { azure.workload.identity/use: 'true' } }",
            "apply: { files: [none.yaml] }",
        ),
    );
    let (code, _, err) = folder.run(&["list"]);
    assert!(code == 2 && err.contains("lost.yaml:5:") && err.contains("none.yaml"), "{code} {err}");
    let folder = Folder::new();
    let (code, _, err) = folder.run(&["run", "--scenarios", "nowhere"]);
    assert!(code == 2 && err.contains("nowhere: cannot be read: no such folder"), "{code} {err}");
    let (code, _, err) = folder.run(&["run", "--target", "moon"]);
    assert!(code == 2 && err.contains("moon") && err.contains("embedded"), "{code} {err}");
    let (code, _, err) = folder.run(&["run", "--webhook", "exec:/nowhere"]);
    assert!(code == 2 && err.contains("exec:/nowhere"), "{code} {err}");
    let (code, _, err) = folder.run(&["run", "--saboteur", "nobody"]);
    assert!(code == 2 && err.contains("no such defect"), "{code} {err}");
    let (code, _, err) = folder.run(&["rnu"]);
    assert!(code == 2 && err.contains("rnu"), "{code} {err}");
}

#[test]
fn an_empty_selection_ends_with_code_3() {
    let folder = Folder::new();
    for command in ["run", "plan", "list", "sabotage"] {
        let (code, _, err) = folder.run(&[command, "no-such-scenario"]);
        assert_eq!(code, 3, "{command}: {err}");
        assert!(err.contains("no scenario of") && err.contains("no-such-scenario"), "{err}");
    }
}

#[test]
fn coverage_names_what_is_shown_and_strict_ends_with_code_1_while_a_scenario_is_owed() {
    let folder = Folder::new();
    let (code, out, err) = folder.run(&["coverage", "--strict"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("runs  area/good") && out.contains("1 requirements: 1 with a scenario"), "{out}");
    folder.write("area/good.yaml", SCENARIO.replace("saboteurs:", "needs: [webhook]\nsaboteurs:"));
    let (_, out, _) = folder.run(&["coverage", "--webhook", "none"]);
    assert!(out.contains("not applicable  area/good  the target lacks webhook"), "{out}");

    let more = "A-1: { level: must, statement: s, source: u }\nA-2: { level: should, statement: s, source: u }\n\
                A-3: { level: must, statement: s, source: u, elsewhere: a real vault }\n";
    folder.write("requirements.yaml", more);
    let (code, out, _) = folder.run(&["coverage", "--strict"]);
    assert_eq!(code, 0, "neither what should hold nor what cannot be shown here is owed a scenario: {out}");
    assert!(out.contains("takes  a real vault"), "{out}");

    folder.write("requirements.yaml", format!("{more}A-4: {{ level: must-not, statement: s, source: u }}\n"));
    let (code, out, err) = folder.run(&["coverage", "--strict", "--format", "json"]);
    assert_eq!(code, 1, "{out}");
    assert!(err.contains("a scenario is owed for A-4"), "{err}");
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["counts"]["holes"], 1);
    assert_eq!(folder.run(&["coverage"]).0, 0, "only --strict fails on holes");
    assert!(!folder.path("reports").exists() && !folder.path("state").exists(), "it touches nothing");
}

#[test]
fn a_folder_with_somebody_elses_files_is_not_emptied() {
    let folder = Folder::new();
    folder.write("precious/file", "keep");
    let (code, _, err) = folder.run(&["run", "--out", "precious"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("holds files that are not a report's"), "{err}");
    assert!(folder.path("precious/file").exists());
}

#[test]
fn the_schema_is_json_and_lists_the_words() {
    let (code, out, _) = Folder::new().run(&["schema"]);
    assert_eq!(code, 0);
    let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(schema["properties"]["saboteurs"].is_object());
}

#[test]
fn a_run_leaves_reports_and_nothing_else_and_a_failing_one_names_hop_expected_observed_and_place() {
    let folder = Folder::new();
    let (code, out, err) = folder.run(&["run"]);
    assert_eq!(code, 0, "{out}{err}");
    for file in ["junit.xml", "report.json", "events.jsonl", "cases/area/good"] {
        assert!(folder.path("reports/latest").join(file).exists(), "{file}");
    }
    assert_eq!(left(&folder.path("state")), Vec::<PathBuf>::new());

    let (code, out, err) = folder.run(&["run", "--saboteur", "webhook/no-env"]);
    assert_eq!(code, 1, "{out}{err}");
    for part in ["admission", "expected", "observed", "AZURE_", "good.yaml:7"] {
        assert!(out.contains(part), "{part} is missing in {out}");
    }
}

#[test]
fn a_killed_run_leaves_nothing_after_a_sweep() {
    let folder = Folder::new();
    let mut child = folder.command(&["run"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    wait_until(|| !left(&folder.path("state/environments")).is_empty() || child.try_wait().unwrap().is_some());
    child.kill().unwrap();
    child.wait().unwrap();
    let (code, out, err) = folder.run(&["sweep"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(left(&folder.path("state")), Vec::<PathBuf>::new());
    let (_, out, _) = folder.run(&["sweep"]);
    assert!(out.contains("nothing was left behind"), "{out}");
}

/// The secret's value is nobody's but the vault's and the pod's, and a token is a credential.
#[test]
fn a_canary_secret_and_raw_tokens_are_in_no_report_and_in_no_output() {
    let folder = Folder::new();
    let canary = "canary-8d1f2c\\n\"quoted\"";
    let scenario = "\
title: a pod reads a canary
requirements: [A-1]
saboteurs: [vault/refuses-everyone]
given:
  azure:
    identities: { app1: { federated: [ { subject: 'system:serviceaccount:{{namespace}}:reader' } ] } }
    vaults: { kv1: { secrets: { testsecret: 'CANARY' }, access: [ { to: app1, secrets: [get] } ] } }
  cluster:
    - service-account: { name: reader, annotations: { azure.workload.identity/client-id: '{{app1.client-id}}' } }
when:
  - create-pod: { name: p, image: quickstart/rust, service-account: reader, labels: { azure.workload.identity/use: 'true' }, env: { KEYVAULT_URL: '{{kv1.url}}', SECRET_NAME: testsecret } }
then:
  - secret-read: { by: p, vault: kv1, secret: testsecret, outcome: allowed }
  - log: { of: p, line: 'this line is never printed', within: 1s }
";
    folder.write("area/canary.yaml", scenario.replace("CANARY", canary));
    let (code, out, err) = folder.run(&["run", "canary", "--log", "trace"]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("this line is never printed"), "{out}");
    let token = regex::Regex::new(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}").unwrap();
    let mut texts = vec![("standard output".to_owned(), out), ("standard error".to_owned(), err)];
    let files = left(&folder.path("reports"));
    assert!(files.len() > 10, "{files:?}");
    texts.extend(files.iter().map(|file| (file.display().to_string(), std::fs::read_to_string(file).unwrap())));
    for (place, text) in texts {
        assert!(!text.contains("canary-8d1f2c"), "{place} holds the canary");
        assert!(!token.is_match(&text), "{place} holds a token: {:?}", token.find(&text).map(|found| found.as_str()));
    }
}

/// Files below a folder.
fn left(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { left(&path) } else { vec![path] }).collect()
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !condition() {
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "waited a minute in vain");
        std::thread::yield_now();
    }
}
