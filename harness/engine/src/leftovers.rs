//! What runs left behind, found by the marks on it: from any machine, without a ledger.

use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use wi_model::target::Target;

use crate::azure::{Azure, MADE_TAG, NamedBy, RUN_TAG, created_at};
use crate::cluster::{Cluster, ObjectRef, sentence};
use crate::ledger::{Entry, Owned};
use crate::provision::{Group, RUN_LABEL};
use crate::undo::{Kept, Undo};

/// Something that a run left behind.
#[derive(Debug, Clone)]
pub struct Leftover {
    entry: Entry,
    /// The run, by the mark on it.
    run: String,
    /// How old it is.
    pub age: Duration,
}

impl Leftover {
    /// What it is.
    pub fn what(&self) -> String {
        self.entry.owned.to_string()
    }
}

impl std::fmt::Display for Leftover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let minutes = self.age.as_secs() / 60;
        write!(f, "{}, {} h {} min old", self.entry.owned, minutes / 60, minutes % 60)
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

/// Whether a mark names a run: when it began and who ran it, and perhaps which case it was for. A label that somebody gave
/// an object of theirs for a reason of their own does not.
fn names_a_run(mark: &str) -> bool {
    let (began, rest) = mark.split_once('-').unwrap_or((mark, ""));
    began.len() == 14
        && began.bytes().all(|b| b.is_ascii_digit())
        && rest.len() >= 4
        && rest.bytes().take(4).all(|b| b.is_ascii_hexdigit())
}

/// Kinds of objects in no namespace of a run, that a case may have made: they carry the run's label themselves.
const MARKED: [(&str, &str); 11] = [
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("scheduling.k8s.io/v1", "PriorityClass"),
    ("storage.k8s.io/v1", "StorageClass"),
    ("v1", "Service"),
    ("v1", "Namespace"),
];

impl Search {
    /// Connects. Nothing is asked yet.
    ///
    /// # Errors
    /// Azure's side of the target is not usable; a cluster that is gone leaves nothing, and is told by [`Search::find`].
    pub async fn connect(target: &Target) -> Result<Self, String> {
        let azure = Azure::connect(&target.azure, CancellationToken::new())?;
        Ok(Search { cluster: Cluster::connect(&target.cluster).await, azure })
    }

    /// Every marked resource of at least that age. A resource without a known age is left out.
    pub async fn find(&self, older_than: Duration) -> Found {
        let mut found = Found::default();
        self.find_in_cluster(older_than, &mut found).await;
        self.find_applications(older_than, &mut found).await;
        self.find_in_azure(older_than, &mut found).await;
        found
    }

    async fn find_in_cluster(&self, older_than: Duration, found: &mut Found) {
        let cluster = match &self.cluster {
            Ok(cluster) => cluster,
            Err(why) => {
                found.unseen.push(format!("namespaces: {why}"));
                return;
            }
        };
        for (api_version, kind) in MARKED {
            let objects = match cluster.labelled(api_version, kind, RUN_LABEL).await {
                Ok(objects) => objects,
                // A cluster that does not serve a kind holds none of it.
                Err(kube::Error::Api(status)) if status.code == 404 => continue,
                Err(error) => {
                    found.unseen.push(format!("{kind}s: {}", sentence(&error)));
                    continue;
                }
            };
            for object in objects {
                let metadata = &object["metadata"];
                let mark = metadata["labels"][RUN_LABEL].as_str().unwrap_or_default();
                if let (Some(age), true) = (age(&metadata["creationTimestamp"], older_than), names_a_run(mark)) {
                    let namespace = metadata["namespace"].as_str();
                    let name = metadata["name"].as_str().unwrap_or_default();
                    let owned = Owned::Object(ObjectRef::new(api_version, kind, namespace, name));
                    found.add(owned, metadata["uid"].as_str(), mark, age);
                }
            }
        }
    }

    async fn find_applications(&self, older_than: Duration, found: &mut Found) {
        let (graph, prefix) = (self.azure.graph(), &self.azure.target().marks.prefix);
        let all = match graph.applications(NamedBy::Prefix(&format!("{prefix}-"))).await {
            Ok(all) => all,
            Err(error) => {
                found.unseen.push(format!("applications: {error}"));
                return;
            }
        };
        for one in all {
            let name = one["displayName"].as_str().unwrap_or_default();
            let age = age(&one["createdDateTime"], older_than);
            if let (Some(id), Some(run), Some(age), true) =
                (one["id"].as_str(), graph.run_of(&one), age, generated(name, prefix))
            {
                found.add(Owned::application(name), Some(id), &run, age);
            }
        }
    }

