//! What is asked of a Docker engine.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard::Docker as Engine;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, ContainerSummary, HostConfig, PortBinding};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, CreateImageOptionsBuilder,
    DownloadFromContainerOptionsBuilder, ImportImageOptions, InspectContainerOptions, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveImageOptions, StartContainerOptions, WaitContainerOptions,
};
use futures::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use wi_serve::wait;

use super::kind::CLUSTER_LABEL;

/// How long the engine may take to answer at all.
const ANSWER: Duration = Duration::from_secs(10);

/// How long a container may take to be gone.
const REMOVED: Duration = Duration::from_secs(30);

/// How long a container's last words may take to come.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How much of a container's words is kept, in bytes; older ones are forgotten first.
const KEPT_WORDS: usize = 4096;

/// On what a run makes: which run.
pub(crate) use wi_images::archive::RUN_LABEL;

/// A container that is there.
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    /// The run that its label names.
    pub(crate) run: Option<String>,
    pub(crate) created: Option<jiff::Timestamp>,
    /// Folders of this machine that it was given.
    pub(crate) mounts: Vec<String>,
}

/// A network that is there.
pub(crate) struct Network {
    pub(crate) id: String,
    /// Whether containers are on it, running or not.
    pub(crate) used: bool,
}

/// An image that is there.
pub(crate) struct LocalImage {
    pub(crate) id: String,
    /// The run that its label names.
    pub(crate) run: Option<String>,
}

/// A Docker engine that answers.
#[derive(Clone)]
pub(crate) struct Docker {
    engine: Engine,
}

/// A container to start.
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) image: &'a str,
    pub(crate) command: Vec<String>,
    pub(crate) network: &'a str,
    pub(crate) labels: HashMap<String, String>,
    /// Ports to reach from this machine, at addresses of the engine's choice.
    pub(crate) ports: &'a [u16],
}

/// Why no container was made.
pub(crate) enum NotCreated {
    /// Another one has its name.
    Taken(String),
    /// Anything else.
    Failed(String),
}

/// A container that runs.
pub(crate) struct Running {
    /// Its address on the network that it was asked for.
    pub(crate) address: IpAddr,
    /// Where its ports are reached from this machine.
    pub(crate) published: HashMap<u16, SocketAddr>,
}

/// What a container says, heard as long as this is there. It is read all the time: an engine holds up a program whose words
/// nobody takes.
pub(crate) struct Words {
    heard: Arc<Mutex<String>>,
    ended: CancellationToken,
    _listener: AbortOnDropHandle<()>,
}

impl Words {
    fn of(mut said: Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>) -> Self {
        let (heard, ended) = (Arc::new(Mutex::new(String::new())), CancellationToken::new());
        let listener = {
            let (heard, over) = (heard.clone(), ended.clone().drop_guard());
            tokio::spawn(async move {
                let _over = over;
                while let Some(Ok(output)) = said.next().await {
                    let Ok(mut heard) = heard.lock() else { return };
                    heard.push_str(&String::from_utf8_lossy(&output.into_bytes()));
                    let surplus = heard.len().saturating_sub(KEPT_WORDS);
                    let start = heard.ceil_char_boundary(surplus);
                    heard.drain(..start);
                }
            })
        };
        Words { heard, ended, _listener: AbortOnDropHandle::new(listener) }
    }

    /// Forgets what was said so far.
    pub(crate) fn forget(&self) {
        if let Ok(mut heard) = self.heard.lock() {
            heard.clear();
        }
    }

    /// What a container said before it ended, in one line.
    pub(crate) async fn last(&self) -> String {
        // One that has ended has no more to say; one that has not is not waited for.
        let _ = tokio::time::timeout(LAST_WORDS, self.ended.cancelled()).await;
        let text = self.heard.lock().map(|heard| heard.clone()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if lines.is_empty() { "it printed nothing".to_owned() } else { format!("it said: {}", lines.join(" | ")) }
    }
}

impl Docker {
    /// The engine that `DOCKER_HOST` names, or the machine's own.
    ///
    /// # Errors
    /// One line with the remedy.
    pub(crate) async fn connect() -> Result<Self, String> {
        let remedy = "start Docker, or set DOCKER_HOST";
        let engine =
            Engine::connect_with_defaults().map_err(|error| format!("Docker cannot be reached: {error}; {remedy}"))?;
        // Engines refuse a client that speaks a newer version than theirs.
        let negotiated = tokio::time::timeout(ANSWER, engine.negotiate_version()).await;
        match negotiated {
            Ok(Ok(engine)) => Ok(Docker { engine }),
            Ok(Err(error)) => Err(format!("Docker cannot be reached: {}; {remedy}", wi_engine::sentence(&error))),
            Err(_) => Err(format!("Docker did not answer within {} s; {remedy}", ANSWER.as_secs())),
        }
    }

