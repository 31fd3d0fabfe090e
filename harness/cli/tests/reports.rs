//! What a run leaves behind for people and for other programs: the log, and the reports that are made from it.
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const SCENARIO: &str = "\
title: a labelled pod is mutated
requirements: [A-1]
mutants: [webhook/no-env]
when:
  - create-pod: { name: p, image: quickstart/pause, labels: { azure.workload.identity/use: 'true' } }
then:
  - admission: { of: p, outcome: mutated }
";

/// One more expectation, which is waited for until somebody ends the run.
const WAITS: &str = "  - log: { of: p, line: 'never printed', within: 120s }\n";

struct Folder(tempfile::TempDir);

impl Folder {
    /// A suite with these cases.
    fn new(ids: &[&str]) -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.write("scenarios/requirements.yaml", "A-1: { level: must, statement: s, source: u }\n");
        for id in ids {
            folder.write(&format!("scenarios/{id}.yaml"), SCENARIO);
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn report(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(&format!("{name}/report.json"))).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wi-conformance"));
        command.args(args).current_dir(self.0.path()).env("WI_CONFORMANCE_STATE_DIR", self.path("state"));
        for variable in ["GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"] {
            command.env_remove(variable);
        }
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let output = self.command(args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    /// A run that goes on while this test does.
    fn start(&self, args: &[&str]) -> Child {
        self.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Waits until the log of `out` says so.
    fn wait_for_log(&self, out: &str, run: &mut Child, says: impl Fn(&str) -> bool) {
        let began = Instant::now();
        while !says(&self.read(&format!("{out}/events.jsonl"))) && run.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < Duration::from_secs(60), "waited a minute in vain");
            std::thread::yield_now();
        }
    }
}

fn signal(child: &Child, name: &str) {
    Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
}

fn outcomes(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    report["cases"].as_array().unwrap().iter().map(|case| (text(&case["id"]), text(&case["outcome"]))).collect()
}

const FILES: [&str; 3] = ["report.json", "junit.xml", "summary.md"];

#[test]
fn a_run_that_is_killed_still_has_its_reports_and_says_what_was_not_judged() {
    let folder = Folder::new(&["area/first"]);
    folder.write("scenarios/area/waits.yaml", format!("{SCENARIO}{WAITS}"));
    let mut run = folder.start(&["run", "--out", "out"]);
    let waits = |log: &str| log.matches("case-judged").count() == 1 && log.matches("case-begun").count() == 2;
    folder.wait_for_log("out", &mut run, waits);
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(!folder.path("out/report.json").exists(), "the run was killed before it wrote reports");
    // The kill may come in the middle of a line.
    let mut log = std::fs::read(folder.path("out/events.jsonl")).unwrap();
    log.extend_from_slice(b"{\"version\":1,\"at\":\"2026");
    folder.write("out/events.jsonl", log);

    let (code, out, err) = folder.run(&["report", "out"]);
    assert_eq!(code, 130, "{out}{err}");
    for part in ["the run ended before this case was judged", "is incomplete and is ignored", "interrupted"] {
        assert!(out.contains(part), "{part} is missing in {out}");
    }
    assert!(FILES.iter().all(|file| folder.path("out").join(file).exists()), "{out}");
    let report = folder.report("out");
    assert_eq!(report["interrupted"], true);
    let expected = [("area/first", "pass"), ("area/waits", "blocked")];
    assert_eq!(outcomes(&report), expected.map(|(id, outcome)| (id.to_owned(), outcome.to_owned())));
    folder.run(&["sweep"]);
}

#[test]
fn a_run_is_interrupted_only_when_a_case_had_not_run() {
    let folder = Folder::new(&["area/one", "area/two"]);
    let mut run = folder.start(&["run", "--out", "out"]);
    folder.wait_for_log("out", &mut run, |log| log.matches("case-judged").count() == 2);
    signal(&run, "-INT");
    assert_eq!(run.wait().unwrap().code(), Some(0), "every case had its verdict");
    assert_eq!(folder.report("out")["interrupted"], false);

    folder.write("scenarios/area/waits.yaml", format!("{SCENARIO}{WAITS}"));
    let mut run = folder.start(&["run", "--out", "out"]);
    let waits = |log: &str| log.matches("case-judged").count() == 2 && log.matches("case-begun").count() == 3;
    folder.wait_for_log("out", &mut run, waits);
    signal(&run, "-INT");
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert_eq!(folder.report("out")["interrupted"], true);
}

#[test]
fn three_shards_merged_equal_the_whole_run_case_by_case() {
    let ids = ["a/one", "a/two", "a/three", "b/four", "b/five", "b/six", "c/seven"];
    let folder = Folder::new(&ids);
    folder.write("scenarios/c/red.yaml", SCENARIO.replace("mutated", "unchanged"));
    assert_eq!(folder.run(&["run", "--out", "whole"]).0, 1);
    for index in ["1/3", "2/3", "3/3"] {
        let out = format!("shard-{}", &index[..1]);
        let (code, _, err) = folder.run(&["run", "--out", &out, "--shard", index, "--durations", "whole"]);
        assert!(code < 2, "{err}");
        // How many depends on how long each took.
        assert!((1..=5).contains(&outcomes(&folder.report(&out)).len()), "{:?}", outcomes(&folder.report(&out)));
    }
    let (code, out, err) = folder.run(&["report", "shard-3", "shard-1", "shard-2", "--out", "merged"]);
    assert_eq!(code, 1, "{out}{err}");
    assert_eq!(outcomes(&folder.report("merged")), outcomes(&folder.report("whole")));
    let (code, out, err) = folder.run(&["diff", "whole", "merged"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(folder.path("merged/cases/c/red/case.json").exists(), "the evidence is merged too");
    // A merge is a run like any other, and merges again.
    assert_eq!(folder.run(&["report", "merged"]).0, 1);

    let (code, out, _) = folder.run(&["report", "shard-3", "shard-1", "--out", "part"]);
    assert!(code == 130 && out.contains("missing of 3 shards: 2"), "{code} {out}");
    let (code, _, err) = folder.run(&["report", "shard-1", "shard-2", "--out", "shard-1"]);
    assert!(code == 2 && err.contains("one of the folders to merge"), "{code} {err}");
    assert!(folder.path("shard-1/events.jsonl").exists());
    let (code, _, err) = folder.run(&["run", "--shard", "1/9", "--out", "none"]);
    assert!(code == 2 && err.contains("9 shards for 8 cases"), "{code} {err}");
}

#[test]
fn what_failed_last_runs_again_alone() {
    let folder = Folder::new(&["area/good"]);
    folder.write("scenarios/area/red.yaml", SCENARIO.replace("mutated", "unchanged"));
    let (code, _, err) = folder.run(&["run", "--failed"]);
    assert!(code == 2 && err.contains("--failed: reports/latest"), "{code} {err}");
    assert_eq!(folder.run(&["run"]).0, 1);
    folder.write("scenarios/area/red.yaml", SCENARIO);
    let (code, out, err) = folder.run(&["run", "--failed"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(outcomes(&folder.report("reports/latest")), [("area/red".to_owned(), "pass".to_owned())]);
    let (code, _, err) = folder.run(&["run", "--failed"]);
    assert!(code == 3 && err.contains("cases of the last run in"), "{code} {err}");
    assert!(folder.path("reports/latest/report.json").exists(), "what ran last is still told");
}

#[test]
fn with_format_json_standard_output_is_the_log_and_people_read_standard_error() {
    let folder = Folder::new(&["area/good"]);
    let (code, out, err) = folder.run(&["run", "--format", "json", "--out", "out"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(out, folder.read("out/events.jsonl"));
    let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().all(|event| event["version"] == 1 && event["at"].is_string()));
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    let expected =
        ["run-begun", "environment-ready", "case-begun", "case-judged", "phase-ended", "phase-ended", "run-ended"];
    assert_eq!(names, expected);
    assert!(err.contains("1 cases: 1 pass") && err.contains("area/good"), "{err}");
}

#[test]
fn on_github_the_summary_is_added_to_and_a_failure_stands_at_its_line() {
    let folder = Folder::new(&[]);
    folder.write("scenarios/area/red.yaml", SCENARIO.replace("mutated }", "unchanged }"));
    folder.write("summary", "before\n");
    let run = || {
        let mut command = folder.command(&["run", "--out", "out"]);
        command.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", folder.path("summary"));
        let output = command.env("GITHUB_WORKSPACE", folder.0.path().parent().unwrap()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let out = run();
    let place = folder.0.path().file_name().unwrap().to_str().unwrap().to_owned();
    let start = format!("::error file={place}/scenarios/area/red.yaml,line=7,col=5,title=fail area/red::admission: ");
    assert!(out.lines().any(|line| line.starts_with(&start)), "{start} is missing in {out}");
    let summary = folder.read("summary");
    assert!(
        summary.starts_with("before\n## ❌ Not conformant\n") && summary.contains("\n1 cases: 1 fail"),
        "{summary}"
    );
    // What does not fit is left out, for GitHub would throw all of it away.
    folder.write("summary", vec![b'x'; 1024 * 1024 - 300]);
    run();
    let size = std::fs::metadata(folder.path("summary")).unwrap().len();
    assert!(size > 1024 * 1024 - 300 && size <= 1024 * 1024, "{size}");
}

#[test]
fn a_folder_that_is_no_runs_is_not_made_one() {
    let folder = Folder::new(&[]);
    folder.write("precious/file", "keep");
    let (code, _, err) = folder.run(&["report", "precious"]);
    assert!(code == 2 && err.contains("precious/events.jsonl"), "{code} {err}");
    assert_eq!(std::fs::read_dir(folder.path("precious")).unwrap().count(), 1);
    folder.write("log/events.jsonl", "{\"version\":7}\n");
    let (code, _, err) = folder.run(&["report", "log"]);
    assert!(code == 2 && err.contains("expected an event of version 1, found version 7"), "{code} {err}");
}

#[test]
fn shells_and_the_manual_know_every_command() {
    let folder = Folder::new(&[]);
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (code, out, _) = folder.run(&["completions", shell]);
        assert!(code == 0 && out.contains("mutants") && out.contains("shard"), "{shell}: {out}");
    }
    let (code, page, _) = folder.run(&["man"]);
    assert!(
        code == 0 && page.contains(".TH wi-conformance 1") && page.contains("wi\\-conformance\\-report(1)"),
        "{page}"
    );
    let (code, page, _) = folder.run(&["man", "run"]);
    assert!(code == 0 && page.contains("\\-\\-shard"), "{page}");
    let (code, _, err) = folder.run(&["man", "moon"]);
    assert!(code == 2 && err.contains("unknown command"), "{err}");
}

#[test]
fn no_report_is_left_half_written() {
    let folder = Folder::new(&["area/good"]);
    assert_eq!(folder.run(&["run", "--out", "out"]).0, 0);
    let entries = std::fs::read_dir(folder.path("out")).unwrap().flatten();
    let names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert!(names.iter().all(|name| Path::new(name).extension().is_none_or(|e| e != "new")), "{names:?}");
    assert!(FILES.iter().all(|file| names.iter().any(|name| name == file)), "{names:?}");
}

#[test]
fn the_shape_of_evidence_is_the_same_in_two_runs_and_not_under_another_profile() {
    let folder = Folder::new(&["area/good"]);
    for (out, profile) in [("a", "1.6"), ("b", "1.6"), ("c", "1.5")] {
        assert_eq!(folder.run(&["run", "--out", out, "--profile", profile]).0, 0);
    }
    let (code, out, err) = folder.run(&["diff", "a", "b", "--evidence"]);
    assert!(code == 0 && out.contains("0 differences in the evidence"), "{code} {out}{err}");
    assert_eq!(folder.run(&["diff", "a", "c"]).0, 0, "the verdicts are the same");
    let (code, out, err) = folder.run(&["diff", "a", "c", "--evidence"]);
    let line = "only in b  wi-*.p/stored.json .spec .volumes [azure-identity-token]  (1: area/good)";
    assert!(code == 1 && out.contains(line), "{code} {out}{err}");
    std::fs::remove_dir_all(folder.path("c/cases")).unwrap();
    let (code, _, err) = folder.run(&["diff", "a", "c", "--evidence"]);
    assert!(code == 2 && err.contains("expected evidence"), "{code} {err}");
}
