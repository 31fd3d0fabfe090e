//! The AKS target without a subscription: a target file as its user would write it, which names a managed cluster
//! of the emulated Azure. Whatever real Azure does to its callers is done here too.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A cluster and an Azure that stay up, and a target file that leads to them.
struct Standing {
    child: Child,
    folder: tempfile::TempDir,
    control: String,
    token: String,
}

impl Drop for Standing {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a command ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Standing {
    /// `None` where this machine cannot run pods.
    fn up(more: &[&str]) -> Option<Self> {
        if let Err(error) = wi_conformance::preflight() {
            assert!(std::env::vars().all(|(name, _)| name != "CI"), "pods cannot run in CI: {error}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut command = program(folder.path());
        command.args(["up", "embedded", "--kubeconfig", "kubeconfig", "--write-target", "target.yaml"]).args(more);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let (mut control, mut token) = (String::new(), String::new());
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(journal) = line.strip_prefix("journal") {
                control = journal.trim().trim_end_matches("/journal").to_owned();
            }
            if let Some(file) = line.strip_prefix("token").and_then(|rest| rest.split_whitespace().next()) {
                token = std::fs::read_to_string(folder.path().join(file)).unwrap();
            }
            if line.starts_with("up;") {
                break;
            }
        }
        Some(Standing { child, folder, control, token })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn target(&self) -> String {
        std::fs::read_to_string(self.path("target.yaml")).unwrap()
    }

    /// Writes another target file beside the first.
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn run(&self, target: &str, more: &[&str]) -> Ended {
        let out = format!("out-{}", target.trim_end_matches(".yaml"));
        let mut command = program(self.folder.path());
        command.args(["run", "--plain", "--target", target, "--out", &out]).args(more);
        ended(&mut command)
    }

    fn report(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(self.path("out-target/report.json")).unwrap()).unwrap()
    }

    /// A sweep from a machine that has never seen the run: another folder, no ledger.
    fn sweep(&self, more: &[&str]) -> Ended {
        let elsewhere = tempfile::tempdir().unwrap();
        let mut command = program(elsewhere.path());
        command.arg("sweep").arg("--target").arg(self.path("target.yaml")).args(["--older-than", "0s"]).args(more);
        ended(&mut command)
    }

    fn ask(&self, method: reqwest::Method, path: &str, body: &Value) {
        let url = format!("{}{path}", self.control);
        let answer = block(async {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let answer =
                client.request(method, url).bearer_auth(&self.token).body(body.to_string()).send().await.unwrap();
            (answer.status(), answer.text().await.unwrap())
        });
        assert!(answer.0.is_success(), "{answer:?}");
    }

    fn trouble(&self, trouble: &str) {
        self.ask(reqwest::Method::PUT, "/faults", &json!({ "trouble": trouble }));
    }

    fn end_of_troubles(&self) {
        self.ask(reqwest::Method::DELETE, "/faults", &Value::Null);
    }

    /// A client of the emulated Azure that is not the harness's.
    fn azure(&self) -> (reqwest::Client, Value) {
        let target: Value = serde_saphyr::from_str(&self.target()).unwrap();
        let azure = target["azure"].clone();
        let address = azure["connect"].as_str().unwrap().parse().unwrap();
        let pem = std::fs::read(self.path("target.azure.pem")).unwrap();
        let mut client = reqwest::Client::builder().no_proxy();
        for certificate in reqwest::Certificate::from_pem_bundle(&pem).unwrap() {
            client = client.tls_certs_merge([certificate]);
        }
        for host in ["login.microsoftonline.com", "management.azure.com", "graph.microsoft.com"] {
            client = client.resolve(host, address);
        }
        (client.build().unwrap(), azure)
    }

    /// A token of the operator for a service.
    async fn token(&self, service: &str) -> String {
        let (client, azure) = self.azure();
        let secret = std::fs::read_to_string(self.path("target.secret")).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let form = [
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", text(&azure["credential"]["client-secret"]["client-id"])),
            ("client_secret", secret.trim().to_owned()),
            ("scope", format!("https://{service}/.default")),
        ];
        let at = format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", text(&azure["tenant"]));
        let token: Value = client.post(at).form(&form).send().await.unwrap().json().await.unwrap();
        text(&token["access_token"])
    }

    async fn cluster(&self) -> kube::Client {
        let kubeconfig = std::fs::read_to_string(self.path("kubeconfig")).unwrap();
        let kubeconfig = kube::config::Kubeconfig::from_yaml(&kubeconfig).unwrap();
        let usual = kube::config::KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &usual).await;
        kube::Client::try_from(config.unwrap()).unwrap()
    }

