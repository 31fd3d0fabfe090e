//! What is on a cluster already, before a run: objects of names that scenarios bring or touch.

use wi_model::plan::Case;
use wi_model::target::ClusterTarget;

use crate::cluster::{Cluster, ObjectRef, sentence};

/// An object that is there though a case brings one of its name, or means this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct There {
    /// The case.
    pub case: String,
    /// The object.
    pub what: String,
    /// Whether the scenario says that another user's may be there.
    pub said: bool,
}

/// Looks for every object of a name that is the same in each run. Nothing is changed.
///
/// # Errors
/// The cluster cannot be asked; in one line.
pub async fn there_already(target: &ClusterTarget, cases: &[Case]) -> Result<Vec<There>, String> {
    let cluster = Cluster::connect(target).await?;
    let mut there = Vec::new();
    for case in cases {
        for (object, said) in case.fixed_objects() {
            let (api_version, kind, namespace) = (&object.api_version, &object.kind, object.namespace.as_deref());
            let named = ObjectRef::new(api_version, kind, namespace, &object.name);
            match cluster.find(&named).await {
                Ok(None) => {}
                Ok(Some(_)) => there.push(There { case: case.id.clone(), what: object.to_string(), said }),
                // A cluster that does not serve a kind, or does not show it to us, tells so when it is to be made.
                Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => {}
                Err(error) => return Err(format!("{object}: {}", sentence(&error))),
            }
        }
    }
    Ok(there)
}
