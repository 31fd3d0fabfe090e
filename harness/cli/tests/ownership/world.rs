//! A cluster and an Azure that stay up, a target file that leads to them through the doors, and an adversary with the rights
//! of an administrator of both.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gate::Doors;

/// How long anything may take here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    up: Child,
    folder: tempfile::TempDir,
    pub(crate) doors: Doors,
    cluster: reqwest::Client,
    server: String,
    azure: reqwest::Client,
    file: Value,
    /// Whether the cluster is one that others use at the same time.
    shared: bool,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.up.kill();
        let _ = self.up.wait();
    }
}

/// Every name is served at one address.
struct One(std::net::SocketAddr);

impl Resolve for One {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(std::iter::once(self.0));
        Box::pin(async move { Ok(addresses) })
    }
}

fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wi-conformance"));
    command.current_dir(folder).stdin(Stdio::null());
    command.env("WI_CONFORMANCE_SCENARIOS", folder.join("scenarios"));
    command.env("WI_CONFORMANCE_STATE_DIR", folder.join("state"));
    command
}

impl World {
    /// `None` where this machine cannot run pods, which the cluster's node is made for.
    pub(crate) async fn up() -> Option<Self> {
        Self::up_with(None).await
    }

    /// The same with the cluster of a kubeconfig, which others use as well, in the place of its own.
    pub(crate) async fn up_with(other: Option<&str>) -> Option<Self> {
        if let Err(error) = wi_conformance::preflight() {
            assert!(std::env::vars().all(|(name, _)| name != "CI"), "pods cannot run in CI: {error}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut command = program(folder.path());
        command.args(["up", "embedded", "--kubeconfig", "kubeconfig", "--write-target", "direct.yaml"]);
        let mut up = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let lines = BufReader::new(up.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.starts_with("up;")), "it came up");
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        if let Some(other) = other {
            std::fs::write(folder.path().join("kubeconfig"), other).unwrap();
        }
        let kubeconfig: Value = serde_saphyr::from_str(&read("kubeconfig")).unwrap();
        let (cluster, user) = (&kubeconfig["clusters"][0]["cluster"], &kubeconfig["users"][0]["user"]);
        let pem = |value: &Value| base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap()).unwrap();
        let identity = [pem(&user["client-certificate-data"]), pem(&user["client-key-data"])].concat();
        let mut client = reqwest::Client::builder().no_proxy().tls_certs_only([]);
        for certificate in reqwest::Certificate::from_pem_bundle(&pem(&cluster["certificate-authority-data"])).unwrap()
        {
            client = client.tls_certs_merge([certificate]);
        }
        let client = client.identity(reqwest::Identity::from_pem(&identity).unwrap()).build().unwrap();
        let server = cluster["server"].as_str().unwrap().trim_start_matches("https://").to_owned();

        let mut file: Value = serde_saphyr::from_str(&read("direct.yaml")).unwrap();
        let address = file["azure"]["connect"].as_str().unwrap().parse().unwrap();
        let mut azure = reqwest::Client::builder().no_proxy().dns_resolver(Arc::new(One(address)));
        for certificate in reqwest::Certificate::from_pem_bundle(read("direct.azure.pem").as_bytes()).unwrap() {
            azure = azure.tls_certs_merge([certificate]);
        }
        // Requests go to the one port, whatever name they are for.
        let azure = azure.build().unwrap();

        let doors = Doors::new();
        let plain = doors.plain(client.clone(), &server).await;
        let names = ["login.microsoftonline.com", "management.azure.com", "graph.microsoft.com", "*.vault.azure.net"];
        let (ca, certificate, key) = certificate(&names.map(str::to_owned));
        let tls = doors.tls(azure.clone(), certificate, key).await;
        let proxied = json!({ "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "c", "cluster": { "server": format!("http://{plain}") } }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }], "users": [{ "name": "u", "user": {} }] });
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("proxied.kubeconfig", &proxied.to_string());
        write("proxied.pem", &ca);
        let map = file.as_object_mut().unwrap();
        map.remove("managed-cluster");
        map.insert("name".into(), "embedded".into());
        map.insert("existing-objects".into(), true.into());
        let webhook = ["webhook", "webhook-control", "azure", "issuer-reachable"];
        map.insert("capabilities".into(), if other.is_none() { json!(webhook) } else { json!(["azure"]) });
        let target = |kubeconfig: &str, roots: &str, connect: String| {
            let mut target = file.clone();
            target["kubeconfig"] = kubeconfig.into();
            target["azure"]["trust-roots"] = roots.into();
            target["azure"]["connect"] = connect.into();
            target.to_string()
        };
        write("proxied.yaml", &target("proxied.kubeconfig", "proxied.pem", tls.to_string()));
        write("direct.yaml", &target("kubeconfig", "direct.azure.pem", address.to_string()));
        std::fs::create_dir_all(folder.path().join("scenarios/own")).unwrap();
        let requirement =
            "OWN-1:\n  level: must\n  statement: What somebody else made stays.\n  source: https://example.com/\n";
        write("scenarios/requirements.yaml", requirement);
        Some(World { up, folder, doors, cluster: client, server, azure, file, shared: other.is_some() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the one scenario of the suite.
    pub(crate) fn scenario(&self, body: &str) {
        let text =
            format!("title: what somebody else made stays\nrequirements: [OWN-1]\nmutants: [entra/wrong-code]\n{body}");
        std::fs::write(self.path("scenarios/own/case.yaml"), text).unwrap();
    }

    /// Begins a run of it, through the doors.
    pub(crate) fn run(&self) -> Child {
        let mut command = program(self.folder.path());
        command.args(["run", "--plain", "--target", "proxied.yaml", "--out", "out"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Sweeps by the ledger and by the marks, not through the doors; by the ledger alone where others use the cluster.
    pub(crate) fn sweep(&self) -> Output {
        let mut command = program(self.folder.path());
        let age = if self.shared { "1h" } else { "0s" };
        command.args(["sweep", "--target", "direct.yaml", "--older-than", age, "--delete"]).output().unwrap()
    }

    pub(crate) fn plan(&self) -> Output {
        program(self.folder.path()).args(["plan", "--target", "direct.yaml"]).output().unwrap()
    }

    /// Says in the target whether a case may change what was there before.
    pub(crate) fn permit(&self, permits: bool) {
        for name in ["proxied.yaml", "direct.yaml"] {
            let mut target: Value = serde_json::from_str(&std::fs::read_to_string(self.path(name)).unwrap()).unwrap();
            target["existing-objects"] = permits.into();
            std::fs::write(self.path(name), target.to_string()).unwrap();
        }
    }

    pub(crate) fn forget_state(&self) {
        let _ = std::fs::remove_dir_all(self.path("state"));
        let _ = std::fs::remove_dir_all(self.path("out"));
    }

    /// Asks the API server as an administrator.
    pub(crate) async fn kube(&self, method: Method, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let mut request = self.cluster.request(method.clone(), format!("https://{}{path}", self.server));
        if let Some(body) = body {
            let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
            request = request.header("content-type", kind).body(body.to_string());
        }
        answer(request).await
    }

    /// Asks Azure as an administrator.
    pub(crate) async fn azure(&self, method: Method, url: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let host = url.split('/').next().unwrap();
        let azure = &self.file["azure"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let secret = std::fs::read_to_string(self.path("direct.secret")).unwrap();
        let form = [
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", text(&azure["credential"]["client-secret"]["client-id"])),
            ("client_secret", secret.trim().to_owned()),
            ("scope", format!("https://{host}/.default")),
        ];
        let at = format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", text(&azure["tenant"]));
        let (_, token) = answer(self.azure.post(at).form(&form)).await;
        let mut request =
            self.azure.request(method, format!("https://{url}")).bearer_auth(text(&token["access_token"]));
        if let Some(body) = body {
            request = request.json(body);
        }
        answer(request).await
    }

    pub(crate) fn tenant(&self) -> &str {
        self.file["azure"]["tenant"].as_str().unwrap()
    }

    /// Removes everything of runs and of the adversary, whatever it carries.
    pub(crate) async fn clean(&self) {
        let arm =
            format!("management.azure.com/subscriptions/{}", self.file["azure"]["subscription"].as_str().unwrap());
        let list = async |url: String| {
            let (_, found) = self.azure(Method::GET, &url, None).await;
            found["value"].as_array().cloned().unwrap_or_default()
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let groups = || list(format!("{arm}/resourcegroups?api-version=2024-11-01"));
        let ours = |groups: &[Value]| -> Vec<String> {
            groups.iter().map(|group| text(&group["name"])).filter(|name| name != "clusters").collect()
        };
        for name in ours(&groups().await) {
            self.azure(Method::DELETE, &format!("{arm}/resourcegroups/{name}?api-version=2024-11-01"), None).await;
        }
        self.until("the groups are gone", async || ours(&groups().await).is_empty()).await;
        let vaults = format!("{arm}/providers/Microsoft.KeyVault");
        for vault in list(format!("{vaults}/deletedVaults?api-version=2023-07-01")).await {
            let place = format!("locations/westeurope/deletedVaults/{}", text(&vault["name"]));
            self.azure(Method::POST, &format!("{vaults}/{place}/purge?api-version=2023-07-01"), None).await;
        }
        if self.shared {
            return;
        }
        let (_, namespaces) = self.kube(Method::GET, "/api/v1/namespaces?labelSelector=wi-conformance/run", None).await;
        for namespace in namespaces["items"].as_array().into_iter().flatten() {
            let path = format!("/api/v1/namespaces/{}", text(&namespace["metadata"]["name"]));
            self.kube(Method::DELETE, &path, None).await;
        }
    }

    /// Waits until something is so.
    pub(crate) async fn until(&self, what: &str, is: impl AsyncFn() -> bool) {
        let began = Instant::now();
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        while !is().await {
            ticks.tick().await;
            assert!(began.elapsed() < PATIENCE, "not within {} s: {what}", PATIENCE.as_secs());
        }
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.unwrap();
    (answer.status(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
}

/// A CA, and a certificate of names with its key.
fn certificate(names: &[String]) -> (String, String, String) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &rcgen::Issuer::new(ca, ca_key)).unwrap();
    (pem, leaf.pem(), key.serialize_pem())
}