    /// What is left of runs in ARM, Graph, vaults and the cluster, by clients that are not the harness's.
    fn left(&self) -> Vec<String> {
        let (client, azure) = self.azure();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let list = async |service: &str, url: String| {
            let token = self.token(service).await;
            let answer: Value = client.get(&url).bearer_auth(token).send().await.unwrap().json().await.unwrap();
            answer["value"].as_array().unwrap_or_else(|| panic!("{url}: {answer}")).clone()
        };
        let arm = format!("https://management.azure.com/subscriptions/{}", text(&azure["subscription"]));
        let graph = "https://graph.microsoft.com/v1.0";
        let mut left = Vec::new();
        block(async {
            let of_arm = "management.azure.com";
            for group in list(of_arm, format!("{arm}/resourcegroups?api-version=2024-11-01")).await {
                left.push(format!("group {}", text(&group["name"])));
            }
            let deleted = format!("{arm}/providers/Microsoft.KeyVault/deletedVaults?api-version=2026-02-01");
            for vault in list(of_arm, deleted).await {
                left.push(format!("deleted vault {}", text(&vault["name"])));
            }
            for kind in ["applications", "directory/deletedItems/microsoft.graph.application"] {
                for one in list("graph.microsoft.com", format!("{graph}/{kind}")).await {
                    left.push(format!("application {}", text(&one["displayName"])));
                }
            }
            let namespaces = kube::Api::<k8s_openapi::api::core::v1::Namespace>::all(self.cluster().await);
            let patience = Instant::now() + Duration::from_secs(30);
            loop {
                let all = namespaces.list(&kube::api::ListParams::default()).await.unwrap().items;
                let ours: Vec<_> = all
                    .into_iter()
                    .filter(|one| {
                        one.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key("wi-conformance/run"))
                    })
                    .collect();
                // A namespace that is being deleted is not left behind.
                if ours.iter().all(|one| one.metadata.deletion_timestamp.is_none()) || Instant::now() > patience {
                    left.extend(ours.iter().map(|one| format!("namespace {:?}", one.metadata.name)));
                    break;
                }
            }
        });
        // What was there before any run: the group of the cluster, and the application that we sign in as.
        left.retain(|one| {
            !one.starts_with("group clusters") && !one.starts_with("application wi-conformance-operator")
        });
        left
    }
}

fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wi-conformance"));
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    command.current_dir(folder).env("WI_CONFORMANCE_SCENARIOS", scenarios).stdin(Stdio::null());
    command.env("WI_CONFORMANCE_STATE_DIR", folder.join("state"));
    command
}