    /// Loads an archive of images.
    pub(crate) async fn load(&self, archive: Vec<u8>) -> Result<(), String> {
        let body = bollard::body_full(archive.into());
        let mut said = self.engine.import_image(ImportImageOptions::default(), body, None);
        while let Some(line) = said.next().await {
            let line =
                line.map_err(|error| format!("Docker could not load the image: {}", wi_engine::sentence(&error)))?;
            if let Some(detail) = line.error_detail {
                return Err(format!("Docker could not load the image: {}", detail.message.unwrap_or_default()));
            }
        }
        Ok(())
    }

    /// Whether an image is here.
    pub(crate) async fn has_image(&self, name: &str) -> Result<bool, String> {
        Ok(self.image(name).await?.is_some())
    }

    /// Pulls an image.
    pub(crate) async fn pull(&self, name: &str) -> Result<(), String> {
        let options = CreateImageOptionsBuilder::default().from_image(name).build();
        let mut said = self.engine.create_image(Some(options), None, None);
        while let Some(line) = said.next().await {
            let line = line.map_err(|error| wi_engine::sentence(&error))?;
            if let Some(detail) = line.error_detail {
                return Err(detail.message.unwrap_or_default());
            }
        }
        Ok(())
    }

    /// Takes an image's name away, and the image with its last name. One that is not there is as good as gone.
    pub(crate) async fn remove_image(&self, name: &str) -> Result<(), String> {
        match self.engine.remove_image(name, None::<RemoveImageOptions>, None).await {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(wi_engine::sentence(&error)),
        }
    }

