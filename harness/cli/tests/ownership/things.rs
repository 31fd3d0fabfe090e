//! Every kind of thing that the harness makes, as the adversary meets it.

use regex::Regex;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gate::Held;
use crate::world::World;

/// A thing that a case makes.
pub(crate) struct Thing {
    pub(crate) what: &'static str,
    /// A scenario that makes it.
    pub(crate) scenario: String,
    /// The request that makes it.
    pub(crate) made_by: (&'static str, &'static str),
    /// The first request of its removal: the deletion itself where that has preconditions, else the look before it.
    pub(crate) removed_by: (&'static str, &'static str),
    pub(crate) at: At,
}

/// Where it is.
pub(crate) enum At {
    /// An object: the path of its collection, and its body without metadata.
    Cluster(&'static str, Value),
    Group,
    Identity,
    Vault,
    Application,
}

/// Next to nothing is done and expected: what is asked is what becomes of what was made.
pub(crate) const THEN: &str = "when:\n  - apply: { objects: [ { apiVersion: v1, kind: ConfigMap, metadata: { name: own } } ] }\nthen:\n  - object: { kind: ConfigMap, name: nothing, absent: true }\n";

/// What a registration of the webhook is led to.
pub(crate) const SERVICE_THAT_LEADS_NOWHERE: &str = "the Service that leads nowhere";

fn object(
    what: &'static str,
    given: &str,
    collection: &'static str,
    made_by: &'static str,
    removed_by: &'static str,
    body: Value,
) -> Thing {
    let scenario = format!("{given}{THEN}");
    let at = At::Cluster(collection, body);
    Thing { what, scenario, made_by: ("POST", made_by), removed_by: ("DELETE", removed_by), at }
}

fn manifest(object: &str) -> String {
    format!("given: {{ cluster: [ {{ manifests: {{ objects: [ {object} ] }} }} ] }}\n")
}

pub(crate) fn all() -> Vec<Thing> {
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let admission = "/apis/admissionregistration.k8s.io/v1";
    let azure = |what, given: &str, made_by, removed_by, at| {
        let scenario = format!("given: {{ azure: {{ {given} }} }}\n{THEN}");
        Thing { what, scenario, made_by, removed_by, at }
    };
    vec![
        object(
            "a namespace of a fixed name",
            "given: { namespace: shop }\n",
            "/api/v1/namespaces",
            r"/api/v1/namespaces(\?|$)",
            r"/api/v1/namespaces/shop(\?|$)",
            json!({ "apiVersion": "v1", "kind": "Namespace" }),
        ),
        object(
            "an object in no namespace",
            &manifest(
                "{ apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: { name: team-reader }, rules: [] }",
            ),
            "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            r"/clusterroles(\?|$)",
            r"/clusterroles/team-reader(\?|$)",
            json!({ "apiVersion": &rbac[6..], "kind": "ClusterRole", "rules": [] }),
        ),
        object(
            "an object in a namespace of somebody else",
            &manifest(
                "{ apiVersion: v1, kind: ConfigMap, metadata: { name: settings, namespace: default }, data: { a: ours } }",
            ),
            "/api/v1/namespaces/default/configmaps",
            r"/namespaces/default/configmaps(\?|$)",
            r"/namespaces/default/configmaps/settings(\?|$)",
            json!({ "apiVersion": "v1", "kind": "ConfigMap" }),
        ),
        object(
            "the registration of a webhook",
            &manifest(
                "{ apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: { name: rules }, webhooks: [] }",
            ),
            "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
            r"/validatingwebhookconfigurations(\?|$)",
            r"/validatingwebhookconfigurations/rules(\?|$)",
            json!({ "apiVersion": &admission[6..], "kind": "ValidatingWebhookConfiguration", "webhooks": [] }),
        ),
        object(
            SERVICE_THAT_LEADS_NOWHERE,
            "given: { webhook: unreachable }\n",
            "/api/v1/namespaces/azure-workload-identity-system/services",
            r"/services(\?|$)",
            r"/services/wi-nobody",
            json!({ "apiVersion": "v1", "kind": "Service", "spec": { "ports": [{ "port": 80 }] } }),
        ),
        azure(
            "a resource group",
            "identities: { app: { federated: [] } }",
            ("PUT", r"/resourcegroups/[^/?]+\?"),
            ("GET", r"/resourcegroups/[^/?]+\?"),
            At::Group,
        ),
        azure(
            "an identity",
            "identities: { app: { federated: [] } }",
            ("PUT", r"/userAssignedIdentities/[^/?]+\?"),
            ("GET", r"/userAssignedIdentities/[^/?]+\?"),
            At::Identity,
        ),
        azure(
            "a vault",
            "vaults: { kv: { secrets: {}, access: [] } }",
            ("PUT", r"/vaults/[^/?]+\?"),
            ("GET", r"/vaults/[^/?]+\?"),
            At::Vault,
        ),
        azure(
            "an application",
            "service-principals: { app: { federated: [] } }",
            ("POST", r"/v1.0/applications$"),
            ("GET", r"/v1.0/applications/[^/?]+$"),
            At::Application,
        ),
        azure(
            "an application of a fixed name",
            "service-principals: { app: { name: shared-name, federated: [] } }",
            ("POST", r"/v1.0/applications$"),
            ("GET", r"/v1.0/applications/[^/?]+$"),
            At::Application,
        ),
    ]
}

pub(crate) fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

/// One thing of a run, by the address that it has there.
pub(crate) struct Target<'a> {
    world: &'a World,
    thing: &'a Thing,
    /// Path of an object, or address of a resource.
    address: String,
    name: String,
    /// What the server calls theirs.
    theirs: Option<String>,
}