fn ended(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Runs every scenario under a trouble, and expects that each that AKS can show passes and nothing is left.
fn every_scenario_passes_under(trouble: &str, told: &str) -> Option<Value> {
    let standing = Standing::up(&[])?;
    standing.trouble(trouble);
    // One case after another, so that tokens expire between the set-ups that tell of it.
    let jobs = if trouble.starts_with("expired") { "1" } else { "4" };
    let ran = standing.run("target.yaml", &["--jobs", jobs]);
    assert_eq!(ran.code, Some(0), "{trouble}: {ran:?}");
    let report = standing.report();
    let cases = report["cases"].as_array().unwrap();
    let count = |outcome: &str| cases.iter().filter(|case| case["outcome"] == outcome).count();
    assert_eq!(count("pass") + count("not-applicable"), cases.len(), "{trouble}");
    assert!(count("pass") >= 80, "{trouble}: {} pass", count("pass"));
    // The trouble was met, not missed.
    assert!(report.to_string().contains(told), "{trouble}: nothing in the timeline says {told:?}");
    standing.end_of_troubles();
    assert_eq!(standing.left(), Vec::<String>::new(), "{trouble}");
    Some(report)
}

#[test]
fn every_scenario_passes_under_throttling() {
    every_scenario_passes_under("throttling=5", "waited: 1000 ms for management.azure.com: 429");
}

#[test]
fn every_scenario_passes_when_connections_are_reset() {
    every_scenario_passes_under("connection-resets=6", "waited: ");
}

#[test]
fn every_scenario_passes_when_half_of_an_answer_arrives() {
    every_scenario_passes_under("half-answers=6", "waited: ");
}

#[test]
fn every_scenario_passes_when_operations_are_slow() {
    let report = every_scenario_passes_under("slow-operations=2", "clean-up");
    let phases = report.iter().flat_map(|report| report["phases"].as_array().unwrap());
    for phase in phases.filter(|phase| phase["what"] == "clean-up") {
        assert!(phase["ms"].as_u64().unwrap() >= 2000, "the group's deletion was not waited for: {phase}");
    }
}

#[test]
fn every_scenario_passes_when_writes_of_federated_credentials_are_slow() {
    every_scenario_passes_under("concurrent-writes=300", "setting up");
}

#[test]
fn every_scenario_passes_when_what_is_made_becomes_known_later() {
    every_scenario_passes_under("propagation=2", "until a new vault took secrets from us");
}

#[test]
fn every_scenario_passes_when_our_tokens_expire_under_way() {
    every_scenario_passes_under("expired-credentials=1", "signed in again: ");
}

#[test]
fn every_scenario_passes_when_every_other_vault_name_is_taken() {
    let taken: Vec<String> = "01234567".chars().map(|digit| format!("wi{digit}*")).collect();
    every_scenario_passes_under(&format!("soft-deleted-names={}", taken.join(",")), "so another name is used");
}

#[test]
fn what_is_not_fit_is_told_in_one_line_with_the_remedy_and_nothing_is_made() {
    let Some(standing) = Standing::up(&[]) else { return };
    let good = standing.target();
    let value: Value = serde_saphyr::from_str(&good).unwrap();
    let azure = &value["azure"];
    let of = |name: &str| azure[name].as_str().unwrap().to_owned();
    let nobody = "11111111-2222-3333-4444-555555555555";
    let secret = "client-secret:";
    standing.write("wrong.secret", "not-the-secret");
    standing.write("expired.token", &token_of_yesterday());
    let start = good.find(secret).unwrap();
    let end = good.find("  connect:").unwrap();
    let token =
        "workload-identity:\n      client-id: 11111111-2222-3333-4444-555555555555\n      token-file: expired.token\n";
    let faults: Vec<(&str, String, &str)> = vec![
        ("tenant", good.replace(&of("tenant"), nobody), "does not exist: `az account show"),
        ("subscription", good.replace(&of("subscription"), nobody), "az account list"),
        ("secret", good.replace("target.secret", "wrong.secret"), "az ad app credential reset"),
        ("token", format!("{}{token}{}", &good[..start], &good[end..]), "cannot sign in: "),
        ("azure", good.replace(&of("connect"), "127.0.0.1:9"), "cannot sign in: "),
        (
            "cluster",
            good.replace("name: embedded\n  ", "name: nothing\n  ").replace("  name: embedded", "  name: nothing"),
            "az aks list",
        ),
        ("secret-file", good.replace("target.secret", "nowhere.secret"), "nowhere.secret: No such file"),
    ];
    for (name, text, expected) in faults {
        assert_ne!(text, good, "{name}");
        let file = format!("{name}.yaml");
        standing.write(&file, &text);
        unfit(&standing, &file, expected);
    }
    let place = json!({ "resource-group": "clusters", "name": "embedded", "issuer-url": "https://x/", "kubeconfig": "k",
        "kubernetes-version": "1.34.0", "oidc-issuer": false, "workload-identity": false });
    standing.ask(reqwest::Method::PUT, "/managed-clusters", &place);
    let ran = standing.run("target.yaml", &[]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    for remedy in ["--enable-oidc-issuer`", "--enable-workload-identity`"] {
        assert!(ran.err.contains(remedy), "{ran:?}");
    }
    standing.trouble("soft-deleted-names=wi*");
    let ran = standing.run("target.yaml", &[]);
    assert!(ran.code == Some(4) && ran.err.contains("no available Key Vault name after 20 attempts"), "{ran:?}");
    standing.end_of_troubles();
    standing.trouble("missing-rights=*");
    unfit(&standing, "target.yaml", "az role assignment create --role Contributor");
    standing.end_of_troubles();
    assert_eq!(standing.left(), Vec::<String>::new());
}

#[test]
fn a_cluster_without_webhook_and_one_that_looks_like_production_are_refused() {
    let Some(standing) = Standing::up(&["--webhook", "none"]) else { return };
    unfit(&standing, "target.yaml", "no webhook mutation.azure-workload-identity.io is registered: `az aks update");
    standing.write("prod.yaml", &standing.target().replacen("name: embedded", "name: shop-prod", 1));
    let refused = standing.run("prod.yaml", &[]);
    assert!(refused.code == Some(4) && refused.err.contains("looks like production"), "{refused:?}");
    let confirmed = standing.run("prod.yaml", &["--yes"]);
    assert!(!confirmed.err.contains("looks like production"), "{confirmed:?}");
    standing
        .write("small.yaml", &format!("{}\n", standing.target().replace("production: {}", "production: { nodes: 0 }")));
    let refused = standing.run("small.yaml", &[]);
    assert!(refused.code == Some(4) && refused.err.contains("it has 1 nodes"), "{refused:?}");
    assert_eq!(standing.left(), Vec::<String>::new());
}

/// Expects exit code 4 from `run` and `plan` alike, and one line with the remedy.
fn unfit(standing: &Standing, file: &str, expected: &str) {
    let ran = standing.run(file, &[]);
    assert_eq!(ran.code, Some(4), "{file}: {ran:?}");
    let told: Vec<&str> = ran.err.lines().filter(|line| line.starts_with("wi-conformance: ")).collect();
    assert!(told.len() == 1 && told[0].contains(expected), "{file}: expected {expected:?} in {told:?}");
    let planned = ended(program(standing.folder.path()).args(["plan", "--target", file]));
    assert!(planned.code == Some(4) && planned.err.contains(expected), "{file}: {planned:?}");
}

/// A token that nobody signed and that has expired.
fn token_of_yesterday() -> String {
    use base64::Engine as _;
    let encode = |value: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "iss": "https://issuer.example/", "sub": "s", "aud": "api://AzureADTokenExchange", "iat": 1, "nbf": 1, "exp": 2 });
    format!("{}.{}.c2ln", encode(json!({ "alg": "RS256", "kid": "k" })), encode(claims))
}