    async fn find_in_azure(&self, older_than: Duration, found: &mut Found) {
        let (arm, prefix) = (self.azure.arm(), &self.azure.target().marks.prefix);
        let mut vaults = Vec::new();
        match arm.groups().await {
            Ok(groups) => {
                for group in &groups {
                    let (run, made) = (group["tags"][RUN_TAG].as_str(), &group["tags"][MADE_TAG]);
                    let (Some(name), Some(run), Some(age)) = (group["name"].as_str(), run, age(made, older_than))
                    else {
                        continue;
                    };
                    // Tags are copied from one group to another; a name that follows from them is not.
                    if !Group::is_of(name, prefix, run) {
                        continue;
                    }
                    // A vault that is deleted with its group stays soft-deleted.
                    match arm.vaults_of(name).await {
                        Ok(inside) => vaults.extend(inside.into_iter().filter_map(|vault| {
                            Some((vault_in(name, &vault, &vault["tags"], &vault["location"])?, run.to_owned(), age))
                        })),
                        Err(error) => found.unseen.push(format!("vaults of {name}: {error}")),
                    }
                    let made = made.as_str().map(str::to_owned);
                    found.add(Owned::ResourceGroup { name: name.to_owned(), made }, None, run, age);
                }
            }
            Err(error) => found.unseen.push(format!("resource groups: {error}")),
        }
        match arm.deleted_vaults().await {
            Ok(deleted) => {
                for vault in &deleted {
                    let properties = &vault["properties"];
                    let run = properties["tags"][RUN_TAG].as_str().unwrap_or_default();
                    let group = properties["vaultId"].as_str().and_then(group_of).unwrap_or_default();
                    let age = age(&properties["tags"][MADE_TAG], older_than);
                    if let (Some(age), true) = (age, Group::is_of(group, prefix, run))
                        && let Some(found) = vault_in(group, vault, &properties["tags"], &properties["location"])
                    {
                        vaults.push((found, run.to_owned(), age));
                    }
                }
            }
            Err(error) => found.unseen.push(format!("deleted vaults: {error}")),
        }
        for ((owned, created), run, age) in vaults {
            found.add(owned, created.as_deref(), &run, age);
        }
    }

    /// Removes one thing, if it is still the one that was found.
    ///
    /// # Errors
    /// It is still there, and why.
    pub async fn remove(&self, leftover: &Leftover) -> Result<(), Kept> {
        let cluster = self.cluster.as_ref().map_err(String::as_str);
        Undo::new(cluster, &self.azure, &leftover.run, &[]).undo(&leftover.entry).await
    }
}

impl Found {
    fn add(&mut self, owned: Owned, identity: Option<&str>, run: &str, age: Duration) {
        let identity = identity.map(str::to_owned);
        let entry = Entry { number: 0, owned, written: None, identity, changes: Vec::new() };
        self.leftovers.push(Leftover { entry, run: run.to_owned(), age });
    }
}

/// How old something is, where that is known and is enough.
fn age(made: &Value, older_than: Duration) -> Option<Duration> {
    let made: jiff::Timestamp = made.as_str()?.parse().ok()?;
    let age = Duration::try_from(jiff::Timestamp::now().duration_since(made)).unwrap_or_default();
    (age >= older_than).then_some(age)
}

/// A vault as something to remove, and when it was created, where that is told.
fn vault_in(group: &str, vault: &Value, tags: &Value, location: &Value) -> Option<(Owned, Option<String>)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (name, location, made) = (text(&vault["name"])?, text(location)?, text(&tags[MADE_TAG]));
    let owned = Owned::Vault { group: group.to_owned(), name, location, made };
    Some((owned, created_at(vault).map(str::to_owned)))
}

/// The resource group in a resource's id.
fn group_of(id: &str) -> Option<&str> {
    let mut parts = id.split('/');
    parts.find(|part| part.eq_ignore_ascii_case("resourceGroups"))?;
    parts.next()
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

    #[test]
    fn a_mark_that_names_no_run_and_a_group_whose_name_does_not_follow_from_its_tag_are_somebody_elses() {
        assert!(names_a_run("20260102030405-0a1b") && names_a_run("20260102030405-0a1b-webhook-absent"));
        for mark in ["", "team-a", "2026-01-02", "20260102030405", "20260102030405-x"] {
            assert!(!names_a_run(mark), "{mark}");
        }
        let run = "20260102030405-0a1b";
        let name = Group::new("p", run).name().to_owned();
        assert!(Group::is_of(&name, "p", run) && Group::is_of(&format!("{name}-0123456789"), "p", run));
        for (name, run) in [("production", run), (&*format!("{name}x"), run), (&*name, "20260102030405-0a1c"), ("", "")]
        {
            assert!(!Group::is_of(name, "p", run), "{name} {run}");
        }
    }

    #[test]
    fn the_group_is_read_out_of_an_id_however_it_is_written() {
        for id in ["/subscriptions/s/resourceGroups/g/providers/p", "/subscriptions/s/resourcegroups/g/providers/p"] {
            assert_eq!(group_of(id), Some("g"));
        }
        assert_eq!(group_of("/subscriptions/s"), None);
    }
}
