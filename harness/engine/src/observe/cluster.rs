//! What an expectation asks of the cluster beside its pods.

use base64::Engine as _;
use serde_json::Value;
use wi_model::evidence::ClusterEvidence;
use wi_model::injection::AUDIENCE;
use wi_model::scenario::Expectation;
use wi_model::secret::Secret;

use super::Observer;
use crate::act::token_part;
use crate::cluster::sentence;
use crate::provision::Provisioned;

impl Observer<'_> {
    /// Looks at what one expectation speaks of.
    ///
    /// # Errors
    /// It could not be looked at.
    pub(crate) async fn look_at_cluster(
        &self,
        expectation: &Expectation,
        ready: &Provisioned,
    ) -> Result<ClusterEvidence, String> {
        let (mut seen, namespace) = (ClusterEvidence::default(), ready.namespace.as_str());
        let home = |named: &Option<wi_model::located::Text>| {
            named.as_ref().map_or_else(|| namespace.to_owned(), |named| named.value.clone())
        };
        match expectation {
            Expectation::Object(wanted) => {
                let api_version = wanted.api_version.as_ref().map_or("v1", |text| text.value.as_str());
                let found =
                    self.cluster.get(api_version, &wanted.kind, Some(&home(&wanted.namespace)), &wanted.name).await;
                seen.object = found.map_err(|error| sentence(&error))?;
            }
            Expectation::Event(wanted) => {
                seen.events = self.events_about(&home(&wanted.namespace), &wanted.of).await?;
            }
            Expectation::Issuer(_) => {
                let discovery = self.cluster.get_path("/.well-known/openid-configuration").await;
                seen.keys = Some(self.cluster.get_path("/openid/v1/jwks").await);
                seen.discovery = Some(discovery);
                let token = self.cluster.account_token(namespace, "default", AUDIENCE).await?;
                seen.issued = Some((token_part(&token, 0), token_part(&token, 1)));
            }
            Expectation::TokenReview(wanted) => {
                let (namespace, account) = (home(&wanted.namespace), &wanted.account.value);
                let token = self.cluster.account_token(&namespace, account, &wanted.audience).await?;
                seen.review = Some(self.cluster.review(&token).await?);
            }
            Expectation::Access(wanted) => {
                let text = |text: &Option<wi_model::located::Text>| text.as_ref().map(|text| text.value.clone());
                let user = format!("system:serviceaccount:{}:{}", home(&wanted.namespace), wanted.account.value);
                let asked = serde_json::json!({
                    "namespace": home(&wanted.r#in), "verb": wanted.verb.value, "resource": wanted.resource.value,
                    "group": text(&wanted.group).unwrap_or_default(),
                });
                seen.access = Some(self.cluster.may(&user, &asked).await?);
            }
            Expectation::Challenge(wanted) => {
                let url = ready.facts.vaults.get(&wanted.vault.value).cloned().unwrap_or_default();
                let answer = self.azure.vault(&url).knock().await.map_err(|error| error.to_string())?;
                seen.challenge = Some(answer);
            }
            Expectation::Webhook(wanted) => {
                seen.webhook = self.webhook(namespace).await?;
                if !wanted.logged.is_empty() {
                    seen.webhook_log = self.webhook_log().await?;
                }
            }
            Expectation::NoCredential(wanted) => {
                for kind in &wanted.in_kinds {
                    let objects =
                        self.cluster.all("v1", kind, Some(namespace)).await.map_err(|error| sentence(&error))?;
                    seen.objects += objects.len();
                    for object in &objects {
                        let name = object["metadata"]["name"].as_str().unwrap_or_default();
                        let place = |at: &str| format!("{} {name}: {at}", kind.value);
                        credentials(object, "", &ready.secrets, &mut |at| seen.credentials.push(place(at)));
                    }
                }
            }
            _ => return Err("this expectation speaks of a pod".to_owned()),
        }
        Ok(seen)
    }
}

/// Hands over the path of each string that Azure would take for a credential: a signed token, a key, a secret of the case.
fn credentials(value: &Value, at: &str, secrets: &[Secret], found: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(text).ok();
            let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
            let known =
                |text: &str| secrets.iter().any(|secret| secret.expose().len() > 3 && text.contains(secret.expose()));
            let is = |text: &str| known(text) || token(text) || text.contains("PRIVATE KEY-----");
            if is(text) || is(&decoded) {
                found(at);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                credentials(item, &format!("{at}[{index}]"), secrets, found);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                credentials(item, &format!("{at}.{key}"), secrets, found);
            }
        }
        _ => {}
    }
}

/// Whether a text that programs wrote holds something that Azure would take for a credential.
pub(super) fn holds_a_credential(text: &str, secrets: &[Secret]) -> bool {
    let known = secrets.iter().any(|secret| secret.expose().len() > 3 && text.contains(secret.expose()));
    known || token(text) || text.contains("PRIVATE KEY-----")
}

/// Whether a text holds a signed token that was made for somebody: one without an audience, as older API servers keep for
/// each account, is good for nothing but their own cluster.
fn token(text: &str) -> bool {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
    words.filter(|word| word.starts_with("eyJ") && word.split('.').count() == 3).any(|word| {
        let claims = token_part(&Secret::new(word), 1);
        claims["aud"].is_string() || claims["aud"].is_array()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_keys_and_known_secrets_are_found_wherever_they_lie_and_encoded_too() {
        let encoded = base64::engine::general_purpose::STANDARD.encode("the-canary-9");
        let object = json!({
            "data": { "a": encoded, "b": "-----BEGIN PRIVATE KEY-----" },
            "metadata": { "annotations": { "t": "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2lnbmF0dXJl", "old": "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl" } },
            "spec": { "x": ["harmless", "the-canary-9!"] },
        });
        let mut found = Vec::new();
        credentials(&object, "", &[Secret::new("the-canary-9")], &mut |at| found.push(at.to_owned()));
        assert_eq!(found, [".data.a", ".data.b", ".metadata.annotations.t", ".spec.x[1]"]);
    }
}
