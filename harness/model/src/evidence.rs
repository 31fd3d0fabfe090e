//! Facts seen, each from one place in the world. No judgement.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What was seen of one pod.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PodEvidence {
    /// The pod as we sent it; of a workload's pod, the template.
    pub sent: Value,
    /// The workload that made it, where one did: kind and name.
    pub workload: Option<(String, String)>,
    /// Its account as it was just before the pod was created.
    pub account: Option<Value>,
    /// Rounds of the program that ended before we had it begin another; they count no longer.
    pub past_rounds: usize,
    /// Exchanges that were recorded before that.
    pub past_exchanges: usize,
    /// How often we had it begin another round.
    pub asked: usize,
    /// Whether there is no pod behind it: an exchange that the harness made itself.
    pub own: bool,
    /// The pod as the API server first stored it.
    pub stored: Option<Value>,
    /// The API server's refusal.
    pub refused: Option<RefusalEvidence>,
    /// The pod as last seen.
    pub latest: Option<Value>,
    /// Logs by container, secrets taken out.
    pub logs: BTreeMap<String, String>,
    /// The quick-start documents of its logs, in order.
    pub documents: Vec<Value>,
    /// Hash of the secret's value where a sample printed it in a line of its own.
    pub printed_secret_sha256: Option<String>,
    /// Events about it.
    pub events: Vec<EventEvidence>,
    /// What webhooks were asked about it and what they answered, where the target can tell.
    pub admission: Vec<Value>,
    /// What the identity provider and the vaults saw of it, where the target can tell.
    pub exchanges: Vec<Value>,
}

/// What was seen of the cluster beside its pods, for one expectation.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClusterEvidence {
    /// The object that is asked for.
    pub object: Option<Value>,
    /// Events about it.
    pub events: Vec<EventEvidence>,
    /// The discovery document, or why there is none.
    pub discovery: Option<Result<Value, String>>,
    /// The published keys, or why there are none.
    pub keys: Option<Result<Value, String>>,
    /// Header and claims of a token that the cluster issues now.
    pub issued: Option<(Value, Value)>,
    /// The status of a TokenReview.
    pub review: Option<Value>,
    /// Whether the cluster says that an account may do what is asked, and why.
    pub access: Option<(bool, String)>,
    /// Status and `WWW-Authenticate` of a vault's answer to nobody.
    pub challenge: Option<(u16, String)>,
    /// Places where a credential was found.
    pub credentials: Vec<String>,
    /// How many objects were looked through.
    pub objects: usize,
}

/// A refusal by the API server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RefusalEvidence {
    /// HTTP status.
    pub status: u16,
    /// Reason word, often empty for webhooks.
    pub reason: String,
    /// The message.
    pub message: String,
}

/// An event about a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EventEvidence {
    /// `Normal` or `Warning`.
    pub kind: String,
    /// Reason word.
    pub reason: String,
    /// The message.
    pub message: String,
}

/// What the harness itself knows because it made it, or asked the target.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The cluster's issuer, byte for byte.
    pub issuer: String,
    /// The tenant.
    pub tenant_id: String,
    /// The identity provider's address, with trailing slash.
    pub authority: String,
    /// The webhook's profile, where known.
    pub profile: Option<String>,
    /// Principals by handle.
    pub principals: BTreeMap<String, Principal>,
    /// Vault addresses by handle, with trailing slash.
    pub vaults: BTreeMap<String, String>,
    /// Hashes of secret values, by vault handle and secret name.
    pub secret_sha256: BTreeMap<(String, String), String>,
    /// Whether pods run, so that what they print is to be waited for.
    pub pods_run: bool,
    /// Whether the identity provider's and vaults' own record can be read, so that both sides must agree.
    pub request_journal: bool,
}

/// An identity or service principal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Principal {
    /// The id that pods name.
    pub client_id: String,
    /// The id that rights are given to.
    pub principal_id: String,
}

impl PodEvidence {
    /// The last document of this kind, of a round that counts.
    pub fn document(&self, event: &str) -> Option<&Value> {
        self.current().iter().rev().find(|document| document["event"] == event)
    }

