//! The real `kubectl` against the embedded cluster, where there is one.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod namespaces;
mod quick_start;
mod sessions;
#[path = "../standing/mod.rs"]
mod standing;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use standing::up;

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata: { name: p1, labels: { azure.workload.identity/use: 'true' } }
spec:
  serviceAccountName: app
  restartPolicy: Never
  containers: [ { name: c, image: quickstart/rust } ]
";

fn main() -> std::process::ExitCode {
    if std::env::args().nth(1).is_some_and(|word| word == sessions::ECHO) {
        sessions::echo();
    }
    type Test = fn() -> Result<(), Failed>;
    let tests: [(&str, Test); 5] = [
        ("kubectl_gets_describes_applies_logs_deletes_waits_and_creates_tokens", session),
        ("kubectl_looks_into_pods_over_websockets", || sessions::session("true")),
        ("kubectl_looks_into_pods_over_spdy", || sessions::session("false")),
        ("the_quick_start_by_kubectl_reads_its_secret", quick_start::session),
        ("kubectl_explains_kinds_and_is_told_what_a_namespace_may_hold", namespaces::session),
    ];
    let trials = tests.map(|(name, test)| Trial::ignorable_test(name, move || ran(test))).into();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn ran(test: fn() -> Result<(), Failed>) -> Result<Completion, Failed> {
    if Command::new("kubectl").arg("version").arg("--client").output().is_err() {
        return Ok(Completion::ignored_with("there is no kubectl on PATH"));
    }
    test().map(|()| Completion::Completed)
}

struct Kubectl {
    folder: PathBuf,
    /// Variables of its own.
    env: Vec<(&'static str, &'static str)>,
}

impl Kubectl {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command
            .args(args)
            .current_dir(&self.folder)
            .env("KUBECONFIG", self.folder.join("kubeconfig"))
            .env("KUBECACHEDIR", self.folder.join("cache"))
            .envs(self.env.iter().copied());
        command
    }

    fn run(&self, args: &[&str], input: Option<&str>) -> Output {
        let mut command = self.command(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut standard_input = child.stdin.take().unwrap();
        let input = input.unwrap_or_default().to_owned();
        // A program that reads no more is no fault.
        let writing = std::thread::spawn(move || drop(standard_input.write_all(input.as_bytes())));
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap();
        output
    }

    /// A run that must end with this code.
    fn ends(&self, args: &[&str], input: Option<&str>, code: i32) -> Result<String, Failed> {
        let output = self.run(args, input);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.code() == Some(code) {
            Ok(out.into_owned())
        } else {
            Err(format!("kubectl {args:?}: expected exit code {code}, found {:?}: {out}{err}", output.status.code())
                .into())
        }
    }

    fn says(&self, args: &[&str], input: Option<&str>, expected: &str) -> Result<(), Failed> {
        let output = self.run(args, input);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if said.contains(expected) {
            Ok(())
        } else {
            Err(format!("kubectl {args:?}: expected `{expected}` in: {said}").into())
        }
    }
}

fn session() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let _up = up(folder.path(), &[])?;
    let kubectl = Kubectl { folder: folder.path().to_owned(), env: Vec::new() };
    let says = |args: &[&str], expected: &str| kubectl.says(args, None, expected);
    says(&["version"], "Server Version: v1.")?;
    says(&["get", "namespaces"], "kube-system")?;
    says(&["create", "namespace", "demo"], "namespace/demo created")?;
    says(&["-n", "demo", "create", "serviceaccount", "app"], "serviceaccount/app created")?;
    kubectl.says(&["-n", "demo", "apply", "-f", "-"], Some(POD), "pod/p1 created")?;
    says(&["-n", "demo", "wait", "--for=jsonpath={.status.phase}=Failed", "pod/p1", "--timeout=30s"], "condition met")?;
    says(&["-n", "demo", "logs", "p1"], "\"event\":\"given\"")?;
    says(&["-n", "demo", "describe", "pod", "p1"], "Successfully assigned demo/p1")?;
    says(&["-n", "demo", "get", "pods"], "0/1")?;
    says(&["-n", "demo", "create", "token", "app", "--audience=x"], "eyJ")?;
    let labelled = POD.replace("labels: {", "labels: { team: blue,");
    kubectl.says(&["-n", "demo", "apply", "-f", "-"], Some(&labelled), "pod/p1 configured")?;
    kubectl.says(&["-n", "demo", "apply", "-f", "-"], Some(&labelled), "pod/p1 unchanged")?;
    let typo = POD.replace("serviceAccountName", "serviceAcountName").replace("p1", "p2");
    kubectl.says(
        &["-n", "demo", "apply", "-f", "-"],
        Some(&typo),
        "strict decoding error: unknown field \"spec.serviceAcountName\"",
    )?;
    says(
        &["-n", "demo", "create", "deployment", "d", "--image=quickstart/pause", "--replicas=2"],
        "deployment.apps/d created",
    )?;
    says(&["-n", "demo", "rollout", "status", "deployment/d", "--timeout=30s"], "successfully rolled out")?;
    says(&["-n", "demo", "set", "env", "deployment/d", "A=1"], "deployment.apps/d env updated")?;
    says(&["-n", "demo", "rollout", "status", "deployment/d", "--timeout=30s"], "successfully rolled out")?;
    says(&["-n", "demo", "rollout", "undo", "deployment/d"], "deployment.apps/d rolled back")?;
    says(&["-n", "demo", "rollout", "status", "deployment/d", "--timeout=30s"], "successfully rolled out")?;
    assert!(
        kubectl.ends(&["-n", "demo", "get", "deployment", "d", "-o", "yaml"], None, 0)?.contains("quickstart/pause")
    );
    assert!(!kubectl.ends(&["-n", "demo", "get", "deployment", "d", "-o", "yaml"], None, 0)?.contains("name: A"));
    says(&["-n", "demo", "delete", "pod", "p1"], "deleted")?;
    says(&["delete", "namespace", "demo", "--timeout=30s"], "deleted")?;
    says(&["-n", "demo", "get", "pods"], "No resources found")?;
    Ok(())
}
