//! What runs left behind, found by the marks on it: from any machine, without a ledger.

use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use wi_model::target::Target;

use crate::azure::{Azure, MADE_TAG, NamedBy, RUN_TAG};
use crate::cluster::{Cluster, sentence};
use crate::ledger::Owned;
use crate::provision::RUN_LABEL;

/// Something that a run left behind.
#[derive(Debug, Clone)]
pub struct Leftover {
    owned: Owned,
    /// How old it is.
    pub age: Duration,
}

impl std::fmt::Display for Leftover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let minutes = self.age.as_secs() / 60;
        write!(f, "{}, {} h {} min old", self.owned, minutes / 60, minutes % 60)
    }
}

/// What was found, and where nobody could look.
#[derive(Debug, Default)]
pub struct Found {
    /// What runs left, in the order in which it can be removed.
    pub leftovers: Vec<Leftover>,
    /// Where nobody could look, and why; a line each.
    pub unseen: Vec<String>,
}

/// A target that is looked through.
pub struct Search {
    cluster: Result<Cluster, String>,
    azure: Azure,
}

/// Whether a name is one that a run made up: the prefix, ten hexadecimal digits, a handle. Other people's applications may
/// begin with the prefix too.
fn generated(name: &str, prefix: &str) -> bool {
    let rest = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
    rest.and_then(|rest| rest.split_once('-')).is_some_and(|(hash, handle)| {
        hash.len() == 10 && hash.bytes().all(|b| b.is_ascii_hexdigit()) && !handle.is_empty()
    })
}

impl Search {
    /// Connects. Nothing is asked yet.
    ///
    /// # Errors
    /// Azure's side of the target is not usable; a cluster that is gone leaves nothing, and is told by [`Search::find`].
    pub async fn connect(target: &Target) -> Result<Self, String> {
        let azure = Azure::connect(&target.azure, CancellationToken::new())?;
        Ok(Search { cluster: Cluster::connect(&target.cluster).await, azure })
    }

    /// Everything with a mark of ours that is at least so old. What has no age is not taken for ours.
    pub async fn find(&self, older_than: Duration) -> Found {
        let mut found = Found::default();
        let now = jiff::Timestamp::now();
        let age = |made: &Value| {
            let made: jiff::Timestamp = made.as_str()?.parse().ok()?;
            let age = Duration::try_from(now.duration_since(made)).unwrap_or_default();
            (age >= older_than).then_some(age)
        };
        let mut add = |owned: Owned, age: Duration| found.leftovers.push(Leftover { owned, age });
        let marked = |tags: &Value| tags[RUN_TAG].is_string();
        let (mut unseen, marks) = (Vec::new(), &self.azure.target().marks);
        match &self.cluster {
            Ok(cluster) => match cluster.labelled_namespaces(RUN_LABEL).await {
                Ok(namespaces) => {
                    for (name, made) in namespaces {
                        if let Some(age) = age(&made.into()) {
                            let (api_version, kind) = ("v1".to_owned(), "Namespace".to_owned());
                            add(Owned::Object { api_version, kind, namespace: None, name }, age);
                        }
                    }
                }
                Err(error) => unseen.push(format!("namespaces: {}", sentence(&error))),
            },
            Err(why) => unseen.push(format!("namespaces: {why}")),
        }
        let applications = self.azure.graph().applications(NamedBy::Prefix(&format!("{}-", marks.prefix))).await;
        match applications {
            Ok(all) => {
                let ours =
                    |one: &&Value| one["displayName"].as_str().is_some_and(|name| generated(name, &marks.prefix));
                for one in all.iter().filter(ours) {
                    if let (Some(id), Some(age)) = (one["id"].as_str(), age(&one["createdDateTime"])) {
                        add(Owned::Application { object_id: id.to_owned() }, age);
                    }
                }
            }
            Err(error) => unseen.push(format!("applications: {error}")),
        }
        let mut vaults = Vec::new();
        match self.azure.arm().groups().await {
            Ok(groups) => {
                for group in groups.iter().filter(|group| marked(&group["tags"])) {
                    let (Some(name), Some(age)) = (group["name"].as_str(), age(&group["tags"][MADE_TAG])) else {
                        continue;
                    };
                    // A vault that goes with its group stays behind in deleted state.
                    match self.azure.arm().vaults_of(name).await {
                        Ok(inside) => vaults.extend(inside.into_iter().map(|vault| (vault, age))),
                        Err(error) => unseen.push(format!("vaults of {name}: {error}")),
                    }
                    add(Owned::ResourceGroup { name: name.to_owned() }, age);
                }
            }
            Err(error) => unseen.push(format!("resource groups: {error}")),
        }
        match self.azure.arm().deleted_vaults().await {
            Ok(deleted) => {
                for vault in deleted.iter().filter(|vault| marked(&vault["properties"]["tags"])) {
                    if let Some(age) = age(&vault["properties"]["tags"][MADE_TAG]) {
                        vaults.push((vault.clone(), age));
                    }
                }
            }
            Err(error) => unseen.push(format!("deleted vaults: {error}")),
        }
        for (vault, age) in vaults {
            let location = vault["location"].as_str().or(vault["properties"]["location"].as_str());
            if let (Some(name), Some(location)) = (vault["name"].as_str(), location) {
                add(Owned::DeletedVault { name: name.to_owned(), location: location.to_owned() }, age);
            }
        }
        found.unseen = unseen;
        found
    }

    /// Removes one thing.
    ///
    /// # Errors
    /// It is still there, and why.
    pub async fn remove(&self, leftover: &Leftover) -> Result<(), String> {
        match (&self.cluster, &leftover.owned) {
            (Ok(cluster), owned) => crate::lease::undo(owned, cluster, &self.azure).await,
            (Err(why), owned) if owned.in_cluster() => Err(why.clone()),
            (Err(_), owned) => crate::lease::undo_in_azure(owned, &self.azure).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_whose_name_only_begins_like_ours_is_somebody_elses() {
        assert!(generated("wi-conformance-0a1b2c3d4e-app1", "wi-conformance"));
        for name in
            ["wi-conformance-operator", "wi-conformance-ci-app", "wi-conformance-0a1b2c3d4e", "other-0a1b2c3d4e-app"]
        {
            assert!(!generated(name, "wi-conformance"), "{name}");
        }
    }
}