    /// The first document of this kind, of any round.
    pub fn first_document(&self, event: &str) -> Option<&Value> {
        self.documents.iter().find(|document| document["event"] == event)
    }

    /// How many rounds have ended.
    pub fn rounds(&self) -> usize {
        self.documents.iter().filter(|document| document["event"] == "end").count()
    }

    /// The documents of the rounds that count.
    pub fn current(&self) -> &[Value] {
        let past = self.past_rounds.checked_sub(1).map_or(Some(0), |last| {
            let mut ends = self.documents.iter().enumerate().filter(|(_, document)| document["event"] == "end");
            ends.nth(last).map(|(index, _)| index + 1)
        });
        &self.documents[past.unwrap_or(self.documents.len())..]
    }

    /// Reads quick-start documents and sample lines out of a log. The log must be raw: secrets still in it are hashed
    /// here and nowhere kept.
    pub fn read_log(&mut self, raw: &str) {
        for line in raw.lines() {
            if let Ok(document) = serde_json::from_str::<Value>(line)
                && document["quickstart"].is_u64()
            {
                self.documents.push(document);
            } else if let Some(value) = printed_secret(line) {
                self.printed_secret_sha256 = Some(crate::secret::sha256_hex(value.as_bytes()));
            }
        }
    }

    /// The phase as last seen.
    pub fn phase(&self) -> &str {
        self.latest.as_ref().and_then(|pod| pod["status"]["phase"].as_str()).unwrap_or("unknown")
    }

    /// Why its containers wait or how they ended, in a phrase.
    pub fn condition(&self) -> String {
        let Some(latest) = &self.latest else { return "never seen".to_owned() };
        let mut phrases = vec![format!("phase {}", self.phase())];
        for list in ["initContainerStatuses", "containerStatuses"] {
            for status in latest["status"][list].as_array().into_iter().flatten() {
                let name = status["name"].as_str().unwrap_or("?");
                for (state, detail) in status["state"].as_object().into_iter().flatten() {
                    let reason = detail["reason"].as_str().unwrap_or_default();
                    let message = detail["message"].as_str().unwrap_or_default();
                    let code = detail["exitCode"].as_i64().map(|code| format!(" exit {code}")).unwrap_or_default();
                    phrases.push(format!("{name} {state} {reason}{code} {message}").trim_end().to_owned());
                }
            }
        }
        for event in self.events.iter().filter(|event| event.kind == "Warning") {
            phrases.push(format!("{}: {}", event.reason, event.message));
        }
        phrases.join("; ")
    }
}

/// The secret's value in the line that an msal quick-start sample prints: .NET, Java, Node and Python print a sentence,
/// Go a log line with a quoted value.
fn printed_secret(line: &str) -> Option<&str> {
    if let Some(at) = line.find("\"successfully got secret\" secret=\"") {
        let rest = &line[at + "\"successfully got secret\" secret=\"".len()..];
        return rest.strip_suffix('"').or_else(|| rest.split_once('"').map(|(value, _)| value));
    }
    ["Your secret is ", "successfully got secret, secret="].iter().find_map(|start| line.strip_prefix(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_gives_documents_and_the_hash_of_a_printed_secret_but_not_the_secret() {
        let mut evidence = PodEvidence::default();
        evidence.read_log("START 2026 (pod)\n{\"quickstart\":1,\"event\":\"token\",\"sha256\":\"00\"}\n{\"other\":1}\nYour secret is Hello!\n");
        assert_eq!(evidence.documents.len(), 1);
        assert_eq!(evidence.document("token").unwrap()["sha256"], "00");
        assert_eq!(evidence.printed_secret_sha256, Some(crate::secret::sha256_hex(b"Hello!")));
        assert!(!format!("{evidence:?}").contains("Hello!"));
    }

    #[test]
    fn the_go_samples_line_is_read_too() {
        assert_eq!(printed_secret(r#"I1123 main.go:9] "successfully got secret" secret="Hello!""#), Some("Hello!"));
    }
}
