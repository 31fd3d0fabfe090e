//! Azure as a case changes it: secrets, trust, rights, faults.

use serde_json::json;
use wi_model::evidence::RefusalEvidence;
use wi_model::injection::AUDIENCE;
use wi_model::scenario::{Distrust, Fault, FaultKind, FaultPlace, Grant, SetSecret, Trust};
use wi_model::secret::Secret;

use super::{Done, Stage};
use crate::azure::{AzureError, FederatedCredential, Policy};

impl Stage<'_> {
    pub(super) async fn set_secret(&mut self, wanted: &SetSecret) -> Result<Done, String> {
        let url = self.azure.own_vault(self.ready.facts.vaults.get(&wanted.vault.value).map_or("", String::as_str));
        let value = Secret::new(wanted.value.value.clone());
        self.azure.vault(&url).set(&wanted.secret, &value).await.map_err(|error| error.to_string())?;
        let key = (wanted.vault.value.clone(), wanted.secret.value.clone());
        self.ready.facts.secret_sha256.insert(key, value.sha256());
        Ok(Done::Accepted)
    }

    pub(super) async fn rotate_client_secret(&self, handle: &str) -> Result<Done, String> {
        let object_id = self.ready.applications.get(handle).ok_or_else(|| format!("no service principal {handle}"))?;
        done(&format!("the client secret of {handle}"), self.azure.graph().rotate_secret(object_id).await)
    }

    pub(super) async fn trust(&self, wanted: &Trust) -> Result<Done, String> {
        let text = |text: &Option<wi_model::located::Text>| text.as_ref().map(|text| text.value.clone());
        let credential = FederatedCredential {
            name: text(&wanted.federated.name).unwrap_or_else(|| "federated-later".to_owned()),
            issuer: text(&wanted.federated.issuer).unwrap_or_else(|| self.ready.facts.issuer.clone()),
            subject: text(&wanted.federated.subject),
            expression: text(&wanted.federated.claims_matching_expression),
            audience: text(&wanted.federated.audience).unwrap_or_else(|| AUDIENCE.to_owned()),
        };
        let written = match self.ready.applications.get(&wanted.identity.value) {
            Some(object_id) => self.azure.graph().add_federated(object_id, &credential).await,
            None => {
                let (group, identity) = self.identity(&wanted.identity)?;
                self.azure.arm().put_federated(&group, &identity, &credential).await
            }
        };
        done(&format!("federated credential {}", credential.name), written)
    }

    pub(super) async fn distrust(&self, wanted: &Distrust) -> Result<Done, String> {
        let (group, identity) = self.identity(&wanted.identity)?;
        let deleted = self.azure.arm().delete_federated(&group, &identity, &wanted.name).await;
        done(&format!("federated credential {}", wanted.name.value), deleted)
    }

    pub(super) async fn grant(&self, wanted: &Grant) -> Result<Done, String> {
        let principal = self.ready.facts.principals.get(&wanted.to.value);
        let principal = principal.ok_or_else(|| format!("no principal {}", wanted.to.value))?;
        let vault = self.ready.vaults.get(&wanted.vault.value);
        let (group, name) = vault.ok_or_else(|| format!("no vault {}", wanted.vault.value))?;
        let secrets = wanted.secrets.iter().map(|right| right.word()).collect();
        let policy = Policy { object_id: principal.principal_id.clone(), secrets, ..Policy::default() };
        done(&format!("rights on vault {name}"), self.azure.arm().set_policy(group, name, &policy).await)
    }

    pub(super) async fn break_azure(&self, fault: &Fault) -> Result<Done, String> {
        let facts = &self.ready.facts;
        let of = &fault.of.value;
        let unknown = || format!("nothing is called {of}");
        let place = fault.place(&self.ready.scenario.given.azure).ok_or_else(unknown)?;
        let at = match place {
            FaultPlace::Principal => {
                json!({ "client-id": facts.principals.get(of).ok_or_else(unknown)?.client_id })
            }
            FaultPlace::Vault => json!({ "vault": self.ready.vaults.get(of).ok_or_else(unknown)?.1 }),
            FaultPlace::Issuer => {
                let url =
                    url::Url::parse(&facts.issuer).map_err(|error| format!("issuer {}: {error}", facts.issuer))?;
                let host = url.host_str().unwrap_or_default();
                json!({ "issuer-host": url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")) })
            }
            FaultPlace::ResourceManager => json!("arm"),
            FaultPlace::Graph => json!("graph"),
        };
        let does = match fault.how {
            FaultKind::Throttled => json!({ "throttle": { "retry-after": 1 } }),
            FaultKind::Unavailable if place == FaultPlace::Issuer => json!({ "spoil": { "with": "server-error" } }),
            FaultKind::Unavailable => json!({ "unavailable": {} }),
            FaultKind::Cut => json!({ "reset": {} }),
            FaultKind::Firewalled => json!({ "block-network": { "by": "firewall" } }),
            FaultKind::PrivateLink => json!({ "block-network": { "by": "private-link" } }),
            FaultKind::BlockedByPolicy => json!({ "block-by-policy": {} }),
            FaultKind::Unreachable => json!({ "unreachable": {} }),
            FaultKind::NotJson => json!({ "spoil": { "with": "not-json" } }),
            FaultKind::WithoutKeys => json!({ "spoil": { "with": "no-keys" } }),
            FaultKind::Lagging => json!({ "lag": { "replicas": 3, "seconds": 60 } }),
        };
        let mut body = json!({ "at": at, "does": does });
        if let Some(times) = fault.times {
            body["times"] = times.into();
        }
        self.azure.control("faults", &body).await.map(|()| Done::Accepted).map_err(|error| error.to_string())
    }

    /// The resource group and the name of an identity.
    fn identity(&self, handle: &str) -> Result<(String, String), String> {
        self.ready.identities.get(handle).cloned().ok_or_else(|| format!("no identity {handle}"))
    }
}

/// A refusal by Azure is an answer; anything else that goes wrong is not.
fn done(what: &str, result: Result<(), AzureError>) -> Result<Done, String> {
    match result {
        Ok(()) => Ok(Done::Accepted),
        Err(AzureError::Refused { status, code, message, .. }) => {
            let message = format!("{code}: {message}");
            Ok(Done::Refused(what.to_owned(), RefusalEvidence { status, reason: code, message }))
        }
        Err(error) => Err(error.to_string()),
    }
}