    /// Makes a container that vanishes when its program ends, and gives back its id.
    ///
    /// # Errors
    /// Another one has its name, or something else is wrong.
    pub(crate) async fn create(&self, wanted: &Wanted<'_>) -> Result<String, NotCreated> {
        let binding = || Some(vec![PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: None }]);
        let port = |port: &u16| format!("{port}/tcp");
        let body = ContainerCreateBody {
            image: Some(wanted.image.to_owned()),
            cmd: Some(wanted.command.clone()),
            labels: Some(wanted.labels.clone()),
            exposed_ports: Some(wanted.ports.iter().map(port).collect()),
            host_config: Some(HostConfig {
                auto_remove: Some(true),
                network_mode: Some(wanted.network.to_owned()),
                port_bindings: Some(wanted.ports.iter().map(|p| (port(p), binding())).collect()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(wanted.name).build();
        let created = self.engine.create_container(Some(options), body).await;
        created.map(|created| created.id).map_err(|error| {
            let why = format!("container {}: {}", wanted.name, wi_engine::sentence(&error));
            let taken = matches!(error, Error::DockerResponseServerError { status_code: 409, .. });
            if taken { NotCreated::Taken(why) } else { NotCreated::Failed(why) }
        })
    }

    /// Starts a container that was made.
    pub(crate) async fn start(&self, id: &str, wanted: &Wanted<'_>) -> Result<(Running, Words), String> {
        let fault = |error: Error| format!("container {}: {}", wanted.name, wi_engine::sentence(&error));
        // A container that vanishes takes its log along, so its words are listened to from the start.
        let listen = AttachContainerOptionsBuilder::default().stdout(true).stderr(true).stream(true).build();
        let said = Words::of(self.engine.attach_container(id, Some(listen)).await.map_err(fault)?.output);
        self.engine.start_container(id, None::<StartContainerOptions>).await.map_err(fault)?;
        match self.running(id, wanted.network, wanted.ports).await? {
            Some(running) => Ok((running, said)),
            None => Err(format!("container {} exited immediately; {}", wanted.name, said.last().await)),
        }
    }

    /// Where a container is reached; `None` when it does not run.
    pub(crate) async fn running(&self, name: &str, network: &str, ports: &[u16]) -> Result<Option<Running>, String> {
        let found = match self.engine.inspect_container(name, None::<InspectContainerOptions>).await {
            Ok(found) => found,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(format!("container {name}: {}", wi_engine::sentence(&error))),
        };
        if !found.state.and_then(|state| state.running).unwrap_or(false) {
            return Ok(None);
        }
        let settings = found.network_settings.unwrap_or_default();
        let endpoint = settings.networks.unwrap_or_default().remove(network);
        let address = endpoint.and_then(|endpoint| endpoint.ip_address).and_then(|address| address.parse().ok());
        let Some(address) = address else {
            return Err(format!("container {name}: it has no address on network {network}"));
        };
        let bound = settings.ports.unwrap_or_default();
        let mut published = HashMap::new();
        for port in ports {
            let bindings = bound.get(&format!("{port}/tcp")).cloned().flatten().unwrap_or_default();
            let at = bindings.iter().find_map(|b| {
                let port = b.host_port.as_ref()?.parse().ok()?;
                Some(SocketAddr::new(b.host_ip.as_ref()?.parse().ok()?, port))
            });
            published.insert(*port, at.ok_or_else(|| format!("container {name}: port {port} was not published"))?);
        }
        Ok(Some(Running { address, published }))
    }

    /// Waits for a container's end and gives its exit code, if that is still known.
    pub(crate) async fn ended(&self, name: &str) -> Option<i64> {
        match self.engine.wait_container(name, None::<WaitContainerOptions>).next().await {
            Some(Ok(ended)) => Some(ended.status_code),
            Some(Err(Error::DockerContainerWaitError { code, .. })) => Some(code),
            Some(Err(error)) if is_missing(&error) => None,
            // An engine that has gone knows no end; the container may well run on.
            Some(Err(_)) | None => std::future::pending().await,
        }
    }

    /// A container, if it is there.
    pub(crate) async fn container(&self, name: &str) -> Result<Option<Container>, String> {
        let found = match self.engine.inspect_container(name, None::<InspectContainerOptions>).await {
            Ok(found) => found,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(format!("container {name}: {}", wi_engine::sentence(&error))),
        };
        let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
        Ok(Some(Container {
            id: found.id.unwrap_or_default(),
            name: name.to_owned(),
            run: labels.get(RUN_LABEL).cloned(),
            created: found.created.and_then(|time| time.parse().ok()),
            mounts: found.mounts.into_iter().flatten().filter_map(|mount| mount.source).collect(),
        }))
    }

    /// The containers of a kind cluster's nodes, whether they run or not.
    pub(crate) async fn nodes_of(&self, cluster: &str) -> Result<Vec<Container>, String> {
        let options = ListContainersOptionsBuilder::default().all(true).build();
        let all = self.engine.list_containers(Some(options)).await.map_err(|error| wi_engine::sentence(&error))?;
        let is_node = |one: &ContainerSummary| {
            one.labels.as_ref().and_then(|labels| labels.get(CLUSTER_LABEL)).is_some_and(|name| name == cluster)
        };
        let mut nodes = Vec::new();
        for id in all.into_iter().filter(is_node).filter_map(|one| one.id) {
            nodes.extend(self.container(&id).await?);
        }
        Ok(nodes)
    }

    /// A network, if it is there.
    pub(crate) async fn network(&self, name: &str) -> Result<Option<Network>, String> {
        let fault = |error: Error| format!("network {name}: {}", wi_engine::sentence(&error));
        let id = match self.engine.inspect_network(name, None::<bollard::query_parameters::InspectNetworkOptions>).await
        {
            Ok(found) => found.id.unwrap_or_default(),
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(fault(error)),
        };
        // The network itself knows those that run; one that was stopped could not be started again without it.
        let on_it = HashMap::from([("network", vec![id.as_str(), name])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&on_it).build();
        let containers = self.engine.list_containers(Some(options)).await.map_err(fault)?;
        Ok(Some(Network { id, used: !containers.is_empty() }))
    }

    /// An image, if it is there.
    pub(crate) async fn image(&self, name: &str) -> Result<Option<LocalImage>, String> {
        match self.engine.inspect_image(name).await {
            Ok(found) => {
                let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
                Ok(Some(LocalImage { id: found.id.unwrap_or_default(), run: labels.get(RUN_LABEL).cloned() }))
            }
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(format!("image {name}: {}", wi_engine::sentence(&error))),
        }
    }

    /// Ends and removes a container. One that is not there is as good as gone.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), String> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match self.engine.remove_container(name, Some(options)).await {
            Err(error) if is_missing(&error) => return Ok(()),
            Ok(()) => {}
            // It ended by itself, and the engine is removing it already.
            Err(error) if error.to_string().contains("is already in progress") => {}
            Err(error) => return Err(wi_engine::sentence(&error)),
        }
        let gone = || async {
            let found = self.engine.inspect_container(name, None::<InspectContainerOptions>).await;
            found.is_err_and(|error| is_missing(&error)).then_some(())
        };
        let gone = wait::until(REMOVED, gone).await;
        gone.ok_or_else(|| format!("still there {} s after its removal", REMOVED.as_secs()))
    }

    /// A file of a container.
    pub(crate) async fn file(&self, container: &str, path: &str) -> Result<Vec<u8>, String> {
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        let mut stream = self.engine.download_from_container(container, Some(options));
        let mut archive = Vec::new();
        while let Some(chunk) = stream.next().await {
            archive.extend_from_slice(&chunk.map_err(|error| wi_engine::sentence(&error))?);
        }
        let mut tar = tar::Archive::new(archive.as_slice());
        let entries = tar.entries().map_err(|error| error.to_string())?;
        for entry in entries {
            let mut entry = entry.map_err(|error| error.to_string())?;
            if entry.header().entry_type().is_file() {
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut entry, &mut bytes).map_err(|error| error.to_string())?;
                return Ok(bytes);
            }
        }
        Err(format!("{path} is not a file"))
    }

    /// Every container that runs.
    pub(crate) async fn containers(&self) -> Result<Vec<ContainerSummary>, String> {
        let options = ListContainersOptionsBuilder::default().build();
        self.engine.list_containers(Some(options)).await.map_err(|error| wi_engine::sentence(&error))
    }

    /// Removes a network, unless somebody uses it.
    pub(crate) async fn remove_unused_network(&self, name: &str) -> Result<(), String> {
        match self.engine.remove_network(name).await {
            Ok(()) => Ok(()),
            Err(error) if is_missing(&error) || error.to_string().contains("has active endpoints") => Ok(()),
            Err(error) => Err(wi_engine::sentence(&error)),
        }
    }
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::DockerResponseServerError { status_code: 404, .. })
}
