//! Webhooks that are programs and releases of their own, judged from outside.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wi_reference_webhook::{ManifestSpec, manifests};

const IMAGE: &str = "example/webhook";

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wi-conformance"));
    command.args(["run", "--scenarios", concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios")]).args(arguments);
    command.arg("--out").arg(folder.join("out")).arg("--state-dir").arg(folder.join("state")).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A release of the reference webhook, as one file of JSON: two pods, a budget for disruptions, certificate rotation.
fn release(folder: &Path) -> String {
    broken_release(folder, None)
}

/// The same with one of its mutants.
fn broken_release(folder: &Path, name: Option<&str>) -> String {
    let mut spec = ManifestSpec::new(format!("{IMAGE}:v1"), "${AZURE_TENANT_ID}");
    spec.command = vec!["/manager".to_owned()];
    spec.args.extend(name.map(|name| format!("--break={name}")));
    let release = folder.join("release");
    std::fs::create_dir(&release).unwrap();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": manifests(&spec) });
    std::fs::write(release.join("all.json"), list.to_string()).unwrap();
    format!("release:{}", release.display())
}

#[test]
fn a_program_that_keeps_crashing_is_told_at_once_with_how_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let output = run(folder.path(), &["--exact", "quickstart/article", "--webhook", "exec:/bin/false"]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    for part in ["keeps crashing", "CrashLoopBackOff", "after exit 1", "it printed nothing"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(began.elapsed() < Duration::from_secs(45), "{:?}", began.elapsed());
}

#[test]
fn a_program_is_known_by_what_it_tells_and_one_that_tells_nothing_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let webhook = format!("exec:{}", env!("CARGO_BIN_EXE_wi-reference-webhook"));
    let output = run(folder.path(), &["--exact", "quickstart/article", "--webhook", &webhook]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let report: Value = serde_json::from_slice(&std::fs::read(folder.path().join("out/report.json")).unwrap()).unwrap();
    let (environment, version) = (&report["environment"], env!("CARGO_PKG_VERSION"));
    assert_eq!(environment["product"], json!({ "name": "wi-conformance-reference", "version": version }));
    // Nobody said it; it was seen in a pod.
    assert_eq!(environment["profile"], "1.6");
}

#[test]
fn a_release_is_applied_as_it_is_and_what_it_installs_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    let image = image();
    let release = release(folder.path());
    let cases = ["quickstart/article", "operations/health-and-metrics", "security/webhook-rights", "install/untrusted"];
    let mut arguments = vec!["--webhook", &release, "--image", &image, "--exact"];
    arguments.extend(cases);
    let output = run(folder.path(), &arguments);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("3 pass, 1 not-applicable"), "{said}");
    assert!(said.contains("the webhook restores its own CA"), "{said}");
}

#[test]
fn an_image_of_a_release_that_no_program_stands_for_is_named_with_the_flag_that_gives_it_one() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["--webhook", &release(folder.path())]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("set one with --image example/webhook=PROGRAM"), "{said}");
}

/// A cluster that stays up, with a target file that leads to it and knows of no record of admissions.
struct Standing(Child);

impl Standing {
    fn up(folder: &Path, webhook: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wi-conformance"));
        command.args(["up", "embedded", "--kubeconfig", "kubeconfig", "--write-target", "target.yaml"]);
        command.args(["--webhook", webhook]).args(["--image", &image()]).current_dir(folder);
        command.env("WI_CONFORMANCE_STATE_DIR", folder.join("standing"));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let standing = Standing(child);
        assert!(lines.any(|line| line.unwrap().starts_with("up;")), "it did not come up");
        standing
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn image() -> String {
    format!("{IMAGE}={}", env!("CARGO_BIN_EXE_wi-reference-webhook"))
}

/// Exit code and cases of a run on a kept cluster with a webhook.
fn judged_without_a_record(webhook: Option<&str>) -> (Option<i32>, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let _standing = Standing::up(folder.path(), &broken_release(folder.path(), webhook));
    let target = folder.path().join("target.yaml");
    let cases = ["--exact", "webhook/nothing-else", "webhook/workloads"];
    let output = run(folder.path(), &[["--target", target.to_str().unwrap()].as_slice(), &cases].concat());
    let report = std::fs::read(folder.path().join("out/report.json"));
    let report: Value = serde_json::from_slice(&report.unwrap_or_else(|_| panic!("{}", said(&output)))).unwrap();
    (output.status.code(), report["cases"].as_array().unwrap().clone())
}

#[test]
fn what_a_webhook_adds_of_its_own_is_told_by_path_where_the_cluster_keeps_no_record_of_admissions() {
    let (code, cases) = judged_without_a_record(None);
    assert_eq!((code, cases.len()), (Some(0), 2), "{cases:?}");
    for case in &cases {
        let checks = case["checks"].as_array().unwrap().iter();
        let texts: Vec<&str> = checks.map(|check| check["expectation"].as_str().unwrap()).collect();
        assert!(texts.iter().any(|text| text.contains("compared by dry runs")), "{texts:?}");
        assert!(!texts.iter().any(|text| text.contains("not compared")), "{texts:?}");
    }
    let (code, cases) = judged_without_a_record(Some("sets-fs-group"));
    assert_eq!(code, Some(1), "{cases:?}");
    for case in &cases {
        let told = case["failures"][0]["observed"].as_str().unwrap_or_default();
        assert!(told.contains("set `spec.securityContext.fsGroup` to"), "{}: {told}", case["id"]);
    }
}
