//! The real `kubectl` against the embedded cluster, where there is one.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

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
    let trial = Trial::ignorable_test("kubectl_gets_describes_applies_logs_deletes_waits_and_creates_tokens", session);
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}

/// Ends the environment however the test ends.
struct Up(Child);

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Kubectl {
    folder: PathBuf,
}

impl Kubectl {
    fn run(&self, args: &[&str], input: Option<&str>) -> Output {
        let mut command = Command::new("kubectl");
        command
            .args(args)
            .env("KUBECONFIG", self.folder.join("kubeconfig"))
            .env("KUBECACHEDIR", self.folder.join("cache"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        if let Some(input) = input {
            std::io::Write::write_all(child.stdin.as_mut().unwrap(), input.as_bytes()).unwrap();
        }
        drop(child.stdin.take());
        child.wait_with_output().unwrap()
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

fn session() -> Result<Completion, Failed> {
    if Command::new("kubectl").arg("version").arg("--client").output().is_err() {
        return Ok(Completion::ignored_with("there is no kubectl on PATH"));
    }
    let folder = tempfile::tempdir()?;
    let _up = up(folder.path())?;
    let kubectl = Kubectl { folder: folder.path().to_owned() };
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
    says(&["-n", "demo", "delete", "pod", "p1"], "deleted")?;
    says(&["delete", "namespace", "demo", "--timeout=30s"], "deleted")?;
    says(&["-n", "demo", "get", "pods"], "No resources found")?;
    Ok(Completion::Completed)
}

fn up(folder: &Path) -> Result<Up, Failed> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_wi-conformance"))
        .args(["up", "embedded", "--kubeconfig"])
        .arg(folder.join("kubeconfig"))
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
