//! Changes for the whole cluster: its time, its issuer, its webhook.

use std::time::Duration;

use serde_json::json;
use wi_model::scenario::{ApiServerChange, IssuerChange, WebhookState};

use super::{Done, Stage};
use crate::lease::Lease;
use crate::webhook;

/// What tokens name as their issuer where they name another one: what Kubernetes calls itself where nobody says better.
const ANOTHER_ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// How late watches tell of accounts: later than a webhook would wait.
const LATE: Duration = Duration::from_secs(60);

impl Stage<'_> {
    pub(super) async fn advance_time(&self, by: Duration) -> Result<Done, String> {
        self.cluster.control("clock", &json!({ "advance-seconds": by.as_secs() })).await.map(|_| Done::Accepted)
    }

    pub(super) async fn advance_cluster_time(&self, by: Duration) -> Result<Done, String> {
        let body = json!({ "advance-seconds": by.as_secs(), "of-the-cluster-alone": true });
        self.cluster.control("clock", &body).await.map(|_| Done::Accepted)
    }

    pub(super) async fn set_issuer(&self, change: IssuerChange) -> Result<Done, String> {
        let body = match change {
            IssuerChange::NewKey => json!({ "rotate-key": { "overlap": true } }),
            IssuerChange::NewKeyAlone => json!({ "rotate-key": { "overlap": false } }),
            IssuerChange::DropOldKeys => json!({ "retire-old-keys": true }),
            IssuerChange::UnpublishedKey => json!({ "sign-with-unpublished-key": true }),
            IssuerChange::Unreachable => json!({ "publish": false }),
            IssuerChange::Reachable => json!({ "publish": true }),
            IssuerChange::EllipticKey => json!({ "rotate-key": { "overlap": true, "algorithm": "ES256" } }),
            IssuerChange::NamesAnotherIssuer => json!({ "discovery": "another-issuer" }),
            IssuerChange::KeysOfAnotherCluster => json!({ "key-set": "another-cluster" }),
            IssuerChange::RedirectsToLogin => json!({ "publication": "redirect-to-login" }),
            IssuerChange::SignsAsAnother => json!({ "sign-as": ANOTHER_ISSUER }),
        };
        self.cluster.control("issuer", &body).await.map(|_| Done::Accepted)
    }

    pub(super) async fn set_api_server(&self, change: ApiServerChange) -> Result<Done, String> {
        let body = match change {
            ApiServerChange::TellsOfAccountsLate => {
                json!({ "late": { "resource": "serviceaccounts", "seconds": LATE.as_secs() } })
            }
            ApiServerChange::SpeaksOlderTls => json!({ "older-tls": true }),
            ApiServerChange::PresentsAToken => json!({ "presents-token": true }),
            ApiServerChange::AsBefore => json!({}),
        };
        self.cluster.control("api-server", &body).await.map(|_| Done::Accepted)
    }

    pub(super) async fn set_webhook(&self, state: WebhookState, lease: &mut Lease) -> Result<Done, String> {
        let installation = webhook::Installation {
            registration: self.registration,
            cluster: self.cluster,
            namespace: &self.ready.namespace,
            name: &self.ready.nobody,
            upgrade: self.upgrade,
            cancel: self.cancel,
        };
        installation.set(state, lease).await.map(|()| Done::Accepted)
    }
}
