//! Where a cluster stands in this machine's Docker: only what stands there can have an emulator beside it.

use std::net::{IpAddr, SocketAddr};

use bollard::models::ContainerSummary;
use kube::config::Kubeconfig;
use url::{Host, Url};

use super::docker::Docker;
use super::kind::CLUSTER_LABEL;

/// A cluster whose API server is a container here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The network that its nodes are on.
    pub(crate) network: String,
    /// Its API server's address on that network.
    pub(crate) api: SocketAddr,
    /// The kind cluster that it is, if it is one.
    pub(crate) kind: Option<String>,
    /// Containers of its nodes.
    pub(crate) nodes: Vec<String>,
}

/// What a kubeconfig's context leads to.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) name: String,
    pub(crate) server: Url,
    /// The CA of the API server, PEM.
    pub(crate) ca: String,
}

/// Reads a kubeconfig's context; the current one when none is named.
///
/// # Errors
/// What is missing, in one line.
pub(crate) fn context(kubeconfig: &str, wanted: Option<&str>) -> Result<Context, String> {
    use base64::Engine as _;
    let parsed = Kubeconfig::from_yaml(kubeconfig).map_err(|error| wi_engine::sentence(&error))?;
    let name = wanted
        .map(str::to_owned)
        .or(parsed.current_context)
        .ok_or("it has no current context; choose one with --context")?;
    let context = parsed.contexts.iter().find(|context| context.name == name);
    let context = context.and_then(|context| context.context.as_ref()).ok_or_else(|| {
        let names: Vec<&str> = parsed.contexts.iter().map(|context| context.name.as_str()).collect();
        format!("it has no context {name}; it has {}", names.join(", "))
    })?;
    let cluster = parsed.clusters.iter().find(|cluster| cluster.name == context.cluster);
    let cluster = cluster
        .and_then(|cluster| cluster.cluster.as_ref())
        .ok_or_else(|| format!("it has no cluster {}", context.cluster))?;
    let server = cluster.server.as_deref().unwrap_or_default();
    let server =
        Url::parse(server).map_err(|error| format!("cluster {}: server {server:?}: {error}", context.cluster))?;
    let ca = match (&cluster.certificate_authority_data, &cluster.certificate_authority) {
        (Some(data), _) => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(data.trim());
            decoded
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or("its certificate-authority-data is not PEM in base64")?
        }
        (None, Some(file)) => std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?,
        (None, None) => return Err(format!("cluster {} names no certificate authority", context.cluster)),
    };
    Ok(Context { name, server, ca })
}

/// Finds the API server's container, by the port that it publishes here or by its address.
///
/// # Errors
/// It is not a container of this machine.
pub(crate) async fn find(docker: &Docker, server: &Url) -> Result<Place, String> {
    let containers = docker.containers().await?;
    of(&containers, server).ok_or_else(|| {
        format!(
            "the API server {server} is not a container of this machine's Docker, so its pods could not reach the emulator"
        )
    })
}

fn of(containers: &[ContainerSummary], server: &Url) -> Option<Place> {
    let port = server.port_or_known_default()?;
    let address: Option<IpAddr> = match server.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain("localhost") => Some(IpAddr::from([127, 0, 0, 1])),
        Host::Domain(_) => None,
    };
    let found = containers.iter().find_map(|container| {
        let networks = container.network_settings.as_ref()?.networks.as_ref()?;
        let mut addresses = networks
            .iter()
            .filter_map(|(name, endpoint)| Some((name.clone(), endpoint.ip_address.as_ref()?.parse::<IpAddr>().ok()?)));
        let address = address?;
        if address.is_loopback() || address.is_unspecified() {
            let published = container.ports.iter().flatten().find(|p| p.public_port == Some(port))?;
            let (network, ip) = addresses.next()?;
            return Some((container, network, SocketAddr::new(ip, published.private_port)));
        }
        let (network, ip) = addresses.find(|(_, ip)| *ip == address)?;
        Some((container, network, SocketAddr::new(ip, port)))
    });
    let (container, network, api) = found?;
    let label = |container: &ContainerSummary| container.labels.as_ref()?.get(CLUSTER_LABEL).cloned();
    let kind = label(container);
    let name = |container: &ContainerSummary| {
        container.names.iter().flatten().next().map(|name| name.trim_start_matches('/').to_owned())
    };
    let load_balancer = |container: &ContainerSummary| {
        let role = container.labels.as_ref().and_then(|labels| labels.get("io.x-k8s.kind.role"));
        role.is_some_and(|role| role == "external-load-balancer")
    };
    let nodes = containers
        .iter()
        .filter(|other| kind.is_some() && label(other) == kind && !load_balancer(other))
        .filter_map(name)
        .collect();
    Some(Place { network, api, kind, nodes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn containers() -> Vec<ContainerSummary> {
        let node = |name: &str, ip: &str, ports: serde_json::Value| {
            serde_json::json!({
                "Names": [format!("/{name}")],
                "Labels": { "io.x-k8s.kind.cluster": "dev" },
                "Ports": ports,
                "NetworkSettings": { "Networks": { "kind": { "IPAddress": ip } } },
            })
        };
        let port = serde_json::json!([{ "IP": "127.0.0.1", "PrivatePort": 6443, "PublicPort": 40001, "Type": "tcp" }]);
        let all = serde_json::json!([
            node("dev-control-plane", "172.18.0.2", port),
            node("dev-worker", "172.18.0.3", serde_json::json!([])),
            { "Names": ["/other"], "Labels": {}, "Ports": [], "NetworkSettings": { "Networks": { "bridge": { "IPAddress": "172.17.0.2" } } } },
        ]);
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn a_cluster_is_found_by_the_port_that_it_publishes_and_by_its_own_address() {
        let expected = Place {
            network: "kind".into(),
            api: "172.18.0.2:6443".parse().unwrap(),
            kind: Some("dev".into()),
            nodes: vec!["dev-control-plane".into(), "dev-worker".into()],
        };
        for server in ["https://127.0.0.1:40001", "https://localhost:40001", "https://172.18.0.2:6443"] {
            assert_eq!(of(&containers(), &server.parse().unwrap()), Some(expected.clone()), "{server}");
        }
    }

    #[test]
    fn a_cluster_that_is_elsewhere_is_not_found() {
        for server in ["https://127.0.0.1:6443", "https://10.0.0.1:6443", "https://dev.hcp.westeurope.azmk8s.io"] {
            assert_eq!(of(&containers(), &server.parse().unwrap()), None, "{server}");
        }
    }

    #[test]
    fn a_context_that_is_not_there_is_told_with_those_that_are() {
        let kubeconfig = "apiVersion: v1\nkind: Config\ncontexts:\n- name: a\n  context: { cluster: c, user: u }\n";
        assert_eq!(context(kubeconfig, Some("b")).unwrap_err(), "it has no context b; it has a");
        assert_eq!(context(kubeconfig, None).unwrap_err(), "it has no current context; choose one with --context");
    }
}