/// What somebody else marks their own with.
const THEIRS: &str = "theirs";

impl<'a> Target<'a> {
    /// Out of the request that makes it.
    pub(crate) fn of(world: &'a World, thing: &'a Thing, held: &Held) -> Self {
        let body: Value = serde_json::from_str(&held.body).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (address, name) = match &thing.at {
            At::Cluster(collection, _) => {
                let name = text(&body["metadata"]["name"]);
                (format!("{collection}/{name}"), name)
            }
            At::Group | At::Identity | At::Vault => {
                let address = held.url.clone();
                let name = address.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
                (address, name)
            }
            At::Application => ("graph.microsoft.com/v1.0/applications".to_owned(), text(&body["displayName"])),
        };
        Target { world, thing, address, name, theirs: None }
    }

    /// Whatever is there of the name now, ours or theirs.
    async fn there(&self) -> Vec<Value> {
        match &self.thing.at {
            At::Cluster(..) => {
                let (status, found) = self.world.kube(Method::GET, &self.address, None).await;
                Some(found).filter(|_| status == StatusCode::OK).into_iter().collect()
            }
            At::Group | At::Identity | At::Vault => {
                let (status, found) = self.world.azure(Method::GET, &self.address, None).await;
                Some(found).filter(|_| status == StatusCode::OK).into_iter().collect()
            }
            At::Application => {
                let (_, all) = self.world.azure(Method::GET, &self.address, None).await;
                let all = all["value"].as_array().cloned().unwrap_or_default();
                all.into_iter().filter(|one| one["displayName"] == self.name.as_str()).collect()
            }
        }
    }

