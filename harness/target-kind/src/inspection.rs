//! A look at a cluster that is there: whether a run may and can use it. Nothing is changed by it, so plans look too.

use k8s_openapi::api::core::v1::Node;
use kube::config::Kubeconfig;
use wi_engine::kubernetes;
use wi_engine::production_check::{self, looks_like_production};

use super::docker::Docker;
use super::node_network::{self, Context, Place};
use super::{NewCluster, Which, kind, node_images};

/// A kubeconfig, and the context in it that is wanted.
pub(super) struct Given {
    /// The name of the cluster, where it has one besides its context's.
    pub(super) name: Option<String>,
    pub(super) kubeconfig: String,
    pub(super) context: Option<String>,
}

/// A cluster that a run may use.
pub(super) struct Looked {
    pub(super) name: String,
    pub(super) kubeconfig: String,
    pub(super) context: Context,
    pub(super) place: Place,
    pub(super) client: kube::Client,
}

impl NewCluster {
    /// Checks that no cluster has the name yet.
    pub(super) fn is_free(&self, name: &str, there: &[String]) -> Result<(), String> {
        if there.iter().any(|there| there == name) {
            return Err(format!("kind has a cluster {name} already; use it with --reuse, or choose another --name"));
        }
        Ok(())
    }
}

impl Given {
    /// The kubeconfig of a cluster that is there.
    pub(super) async fn of(which: &Which) -> Result<Self, String> {
        match which {
            Which::Standing { name } => {
                if !kind::clusters().await?.contains(name) {
                    return Err(format!(
                        "kind has no cluster {name}; `wi-conformance up kind --name {name}` creates it"
                    ));
                }
                Ok(Given { name: Some(name.clone()), kubeconfig: kind::kubeconfig(name).await?, context: None })
            }
            Which::Named { cluster, .. } => {
                Ok(Given { name: None, kubeconfig: cluster.kubeconfig.clone(), context: cluster.context.clone() })
            }
            Which::New(_) => Err("a cluster that does not exist yet has no kubeconfig".to_owned()),
        }
    }
}

impl Looked {
    /// Connects and looks.
    pub(super) async fn at(given: &Given, which: &Which, docker: &Docker) -> Result<Self, String> {
        let context = node_network::context(&given.kubeconfig, given.context.as_deref());
        let context = context.map_err(|why| format!("the kubeconfig is not usable: {why}"))?;
        let name = given.name.clone().unwrap_or_else(|| context.name.clone());
        let kubeconfig = only(&given.kubeconfig, &context.name)?;
        let client = kubernetes::client(&kubeconfig, None).await?;
        let nodes: kube::Api<Node> = kube::Api::all(client.clone());
        let nodes = nodes.list(&kube::api::ListParams::default()).await;
        let nodes = nodes.map_err(|error| {
            format!("the cluster at {} does not answer: {}", context.server, kubernetes::sentence(&error))
        })?;
        if let Which::Named { confirmed: false, .. } = which
            && let Some(why) = looks_like_production(
                &context.name,
                context.server.as_str(),
                &nodes.items,
                production_check::MANY_NODES,
            )
        {
            return Err(format!("this cluster looks like production: {why}; use --yes if a test run may use it"));
        }
        let ready = |node: &Node| {
            let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        };
        if !nodes.items.iter().any(ready) {
            return Err(format!("no node of cluster {name} is ready, so no pod would run; see `kubectl get nodes`"));
        }
        let place = node_network::find(docker, &context.server).await?;
        node_images::kind_of(&name, &place)?;
        Ok(Looked { name, kubeconfig, context, place, client })
    }
}

/// A kubeconfig with the wanted context as its current one, so that whoever reads it later needs to know no more.
fn only(kubeconfig: &str, context: &str) -> Result<String, String> {
    let mut parsed = Kubeconfig::from_yaml(kubeconfig).map_err(|error| wi_engine::sentence(&error))?;
    parsed.current_context = Some(context.to_owned());
    serde_json::to_string(&parsed).map_err(|error| error.to_string())
}
