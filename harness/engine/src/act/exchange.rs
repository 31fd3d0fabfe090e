//! An exchange that the harness makes itself, told in the words of a quick-start pod.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use wi_model::evidence::{Facts, PodEvidence, RunEvidence};
use wi_model::injection::AUDIENCE;
use wi_model::located::Text;
use wi_model::scenario::AskToken;
use wi_model::secret::Secret;

use super::{Done, Stage};
use crate::azure::Azure;

impl Stage<'_> {
    pub(super) async fn ask_token(&mut self, asked: &AskToken) -> Result<Done, String> {
        let text = |text: &Option<Text>| text.as_ref().map(|text| text.value.clone());
        let namespace = text(&asked.namespace).unwrap_or_else(|| self.ready.namespace.clone());
        let audience = text(&asked.audience).unwrap_or_else(|| AUDIENCE.to_owned());
        let mut token = match &asked.token_of {
            Some(other) => {
                let kept = self.ready.tokens.get(&other.value).cloned();
                kept.ok_or_else(|| format!("no earlier ask-token step is named {}", other.value))?
            }
            None => self.cluster.account_token(&namespace, &asked.account, &audience).await?,
        };
        if asked.forged {
            token = forged(&token);
        }
        self.ready.tokens.insert(asked.name.value.clone(), token.clone());
        self.ready.asks.insert(asked.name.value.clone(), asked.clone());
        let documents = present(self.azure, &self.ready.facts, asked, &token).await?;
        let shown = json!({
            "metadata": { "name": asked.name.value, "namespace": namespace },
            "spec": { "serviceAccountName": asked.account.value },
        });
        let evidence = PodEvidence {
            sent: shown.clone(),
            stored: Some(shown),
            own: true,
            tenant: text(&asked.tenant_id),
            runs: vec![RunEvidence::own(documents)],
            ..PodEvidence::default()
        };
        self.pods.insert((self.ready.namespace.clone(), asked.name.value.clone()), evidence);
        Ok(Done::Accepted)
    }
}

/// Presents a token to the identity provider, and tells what came of it as a quick-start pod would.
pub(crate) async fn present(
    azure: &Azure,
    facts: &Facts,
    asked: &AskToken,
    token: &Secret,
) -> Result<Vec<Value>, String> {
    let text = |text: &Option<Text>| text.as_ref().map(|text| text.value.clone());
    let target = azure.target();
    let scope = text(&asked.scope).unwrap_or_else(|| format!("https://{}/.default", facts.vault_domain));
    let tenant = text(&asked.tenant_id).unwrap_or_else(|| target.tenant_id.clone());
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", asked.client_id.value.as_str()),
        ("scope", scope.as_str()),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", token.expose()),
    ];
    let (status, body) = azure.exchange(&facts.authority, &tenant, &form).await.map_err(|error| error.to_string())?;
    let (header, claims) = (token_part(token, 0), token_part(token, 1));
    let mut documents = vec![
        json!({ "quickstart": 1, "event": "token", "header": header, "claims": claims, "sha256": token.sha256() }),
        answer(status, &body),
    ];
    if let (Some(wanted), Some(access)) = (&asked.reads, body["access_token"].as_str().map(Secret::new)) {
        let url = facts.vaults.get(&wanted.vault.value).map_or("", String::as_str);
        let version = wanted.api_version.as_ref().map(|version| version.value.as_str());
        let read = azure.vault(url).read(&wanted.secret, version, &access).await.map_err(|error| error.to_string())?;
        documents.push(read_document(&wanted.secret, url, read));
    }
    documents.push(json!({ "quickstart": 1, "event": "end" }));
    Ok(documents)
}

/// What a vault answered, as a quick-start pod tells it; a value by its hash.
fn read_document(secret: &str, vault: &str, (status, body): (u16, Value)) -> Value {
    let mut document = json!({ "quickstart": 1, "event": "secret-read", "vault": vault, "secret": secret });
    if let Some(value) = body["value"].as_str().map(Secret::new) {
        document["outcome"] = "allowed".into();
        document["value-sha256"] = value.sha256().into();
        document["version"] = body["id"].as_str().and_then(|id| id.rsplit('/').next()).into();
        return document;
    }
    let error = &body["error"];
    document["outcome"] = match status {
        401 => "unauthorized",
        403 => "forbidden",
        404 => "missing",
        _ => "refused",
    }
    .into();
    document["status"] = status.into();
    document["code"] = error["code"].clone();
    document["inner"] = error["innererror"]["code"].clone();
    document["message"] = error["message"].clone();
    document
}

/// What the identity provider answered, as a quick-start pod tells it.
fn answer(status: u16, body: &Value) -> Value {
    if let Some(access) = body["access_token"].as_str().map(Secret::new) {
        return json!({
            "quickstart": 1, "event": "exchange", "outcome": "granted", "claims": token_part(&access, 1),
            "sha256": access.sha256(), "token-type": body["token_type"], "expires-in": body["expires_in"],
        });
    }
    let message = body["error_description"].as_str().unwrap_or_default();
    let code: String = message.chars().take_while(|c| *c != ':').collect();
    // Trace and correlation ids differ each time and say nothing.
    let message = message.split(" Trace ID:").next().unwrap_or_default().trim_end();
    json!({
        "quickstart": 1, "event": "exchange", "outcome": "refused", "status": status, "error": body["error"],
        "code": code, "message": message,
    })
}

/// A decoded part of a token; never the signature.
pub(crate) fn token_part(token: &Secret, index: usize) -> Value {
    let text = token.expose().split('.').nth(index).unwrap_or_default();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap_or_default()).unwrap_or_default()
}

/// The same claims under a signature that is none of theirs.
fn forged(token: &Secret) -> Secret {
    let (signed, signature) = token.expose().rsplit_once('.').unwrap_or((token.expose(), ""));
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
    if let Some(byte) = bytes.get_mut(16) {
        *byte ^= 0xff;
    }
    Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_as_a_pod_tells_it_without_what_differs_each_time() {
        let body = json!({ "error": "invalid_client",
            "error_description": "AADSTS700213: No match. Trace ID: 1 Correlation ID: 2 Timestamp: 3" });
        let told = answer(401, &body);
        assert_eq!(
            (told["code"].as_str(), told["message"].as_str()),
            (Some("AADSTS700213"), Some("AADSTS700213: No match."))
        );
    }

    #[test]
    fn a_forged_token_keeps_its_claims_and_loses_its_signature() {
        let signature = URL_SAFE_NO_PAD.encode([7u8; 256]);
        let token = Secret::new(format!("e30.eyJzdWIiOiJ4In0.{signature}"));
        let forged = forged(&token);
        assert_eq!(token_part(&forged, 1)["sub"], "x");
        assert_ne!(forged.expose(), token.expose());
    }
}