    /// What the server calls it, which no other one is called. A group has no such name, so somebody else puts something of
    /// theirs into it.
    async fn id_of(&self, found: &Value) -> Option<String> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match &self.thing.at {
            At::Cluster(..) => text(&found["metadata"]["uid"]),
            At::Group => {
                text(&self.world.azure(Method::GET, &self.inside(), None).await.1["properties"]["principalId"])
            }
            At::Identity => text(&found["properties"]["principalId"]),
            At::Vault => text(&found["systemData"]["createdAt"]),
            At::Application => text(&found["id"]),
        }
    }

    /// Address of an identity of somebody else in the group.
    fn inside(&self) -> String {
        let group = self.address.split('?').next().unwrap();
        format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/theirs?api-version=2024-11-30")
    }

    async fn put_inside(&self) {
        if matches!(self.thing.at, At::Group) {
            let body = json!({ "location": "westeurope", "tags": { THEIRS: "yes" } });
            let put = self.world.azure(Method::PUT, &self.inside(), Some(&body)).await;
            assert!(put.0.is_success(), "{put:?}");
        }
    }

    /// Creates one of its own under the name.
    pub(crate) async fn create(&mut self) {
        let created = match &self.thing.at {
            At::Cluster(collection, body) => {
                let mut body = body.clone();
                body["metadata"] = json!({ "name": self.name, "annotations": { THEIRS: "yes" } });
                self.world.kube(Method::POST, collection, Some(&body)).await
            }
            At::Group | At::Identity => {
                let body = json!({ "location": "westeurope", "tags": { THEIRS: "yes" } });
                self.world.azure(Method::PUT, &self.address, Some(&body)).await
            }
            At::Vault => {
                let tenant = self.world.tenant();
                let body = json!({ "location": "westeurope", "tags": { THEIRS: "yes" }, "properties": {
                    "tenantId": tenant, "sku": { "family": "A", "name": "standard" }, "accessPolicies": [] } });
                self.world.azure(Method::PUT, &self.address, Some(&body)).await
            }
            At::Application => {
                let body = json!({ "displayName": self.name, "tags": [THEIRS] });
                self.world.azure(Method::POST, &self.address, Some(&body)).await
            }
        };
        assert!(created.0.is_success(), "{}: the adversary could not create: {created:?}", self.thing.what);
        self.put_inside().await;
        self.theirs = self.id_of(&created.1).await;
    }

    /// Deletes what is there and creates one of its own under the name.
    pub(crate) async fn replace(&mut self) {
        self.remove_all().await;
        self.create().await;
    }

    /// Replaces what is there by one of its own that carries the same marks.
    pub(crate) async fn forge(&mut self) {
        let ours = self.there().await.pop().unwrap();
        self.replace().await;
        let forged = match &self.thing.at {
            At::Cluster(..) => {
                let patch = json!({ "metadata": { "labels": ours["metadata"]["labels"] } });
                self.world.kube(Method::PATCH, &self.address, Some(&patch)).await
            }
            At::Group | At::Identity | At::Vault => {
                self.world.azure(Method::PATCH, &self.address, Some(&json!({ "tags": ours["tags"] }))).await
            }
            At::Application => {
                let url = format!("{}/{}", self.address, self.theirs.as_ref().unwrap());
                self.world.azure(Method::PATCH, &url, Some(&json!({ "tags": ours["tags"] }))).await
            }
        };
        assert!(forged.0.is_success(), "{}: the adversary could not forge it: {forged:?}", self.thing.what);
    }

    /// Takes our marks from what is there and puts its own on it.
    pub(crate) async fn take_over(&mut self) {
        for found in self.there().await {
            let taken = match &self.thing.at {
                At::Cluster(..) => {
                    let labels = json!({ "wi-conformance/run": null, "wi-conformance/case": null });
                    let patch = json!({ "metadata": { "labels": labels, "annotations": { THEIRS: "yes" } } });
                    self.world.kube(Method::PATCH, &self.address, Some(&patch)).await
                }
                At::Group | At::Identity | At::Vault => {
                    let patch = json!({ "tags": { THEIRS: "yes" } });
                    self.world.azure(Method::PATCH, &self.address, Some(&patch)).await
                }
                At::Application => {
                    let url = format!("{}/{}", self.address, found["id"].as_str().unwrap());
                    self.world.azure(Method::PATCH, &url, Some(&json!({ "tags": [THEIRS] }))).await
                }
            };
            assert!(taken.0.is_success(), "{}: the adversary could not take it over: {taken:?}", self.thing.what);
            self.put_inside().await;
            self.theirs = self.id_of(&found).await;
        }
    }

    /// How many of another user's are there, and how many others.
    pub(crate) async fn count(&self) -> (usize, usize) {
        let (mut theirs, mut others) = (0, 0);
        for found in self.there().await {
            let is_theirs = self.theirs.is_some() && self.id_of(&found).await == self.theirs;
            if is_theirs { theirs += 1 } else { others += 1 }
        }
        (theirs, others)
    }

    /// Deletes whatever is there, for good.
    pub(crate) async fn remove_all(&self) {
        for found in self.there().await {
            match &self.thing.at {
                At::Cluster(..) => _ = self.world.kube(Method::DELETE, &self.address, None).await,
                At::Group | At::Identity => _ = self.world.azure(Method::DELETE, &self.address, None).await,
                At::Vault => {
                    self.world.azure(Method::DELETE, &self.address, None).await;
                    self.purge(&self.name).await;
                }
                At::Application => {
                    let id = found["id"].as_str().unwrap();
                    let url = format!("{}/{id}", self.address);
                    self.world.azure(Method::DELETE, &url, None).await;
                    let url = format!("graph.microsoft.com/v1.0/directory/deletedItems/{id}");
                    self.world.azure(Method::DELETE, &url, None).await;
                }
            }
        }
        self.world.until("what the adversary deletes is gone", async || self.there().await.is_empty()).await;
    }

    async fn purge(&self, vault: &str) {
        let subscription = self.address.split('/').nth(2).unwrap();
        let url = format!(
            "management.azure.com/subscriptions/{subscription}/providers/Microsoft.KeyVault/locations/westeurope/deletedVaults/{vault}/purge?api-version=2023-07-01"
        );
        self.world.azure(Method::POST, &url, None).await;
    }
}
