//! The Azure emulator as a container beside the cluster.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use wi_model::secret::Secret;
use wi_model::target::{AzureTarget, Credential};
use wi_serve::private_files;
use wi_serve::wait;

use super::docker::{Docker, NotCreated, RUN_LABEL, Wanted, Words};
use super::holdings::{Held, Holdings};
use super::lifeline::Lifeline;

/// Where the emulator serves inside its container: every name of Azure, its control plane, its lifeline.
const TLS: u16 = 443;
const CONTROL: u16 = 8080;
const LIFELINE: u16 = 8081;
/// Where it writes what it is, inside its container.
const STATE: &str = "/tmp/azure.json";
/// How long it may take to start.
const START: Duration = Duration::from_secs(30);
/// What is known of it, in the folder of its environment.
const FILE: &str = "azure.json";

/// An emulator that runs.
pub(crate) struct Emulator {
    pub(crate) known: Known,
    docker: Docker,
    /// What it has said since it came up, where it is ours.
    words: Option<Words>,
    _lifeline: Option<Lifeline>,
}

/// What is known of an emulator. Holds its operator's secret, so the file is its owner's alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Known {
    /// The name of its container.
    pub container: String,
    /// Its address for pods.
    pub pod_address: IpAddr,
    /// Its address for this machine.
    pub tls: SocketAddr,
    /// The URL of its admin API.
    pub control: String,
    state: State,
}

/// What it says of itself.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    tenant_id: String,
    subscription_id: String,
    location: String,
    operator: Operator,
    control_token: String,
    ca: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Operator {
    client_id: String,
    client_secret: String,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("tenant_id", &self.tenant_id).finish_non_exhaustive()
    }
}

/// How to start one.
pub(crate) struct Start<'a> {
    pub(crate) docker: &'a Docker,
    pub(crate) name: String,
    pub(crate) image: &'a str,
    pub(crate) network: &'a str,
    /// Its tenant; random when `None`.
    pub(crate) tenant: Option<String>,
    pub(crate) defects: Vec<String>,
    /// Whether it ends with this process.
    pub(crate) ends_with_us: bool,
    pub(crate) run_id: &'a str,
}

impl Start<'_> {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// One line.
    pub(crate) async fn start(self, holdings: &tokio::sync::Mutex<Holdings>) -> Result<Emulator, String> {
        let number = holdings.lock().await.take(Held::Container { name: self.name.clone() })?;
        let any = |port: u16| format!("{}:{port}", Ipv4Addr::UNSPECIFIED);
        let mut command: Vec<String> =
            ["--listen", &any(TLS), "--control", &any(CONTROL), "--state-out", STATE].map(str::to_owned).into();
        if let Some(tenant) = &self.tenant {
            command.extend(["--tenant".to_owned(), tenant.clone()]);
        }
        command.extend(self.defects.iter().map(|defect| format!("--mutant={defect}")));
        let mut ports = vec![TLS, CONTROL];
        if self.ends_with_us {
            command.extend(["--lifeline".to_owned(), any(LIFELINE)]);
            ports.push(LIFELINE);
        }
        let labels = HashMap::from([(RUN_LABEL.to_owned(), self.run_id.to_owned())]);
        let wanted =
            Wanted { name: &self.name, image: self.image, command, network: self.network, labels, ports: &ports };
        let id = match self.docker.create(&wanted).await {
            Ok(id) => id,
            Err(NotCreated::Taken(why)) => {
                holdings.lock().await.forget(number)?;
                return Err(format!("{why}; it belongs to another user and is not changed"));
            }
            Err(NotCreated::Failed(why)) => return Err(why),
        };
        holdings.lock().await.made(number, [id.clone()])?;
        let (running, words) = self.docker.start(&id, &wanted).await?;
        let lifeline = match running.published.get(&LIFELINE) {
            Some(address) => match Lifeline::hold(*address, START).await {
                Some(held) => Some(held),
                None => return Err(self.did_not_come_up(&words).await),
            },
            None => None,
        };
        let written = wait::until(START, || async {
            match self.docker.file(&self.name, STATE).await {
                Ok(text) => Some(Some(text)),
                Err(_) => {
                    self.docker.running(&self.name, self.network, &[]).await.is_ok_and(|r| r.is_none()).then_some(None)
                }
            }
        });
        let Some(text) = written.await.flatten() else {
            return Err(self.did_not_come_up(&words).await);
        };
        let state = serde_json::from_slice(&text)
            .map_err(|error| format!("container {}: {STATE} is not as expected: {error}", self.name))?;
        let known = Known {
            container: self.name,
            pod_address: running.address,
            tls: running.published[&TLS],
            control: format!("http://{}", running.published[&CONTROL]),
            state,
        };
        known.wait().await?;
        words.forget();
        Ok(Emulator { known, docker: self.docker.clone(), words: Some(words), _lifeline: lifeline })
    }

    async fn did_not_come_up(&self, words: &Words) -> String {
        format!("the emulator in container {} did not start; {}", self.name, words.last().await)
    }
}

