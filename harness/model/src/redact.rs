//! The one redactor: takes known secrets and anything shaped like a signed token out of text.

use std::sync::OnceLock;

use base64::Engine as _;
use regex::{Captures, Regex};
use serde_json::Value;

use crate::secret::{Secret, sha256_hex};

/// Replaces known secret values by their hash, and signed tokens by what they claim.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    secrets: Vec<Secret>,
}

/// `header.payload.signature`, each base64url, as RFC 7519 compact serialisation has it.
fn token_shape() -> &'static Regex {
    static SHAPE: OnceLock<Regex> = OnceLock::new();
    SHAPE.get_or_init(|| {
        Regex::new(r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*").expect("the pattern is constant")
    })
}

impl Redactor {
    /// A redactor that knows these secrets. Empty ones are ignored: replacing them would destroy any text.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Self {
        let mut secrets: Vec<Secret> = secrets.into_iter().filter(|s| !s.expose().is_empty()).collect();
        // Longest first, so that a secret that contains another does not leave its remainder behind.
        secrets.sort_by_key(|s| std::cmp::Reverse(s.expose().len()));
        Redactor { secrets }
    }

    /// The text without secrets and tokens.
    pub fn text(&self, text: &str) -> String {
        let mut out = token_shape()
            .replace_all(text, |found: &Captures<'_>| {
                format!("[token sha256:{}]", &sha256_hex(found[0].as_bytes())[..12])
            })
            .into_owned();
        for secret in &self.secrets {
            for form in spellings(secret.expose()) {
                if out.contains(&form) {
                    out = out.replace(&form, &format!("[secret {secret}]"));
                }
            }
        }
        out
    }

    /// The document with every string redacted, keys included.
    pub fn json(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => items.iter().map(|item| self.json(item)).collect(),
            Value::Object(map) => map.iter().map(|(key, value)| (self.text(key), self.json(value))).collect(),
            other => other.clone(),
        }
    }
}

/// A secret as it may stand in text: bare, inside a JSON string, and base64 as a Kubernetes Secret holds it.
fn spellings(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned()];
    let quoted = Value::from(secret).to_string();
    let inner = &quoted[1..quoted.len() - 1];
    if inner != secret {
        forms.insert(0, inner.to_owned());
    }
    forms.push(base64::engine::general_purpose::STANDARD.encode(secret));
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_secrets_disappear_bare_quoted_and_encoded() {
        let redactor = Redactor::new([Secret::new("ca\"nary-5f2b"), Secret::new("")]);
        let encoded = base64::engine::general_purpose::STANDARD.encode("ca\"nary-5f2b");
        let text = format!("Your secret is ca\"nary-5f2b {{\"v\":\"ca\\\"nary-5f2b\"}} {encoded}");
        let shown = redactor.text(&text);
        assert!(!shown.contains("nary-5f2b") && !shown.contains(&encoded), "{shown}");
        assert!(shown.contains("Your secret is [secret sha256:"), "{shown}");
    }

    #[test]
    fn anything_shaped_like_a_token_disappears_from_text_and_json() {
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";
        let shown = Redactor::default().json(&serde_json::json!({ "a": [format!("Bearer {token}")], token: 1 }));
        assert!(!shown.to_string().contains("c2lnbmF0dXJl"), "{shown}");
    }
}
