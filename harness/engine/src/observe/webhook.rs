//! The webhook's own word: its probes and its metrics, asked of each of its pods through the API server.

use serde_json::Value;
use wi_model::evidence::WebhookEvidence;
use wi_model::webhook_log;

use super::Observer;
use crate::cluster::sentence;
use crate::webhook::WEBHOOK;

/// Where the upstream webhook answers probes, and where it shows its metrics, unless configured.
/// Source: `--health-addr` and `--metrics-addr` of its command line.
const HEALTH: u16 = 9440;
pub(super) const METRICS: u16 = 8095;
/// The metric that grows with every review.
const REVIEWS: &str = "azwi_mutation_request_count";

impl Observer<'_> {
    /// Looks at each pod behind the Service of the webhook's registration.
    ///
    /// # Errors
    /// The registration or its Service could not be looked at.
    pub(super) async fn webhook(&self, namespace: &str) -> Result<Vec<WebhookEvidence>, String> {
        let (home, pods) = self.webhook_pods().await?;
        let mut seen = Vec::new();
        for pod in &pods {
            let ask = async |port: u16, path: &str| self.cluster.ask_pod(&home, pod, port, path).await;
            let asked = ask(METRICS, "/metrics").await;
            let uncounted = asked.as_ref().ok().and_then(|(_, metrics)| uncounted(metrics, namespace));
            let reviews = match asked {
                Ok((200, metrics)) => Ok(reviews(&metrics, namespace)),
                Ok((status, _)) => Err(format!("GET :{METRICS}/metrics answered {status}")),
                Err(why) => Err(why),
            };
            let (health, readiness) = (ask(HEALTH, "/healthz").await, ask(HEALTH, "/readyz").await);
            seen.push(WebhookEvidence { pod: pod.to_owned(), health, readiness, reviews, uncounted });
        }
        Ok(seen)
    }

    /// What the pods of the webhook have written, as it may be shown.
    ///
    /// # Errors
    /// The registration or its Service could not be looked at.
    pub(super) async fn webhook_log(&self) -> Result<String, String> {
        let (home, pods) = self.webhook_pods().await?;
        let mut log = String::new();
        for pod in &pods {
            log.push_str(&self.cluster.log_since(&home, pod, None).await);
        }
        Ok(self.redactor.text(&log))
    }

    /// What the webhook's own log tells of its failures: a panic, or calls that the API server refused it. Of a webhook
    /// that other cases use too, only since this one began. `None` also where its log cannot be read.
    pub(crate) async fn webhook_finding(&self, since: Option<std::time::Duration>) -> Option<String> {
        let (home, pods) = self.webhook_pods().await.ok()?;
        let mut log = String::new();
        for pod in &pods {
            log.push_str(&self.cluster.log_since(&home, pod, since).await);
        }
        webhook_log::finding(&log)
    }

    /// The namespace of the webhook and its pods: those behind the Service of its registration, ready or not.
    pub(super) async fn webhook_pods(&self) -> Result<(String, Vec<String>), String> {
        let configurations = self.cluster.webhook_configurations(WEBHOOK, self.registration).await;
        let configurations = configurations.map_err(|error| sentence(&error))?;
        let mut services = configurations
            .iter()
            .flat_map(|configuration| configuration["webhooks"].as_array().into_iter().flatten())
            .map(|webhook| &webhook["clientConfig"]["service"]);
        let Some(service) = services.find(|service| service.is_object()) else {
            return Ok((String::new(), Vec::new()));
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (home, name) = (text(&service["namespace"]), text(&service["name"]));
        let endpoints = self.cluster.get("v1", "Endpoints", Some(&home), &name).await;
        let endpoints = endpoints.map_err(|error| sentence(&error))?.unwrap_or_default();
        let addresses = endpoints["subsets"].as_array().into_iter().flatten();
        let addresses = addresses.flat_map(|subset| {
            ["addresses", "notReadyAddresses"]
                .into_iter()
                .flat_map(|list| subset[list].as_array().into_iter().flatten())
        });
        let pods = addresses.filter_map(|address| address["targetRef"]["name"].as_str().map(str::to_owned));
        Ok((home, pods.collect()))
    }
}

/// How many reviews of a namespace a webhook has counted, by Prometheus' text format.
pub(super) fn reviews(metrics: &str, namespace: &str) -> u64 {
    let label = format!("namespace=\"{namespace}\"");
    let lines = metrics.lines().filter(|line| line.starts_with(REVIEWS) && line.contains(&label));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// Why no review of a namespace is counted: the metric's name, or its label, is not there. `None` where both are.
pub(super) fn uncounted(metrics: &str, namespace: &str) -> Option<String> {
    let name = |line: &str| line.split(['{', ' ']).next().unwrap_or_default().to_owned();
    let lines: Vec<&str> = metrics.lines().filter(|line| name(line) == REVIEWS).collect();
    let listed = |all: std::collections::BTreeSet<String>| match all.is_empty() {
        true => "none".to_owned(),
        false => all.into_iter().take(8).collect::<Vec<_>>().join(", "),
    };
    if lines.is_empty() {
        let related = metrics.lines().map(name).filter(|name| name.contains("azwi") || name.contains("mutation"));
        return Some(format!("no metric {REVIEWS}; similar names: {}", listed(related.collect())));
    }
    if lines.iter().any(|line| line.contains(&format!("namespace=\"{namespace}\""))) {
        return None;
    }
    if lines.iter().any(|line| line.contains("{namespace=\"") || line.contains(",namespace=\"")) {
        return Some(format!("{REVIEWS} counts other namespaces only"));
    }
    let labels = lines.iter().flat_map(|line| line.split(['{', ',', '}']).filter_map(|part| part.split_once("=\"")));
    Some(format!(
        "{REVIEWS} has no label `namespace`; it has: {}",
        listed(labels.map(|(label, _)| label.to_owned()).collect())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reviews_of_other_namespaces_and_other_metrics_are_not_counted() {
        let metrics = "# TYPE azwi_mutation_request histogram\n\
            azwi_mutation_request_bucket{namespace=\"a\",le=\"1\"} 9\n\
            azwi_mutation_request_count{namespace=\"a\",service_name=\"webhook\"} 2\n\
            azwi_mutation_request_count{namespace=\"ab\",service_name=\"webhook\"} 4\n\
            other_count{namespace=\"a\"} 8\n";
        assert_eq!(uncounted(metrics, "a"), None);
        assert_eq!((reviews(metrics, "a"), reviews(metrics, "ab"), reviews(metrics, "c")), (2, 4, 0));
    }

    #[test]
    fn a_metric_or_a_label_of_another_name_is_told_by_what_is_missing_and_what_is_there() {
        let told = |metrics: &str| uncounted(metrics, "a").unwrap();
        assert_eq!(
            told("azwi_mutation_requests_count{namespace=\"a\"} 2\nother 1\n"),
            "no metric azwi_mutation_request_count; similar names: azwi_mutation_requests_count"
        );
        assert_eq!(told(""), "no metric azwi_mutation_request_count; similar names: none");
        assert_eq!(
            told("azwi_mutation_request_count{ns=\"a\",service_name=\"w\"} 2\n"),
            "azwi_mutation_request_count has no label `namespace`; it has: ns, service_name"
        );
        assert_eq!(
            told("azwi_mutation_request_count{namespace=\"b\"} 2\n"),
            "azwi_mutation_request_count counts other namespaces only"
        );
    }
}
