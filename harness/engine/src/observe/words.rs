//! What the webhook wrote to its log and counted while a case went on.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wi_model::evidence::WebhookWords;

use super::Observer;
use super::cluster::holds_a_credential;
use super::webhook::{METRICS, reviews, uncounted};
use crate::provision::Provisioned;
use crate::settle;

/// How long a count may be behind what was answered.
const COUNTED: Duration = Duration::from_secs(3);

impl Observer<'_> {
    /// Looks through what each pod of the webhook wrote, and at what all of them counted of the case's namespace, which
    /// must come to `answered` reviews where that is known. `None` where there is no webhook to look at.
    pub(crate) async fn webhook_words(
        &self,
        ready: &Provisioned,
        answered: Option<u64>,
        cancel: &CancellationToken,
    ) -> Option<WebhookWords> {
        let (home, pods) = self.webhook_pods().await.ok().filter(|(_, pods)| !pods.is_empty())?;
        let mut leaks = BTreeMap::new();
        for pod in &pods {
            let log = self.cluster.log_since(&home, pod, None).await;
            let mut found = Vec::new();
            if log.contains(&ready.canary) {
                found.push("the value of an environment variable of a pod".to_owned());
            }
            if holds_a_credential(&log, &ready.secrets) {
                found.push("a token, a key or a secret".to_owned());
            }
            if !found.is_empty() {
                leaks.insert(pod.clone(), found);
            }
        }
        let counted = async || {
            let (mut all, mut why) = (0, None);
            for pod in &pods {
                let asked = self.cluster.ask_pod(&home, pod, METRICS, "/metrics").await;
                let Ok((200, metrics)) = asked else { return None };
                all += reviews(&metrics, &ready.namespace);
                why = why.or(uncounted(&metrics, &ready.namespace));
            }
            Some((all, why))
        };
        let mut seen = None;
        if let Some(answered) = answered {
            seen = counted().await;
            if seen.as_ref().is_some_and(|(seen, _)| *seen < answered) {
                let reached = || async { counted().await.filter(|(seen, _)| *seen >= answered) };
                seen = settle::until(COUNTED, cancel, reached).await.ok().or(seen);
            }
        }
        let (counted, uncounted) = seen.map_or((None, None), |(seen, why)| (Some(seen), why));
        let counted = counted.zip(answered);
        Some(WebhookWords { namespace: ready.namespace.clone(), leaks, counted, uncounted })
    }
}