#[test]
fn runs_that_are_killed_at_ten_moments_leave_nothing_that_a_sweep_from_another_machine_does_not_remove() {
    let Some(standing) = Standing::up(&[]) else { return };
    let mut found = 0;
    for moment in 0..10_u64 {
        let mut command = program(standing.folder.path());
        command.args(["run", "--plain", "--target", "target.yaml", "--out"]).arg(format!("killed-{moment}"));
        let mut run = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // From the moment that the target is fit: the first line that a run tells.
        let mut lines = BufReader::new(run.stderr.take().unwrap()).lines();
        lines.next().unwrap().unwrap();
        let (ended, wait) = std::sync::mpsc::channel::<()>();
        let _ = wait.recv_timeout(Duration::from_millis(100 + 250 * moment));
        drop(ended);
        run.kill().unwrap();
        run.wait().unwrap();
        let listed = standing.sweep(&[]);
        assert_eq!(listed.code, Some(0), "{listed:?}");
        found += listed.out.lines().filter(|line| line.starts_with("found ")).count();
        let before = standing.left().len();
        let again = standing.sweep(&[]);
        assert_eq!((listed.out, before), (again.out, standing.left().len()), "a dry run removes nothing");
        let swept = standing.sweep(&["--delete"]);
        assert_eq!(swept.code, Some(0), "moment {moment}: {swept:?}");
        assert_eq!(standing.left(), Vec::<String>::new(), "moment {moment}: {swept:?}");
    }
    assert!(found > 10, "only {found} things were ever left behind, so the sweeps were not put to the test");
}

#[test]
fn the_ledger_of_a_killed_run_is_finished_by_a_sweep_of_its_target() {
    let Some(standing) = Standing::up(&[]) else { return };
    let mut command = program(standing.folder.path());
    command.args(["run", "--plain", "--target", "target.yaml", "--out", "killed"]);
    let mut run = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
    // Once a case has passed, others are under way.
    assert!(lines.any(|line| line.unwrap().contains("  pass  ")));
    run.kill().unwrap();
    run.wait().unwrap();
    let plain = ended(program(standing.folder.path()).arg("sweep"));
    assert!(plain.code == Some(5) && plain.err.contains("sweep --target FILE --delete"), "{plain:?}");
    let mut command = program(standing.folder.path());
    let swept = ended(command.args(["sweep", "--target", "target.yaml", "--older-than", "0s", "--delete"]));
    assert!(swept.code == Some(0) && swept.out.contains("removed ledger "), "{swept:?}");
    let plain = ended(program(standing.folder.path()).arg("sweep"));
    assert!(plain.code == Some(0) && plain.out.contains("nothing was left behind"), "{plain:?}");
    assert_eq!(standing.left(), Vec::<String>::new());
}