impl Emulator {
    /// Waits until it ends, which nobody wants before the run does, and says what became of it in one line.
    pub(crate) async fn ended(&self) -> String {
        let container = &self.known.container;
        let code = self.docker.ended(container).await;
        let code = code.map(|code| format!(" with exit code {code}")).unwrap_or_default();
        let last = match &self.words {
            Some(words) => format!("; {}", words.last().await),
            None => String::new(),
        };
        format!("the Azure emulator in container {container} exited{code} during the run{last}")
    }
}

impl Known {
    /// An emulator that was started before; `None` when it is not there any more.
    pub(crate) async fn find(folder: &Path, docker: &Docker, network: &str) -> Result<Option<Emulator>, String> {
        let Some(mut known) = Self::read(folder) else { return Ok(None) };
        let Some(running) = docker.running(&known.container, network, &[TLS, CONTROL]).await? else {
            return Ok(None);
        };
        known.pod_address = running.address;
        known.tls = running.published[&TLS];
        known.control = format!("http://{}", running.published[&CONTROL]);
        Ok(Some(Emulator { known, docker: docker.clone(), words: None, _lifeline: None }))
    }

    /// What was written down in a folder.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_str(&std::fs::read_to_string(folder.join(FILE)).ok()?).ok()
    }

    /// Writes down what is known, for a sweep and for later runs.
    pub(crate) fn write(&self, folder: &Path) -> Result<PathBuf, String> {
        let path = folder.join(FILE);
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        private_files::write_private(&path, &text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// Where what is known of it is written down.
    pub fn file(&self, folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    /// Its tenant.
    pub fn tenant_id(&self) -> &str {
        &self.state.tenant_id
    }

    /// The client id that the harness signs in with.
    pub fn operator_id(&self) -> &str {
        &self.state.operator.client_id
    }

    pub(crate) fn ca(&self) -> &str {
        &self.state.ca
    }

    /// This Azure as the engine sees it.
    pub(crate) fn target(&self, transient: bool) -> AzureTarget {
        AzureTarget {
            authority: "https://login.microsoftonline.com/".to_owned(),
            resource_manager: "https://management.azure.com/".to_owned(),
            graph: "https://graph.microsoft.com/".to_owned(),
            vault_domain: "vault.azure.net".to_owned(),
            tenant_id: self.state.tenant_id.clone(),
            subscription_id: self.state.subscription_id.clone(),
            location: self.state.location.clone(),
            credential: Credential::ClientSecret {
                client_id: self.state.operator.client_id.clone(),
                secret: Secret::new(self.state.operator.client_secret.clone()),
            },
            trust_roots: Some(self.state.ca.clone()),
            connect: Some(self.tls),
            journal: Some(self.control.clone()),
            journal_token: Some(Secret::new(self.state.control_token.clone())),
            marks: wi_model::target::Marks::default(),
            transient,
        }
    }

    /// Tells it how to reach an issuer's host: through the cluster's API server, with its CA and rights that we gave it.
    ///
    /// # Errors
    /// One line; the token is not in it.
    pub(crate) async fn reach(&self, host: &str, address: SocketAddr, ca: &str, token: &Secret) -> Result<(), String> {
        let body = json!({ "address": address, "ca": ca, "token": token.expose() }).to_string();
        let url = format!("{}/issuers/{host}", self.control);
        let answer = http()?.put(&url).bearer_auth(&self.state.control_token).body(body).send().await;
        let answer = answer.map_err(|error| format!("PUT {url}: {}", wi_engine::sentence(&error.without_url())))?;
        if answer.status().is_success() {
            return Ok(());
        }
        Err(format!("PUT {url}: {} {}", answer.status(), answer.text().await.unwrap_or_default()))
    }

    async fn wait(&self) -> Result<(), String> {
        let http = http()?;
        let url = format!("{}/healthz", self.control);
        let healthy =
            || async { http.get(&url).send().await.ok().filter(|answer| answer.status().is_success()).map(|_| ()) };
        let answered = wait::until(START, healthy).await;
        answered.ok_or_else(|| format!("{url} did not answer within {} s", START.as_secs()))
    }
}

fn http() -> Result<reqwest::Client, String> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build();
    client.map_err(|error| wi_engine::sentence(&error))
}
