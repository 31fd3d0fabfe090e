//! Whether a cluster looks like production, where a run that makes namespaces and registers webhooks must be asked for
//! twice.

use k8s_openapi::api::core::v1::Node;

/// More nodes than a test cluster has.
pub const MANY_NODES: usize = 10;
/// Words that people give to what must not break.
const WORDS: [&str; 5] = ["prod", "production", "prd", "live", "customer"];

/// What speaks for production, in words; `None` when nothing does.
pub fn looks_like_production(context: &str, server: &str, nodes: &[Node], most: usize) -> Option<String> {
    for (what, text) in [("the context", context), ("the API server", server)] {
        if let Some(word) = word_in(text) {
            return Some(format!("{what} {text} says {word:?}"));
        }
    }
    for node in nodes {
        let labels = node.metadata.labels.iter().flatten();
        for (key, value) in labels.filter(|(key, _)| !key.starts_with("kubernetes.io/") && !key.contains("k8s.io/")) {
            if word_in(value).is_some() {
                return Some(format!(
                    "node {} has the label {key}={value}",
                    node.metadata.name.as_deref().unwrap_or("?")
                ));
            }
        }
    }
    (nodes.len() > most).then(|| format!("it has {} nodes", nodes.len()))
}

/// A word of production that stands by itself in a name: `prod-weu`, not `product`.
fn word_in(text: &str) -> Option<&'static str> {
    let lower = text.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_ascii_alphabetic());
    words.find_map(|word| WORDS.into_iter().find(|known| *known == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(labels: &[(&str, &str)]) -> Node {
        let mut node = Node::default();
        node.metadata.name = Some("n".into());
        node.metadata.labels = Some(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        node
    }

    #[test]
    fn names_labels_and_size_speak_for_production() {
        let told =
            |context: &str, nodes: &[Node]| looks_like_production(context, "https://10.0.0.1", nodes, MANY_NODES);
        assert_eq!(told("weu-prod-1", &[]).as_deref(), Some("the context weu-prod-1 says \"prod\""));
        assert_eq!(
            told("dev", &[node(&[("environment", "Production")])]).as_deref(),
            Some("node n has the label environment=Production")
        );
        assert_eq!(told("dev", &vec![node(&[]); 11]).as_deref(), Some("it has 11 nodes"));
        let server = looks_like_production("dev", "https://live.example.com", &[], MANY_NODES);
        assert_eq!(server.as_deref(), Some("the API server https://live.example.com says \"live\""));
    }

    #[test]
    fn words_that_only_hold_one_do_not() {
        for name in ["my-dev", "product-test", "delivery", "preprod2", "alive"] {
            assert_eq!(
                looks_like_production(
                    name,
                    "https://127.0.0.1",
                    &[node(&[("kubernetes.io/hostname", "prod")])],
                    MANY_NODES
                ),
                None,
                "{name}"
            );
        }
    }
}