#[test]
fn a_run_that_takes_longer_than_its_target_allows_is_ended_in_good_order() {
    let Some(standing) = Standing::up(&[]) else { return };
    standing.write("short.yaml", &format!("{}time-limit: 700ms\n", standing.target()));
    let ran = standing.run("short.yaml", &[]);
    assert!(ran.code == Some(130) && ran.err.contains("time limit"), "{ran:?}");
    assert_eq!(standing.left(), Vec::<String>::new());
}

#[test]
fn a_sweep_leaves_what_is_younger_and_a_living_run_is_not_disturbed() {
    let Some(standing) = Standing::up(&[]) else { return };
    let mut command = program(standing.folder.path());
    command.args(["run", "--plain", "--target", "target.yaml", "--out", "living"]);
    let run = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut sweep = program(elsewhere.path());
    let swept = ended(sweep.arg("sweep").arg("--target").arg(standing.path("target.yaml")).arg("--delete"));
    assert!(swept.code == Some(0) && swept.out.contains("nothing was left behind"), "{swept:?}");
    let ran = run.wait_with_output().unwrap();
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stdout));
}

#[test]
fn the_target_is_printed_without_a_secret() {
    let Some(standing) = Standing::up(&[]) else { return };
    let ran = standing.run("target.yaml", &["--print-target", "quickstart"]);
    let secret = std::fs::read_to_string(standing.path("target.secret")).unwrap();
    assert!(ran.code == Some(0) && ran.out.contains("secret: hidden") && ran.out.contains("tenant: "), "{ran:?}");
    assert!(!ran.out.contains(secret.trim()) && !ran.err.contains(secret.trim()));
    let told = "signed in by client-secret as ";
    assert!(ran.err.contains(told), "{ran:?}");
}

/// Has the operator's application trust an account of the cluster, and gives back a token of that account.
async fn trusted_token(standing: &Standing) -> String {
    use k8s_openapi::api::authentication::v1::TokenRequest;
    use k8s_openapi::api::core::v1::ServiceAccount;
    let cluster = standing.cluster().await;
    let accounts = kube::Api::<ServiceAccount>::namespaced(cluster.clone(), "default");
    let request: TokenRequest =
        serde_json::from_value(json!({ "spec": { "audiences": ["api://AzureADTokenExchange"] } })).unwrap();
    let token = accounts.create_token_request("default", &kube::api::PostParams::default(), &request).await.unwrap();
    let document = http::Request::get("/.well-known/openid-configuration").body(Vec::new()).unwrap();
    let document: Value = cluster.request(document).await.unwrap();
    let (client, azure) = standing.azure();
    let bearer = standing.token("graph.microsoft.com").await;
    let app = azure["credential"]["client-secret"]["client-id"].as_str().unwrap();
    let url = format!("https://graph.microsoft.com/v1.0/applications(appId='{app}')/federatedIdentityCredentials");
    let body = json!({ "name": "ci-jobs", "issuer": document["issuer"], "subject": "system:serviceaccount:default:default",
        "audiences": ["api://AzureADTokenExchange"] });
    let made = client.post(url).bearer_auth(bearer).json(&body).send().await.unwrap();
    assert!(made.status().is_success(), "{}", made.text().await.unwrap());
    token.status.unwrap().token.unwrap()
}

/// Registers a new certificate with the operator's application, and gives back its PEM and its key's.
async fn registered_certificate(standing: &Standing) -> String {
    use base64::Engine as _;
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
    let encoded = base64::engine::general_purpose::STANDARD.encode(certificate.der());
    let (client, azure) = standing.azure();
    let bearer = standing.token("graph.microsoft.com").await;
    let app = azure["credential"]["client-secret"]["client-id"].as_str().unwrap();
    let url = format!("https://graph.microsoft.com/v1.0/applications(appId='{app}')");
    let body = json!({ "keyCredentials": [{ "type": "AsymmetricX509Cert", "usage": "Verify", "key": encoded }] });
    let changed = client.patch(url).bearer_auth(bearer).json(&body).send().await.unwrap();
    assert!(changed.status().is_success(), "{}", changed.text().await.unwrap());
    format!("{}{}", certificate.pem(), key.serialize_pem())
}

