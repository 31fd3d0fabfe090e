//! The webhook's own word: its probes and its metrics, asked of each of its pods through the API server.

use serde_json::Value;
use wi_model::evidence::WebhookEvidence;

use super::Observer;
use crate::cluster::sentence;
use crate::webhook::WEBHOOK;

/// Where the upstream webhook answers probes, and where it shows its metrics, unless it is told otherwise.
/// Source: `--health-addr` and `--metrics-addr` of its command line.
const HEALTH: u16 = 9440;
const METRICS: u16 = 8095;
/// The metric that grows with every review.
const REVIEWS: &str = "azwi_mutation_request_count";

impl Observer<'_> {
    /// Looks at each pod behind the Service of the webhook's registration.
    ///
    /// # Errors
    /// The registration or its Service could not be looked at.
    pub(super) async fn webhook(&self, namespace: &str) -> Result<Vec<WebhookEvidence>, String> {
        let configurations = self.cluster.webhook_configurations(WEBHOOK, self.registration).await;
        let configurations = configurations.map_err(|error| sentence(&error))?;
        let mut services = configurations
            .iter()
            .flat_map(|configuration| configuration["webhooks"].as_array().into_iter().flatten())
            .map(|webhook| &webhook["clientConfig"]["service"]);
        let Some(service) = services.find(|service| service.is_object()) else { return Ok(Vec::new()) };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (home, name) = (text(&service["namespace"]), text(&service["name"]));
        let endpoints = self.cluster.get("v1", "Endpoints", Some(&home), &name).await;
        let endpoints = endpoints.map_err(|error| sentence(&error))?.unwrap_or_default();
        let addresses = endpoints["subsets"].as_array().into_iter().flatten();
        let addresses = addresses.flat_map(|subset| subset["addresses"].as_array().into_iter().flatten());
        let mut seen = Vec::new();
        for pod in addresses.filter_map(|address| address["targetRef"]["name"].as_str()) {
            let ask = async |port: u16, path: &str| self.cluster.ask_pod(&home, pod, port, path).await;
            let reviews = match ask(METRICS, "/metrics").await {
                Ok((200, metrics)) => Ok(reviews(&metrics, namespace)),
                Ok((status, _)) => Err(format!("/metrics answered {status}")),
                Err(why) => Err(why),
            };
            let (health, readiness) = (ask(HEALTH, "/healthz").await, ask(HEALTH, "/readyz").await);
            seen.push(WebhookEvidence { pod: pod.to_owned(), health, readiness, reviews });
        }
        Ok(seen)
    }
}

/// How many reviews of a namespace a webhook has counted, by Prometheus' text format.
fn reviews(metrics: &str, namespace: &str) -> u64 {
    let label = format!("namespace=\"{namespace}\"");
    let lines = metrics.lines().filter(|line| line.starts_with(REVIEWS) && line.contains(&label));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
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
        assert_eq!((reviews(metrics, "a"), reviews(metrics, "ab"), reviews(metrics, "c")), (2, 4, 0));
    }
}
