//! Namespaces that manifests bring.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wi_model::target::PodAdditions;

use super::{Cluster, Created, sentence};
use crate::act;

impl Cluster {
    /// The case's own namespace, handed in as a manifest: what it adds is merged in.
    ///
    /// # Errors
    /// The API server's refusal.
    pub(crate) async fn adopt_namespace(&self, object: &Value) -> Result<(), String> {
        let added = json!({ "metadata": object["metadata"] });
        self.merge(object, &added).await.map_err(|error| sentence(&error))
    }

    /// Waits until pods may be created in a new namespace, and puts in it what they need on this target.
    ///
    /// # Errors
    /// It got no account, or did not take what pods need.
    pub(crate) async fn furnish(
        &self,
        name: &str,
        pods: &PodAdditions,
        cancel: &CancellationToken,
    ) -> Result<(), String> {
        let waited = self.wait_for_default_account(name, cancel).await;
        waited.map_err(|error| format!("namespace {name} got no default ServiceAccount: {error}"))?;
        if let Some(trust) = act::trust_config_map(name, pods)
            && let Created::Refused(refused) = self.create(&trust).await?
        {
            return Err(format!("the CA bundle of namespace {name} was refused: {}", refused.message));
        }
        Ok(())
    }
}