/// Gives a token as a CI provider does, to whoever has the right bearer.
fn ci_provider(token: String) -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 8192];
            let read = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..read]).to_lowercase();
            let right = request.contains("authorization: bearer the-bearer")
                && request.contains("audience=api%3a%2f%2fazureadtokenexchange");
            let (status, body) =
                if right { ("200 OK", json!({ "value": token }).to_string()) } else { ("401 No", String::new()) };
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    format!("http://{address}/token?api-version=2")
}

#[test]
fn each_way_to_sign_in_works_and_is_told_and_no_credential_is() {
    let Some(standing) = Standing::up(&[]) else { return };
    let (token, certificate, cli) = block(async {
        let mut cli = String::from("#!/bin/sh\ncase \"$*\" in\n");
        for service in ["management.azure.com", "graph.microsoft.com", "vault.azure.net"] {
            let token = standing.token(service).await;
            cli += &format!(
                "*{service}*) echo '{{\"accessToken\": \"{token}\", \"expires_on\": 4102444800, \"tokenType\": \"Bearer\"}}' ;;\n"
            );
        }
        let certificate = registered_certificate(&standing).await;
        (trusted_token(&standing).await, certificate, cli + "*) exit 1 ;;\nesac\n")
    });
    standing.write("client.pem", &certificate);
    standing.write("az", &cli);
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(standing.path("az"), std::fs::Permissions::from_mode(0o755)).unwrap();
    standing.write("a.token", &token);
    let good = standing.target();
    let (start, end) = (good.find("  credential:").unwrap(), good.find("  connect:").unwrap());
    let client = good.split("client-id: ").nth(1).unwrap().lines().next().unwrap().to_owned();
    let secret = std::fs::read_to_string(standing.path("target.secret")).unwrap();
    let provider = ci_provider(token.clone());
    let (path, elsewhere) = (format!("{}:/usr/bin:/bin", standing.folder.path().display()), "/usr/bin:/bin".to_owned());
    let id = ("AZURE_CLIENT_ID", client);
    let ci = [("ACTIONS_ID_TOKEN_REQUEST_URL", provider), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "the-bearer".to_owned())];
    let file = ("AZURE_FEDERATED_TOKEN_FILE", standing.path("a.token").display().to_string());
    let ways = [
        ("  credential: { workload-identity: { token-file: a.token } }\n", "workload-identity", vec![id.clone()]),
        ("  credential: { ci-token: {} }\n", "ci-token", [vec![id.clone()], ci.to_vec()].concat()),
        ("  credential: azure-cli\n", "azure-cli", vec![("PATH", path.clone())]),
        (
            "  credential: { client-secret: { secret: { env: S } } }\n",
            "client-secret",
            vec![id.clone(), ("S", secret.clone())],
        ),
        (
            "  credential: { client-certificate: { certificate: { file: client.pem } } }\n",
            "client-certificate",
            vec![id.clone()],
        ),
        ("", "workload-identity", vec![id.clone(), file]),
        (
            "  credential: any\n",
            "client-secret",
            vec![id, ("AZURE_CLIENT_SECRET", secret.clone()), ("PATH", elsewhere)],
        ),
        ("", "azure-cli", vec![("PATH", path)]),
    ];
    for (text, word, variables) in ways {
        standing.write("way.yaml", &format!("{}{text}{}", &good[..start], &good[end..]));
        let mut command = program(standing.folder.path());
        command.args(["run", "--plain", "--target", "way.yaml", "--out", "out", "quickstart"]).envs(variables);
        let ran = ended(&mut command);
        assert_eq!(ran.code, Some(0), "{text}{word}: {ran:?}");
        assert!(ran.err.contains(&format!("signed in by {word} as ")), "{text}: {ran:?}");
        let key = certificate.lines().rev().nth(1).unwrap();
        for hidden in [secret.trim(), token.as_str(), "the-bearer", key] {
            assert!(!ran.err.contains(hidden) && !ran.out.contains(hidden), "{text}{word} shows a credential");
        }
    }
    assert_eq!(standing.left(), Vec::<String>::new());
}
