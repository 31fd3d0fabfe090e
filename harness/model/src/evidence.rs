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
    /// How often we had it begin another round. What it says in a round that was begun for less counts no longer.
    pub asked: usize,
    /// Exchanges that were recorded before it was last asked.
    pub past_exchanges: usize,
    /// Whether there is no pod behind it: an exchange that the harness made itself.
    pub own: bool,
    /// The pod as the API server first stored it.
    pub stored: Option<Value>,
    /// The API server's refusal.
    pub refused: Option<RefusalEvidence>,
    /// Why a workload could not make it, as the workload's controller was told.
    pub not_made: Option<String>,
    /// The pod as last seen.
    pub latest: Option<Value>,
    /// Logs by container, secrets taken out.
    pub logs: BTreeMap<String, String>,
    /// The quick-start documents of its logs, in order.
    pub documents: Vec<Value>,
    /// Where a sample printed the secret's value in a line of its own.
    pub printed: Vec<PrintedSecret>,
    /// Events about it.
    pub events: Vec<EventEvidence>,
    /// What webhooks were asked about it and what they answered, where the target can tell.
    pub admission: Vec<Value>,
    /// What the identity provider and the vaults saw of it, where the target can tell.
    pub exchanges: Vec<Value>,
}

impl PodEvidence {
    /// What the node lacked to run the pod as it is: then what the pod did not do is nobody's fault who is judged.
    pub fn fault_of_node(&self) -> Option<String> {
        const REASONS: [&str; 4] = ["FailedCreatePodSandBox", "FailedToWriteLog", "Evicted", "NodeNotReady"];
        let event = self.events.iter().find(|event| REASONS.contains(&event.reason.as_str()));
        if let Some(event) = event {
            return Some(format!("{}: {}", event.reason, event.message));
        }
        let latest = self.latest.as_ref()?;
        let all = ["initContainerStatuses", "containerStatuses"].into_iter();
        let mut waiting = all
            .flat_map(|list| latest["status"][list].as_array().into_iter().flatten())
            .map(|status| &status["state"]["waiting"]);
        let waiting = waiting.find(|waiting| waiting["reason"] == "CreateContainerError")?;
        Some(format!("CreateContainerError: {}", waiting["message"].as_str().unwrap_or_default()))
    }
}

/// A line of a sample that shows the secret's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PrintedSecret {
    /// How many documents came before the line.
    pub documents: usize,
    /// Hash of the value.
    pub sha256: String,
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
    /// What each pod of the webhook says of itself.
    pub webhook: Vec<WebhookEvidence>,
    /// Places where a credential was found.
    pub credentials: Vec<String>,
    /// How many objects were looked through.
    pub objects: usize,
}

/// What a pod of the webhook says of itself, or why it could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct WebhookEvidence {
    /// The pod's name.
    pub pod: String,
    /// Status and text of `/healthz`.
    pub health: Result<(u16, String), String>,
    /// Status and text of `/readyz`.
    pub readiness: Result<(u16, String), String>,
    /// How many reviews of the case's namespace its metrics count.
    pub reviews: Result<u64, String>,
    /// Why that is none, where the metric or its label is not there.
    pub uncounted: Option<String>,
}

/// A review of a pod that the webhook under test answered.
#[derive(Debug, Clone, PartialEq)]
pub struct AdmissionEvidence {
    /// The namespace that the pod is made in.
    pub namespace: String,
    /// The pod as the webhook was shown it.
    pub sent: Value,
    /// The account that it runs as, as it is after the review; `None` where there is none.
    pub account: Option<Value>,
    /// What became of it.
    pub answered: Answered,
    /// Namespace and name of the Service by which the webhook was reached.
    pub service: Option<(String, String)>,
}

/// What became of a review.
#[derive(Debug, Clone, PartialEq)]
pub enum Answered {
    /// The pod with the answer's patch applied.
    Admitted(Value),
    /// A refusal, with the webhook's own words.
    Refused(RefusalEvidence),
    /// No usable answer.
    Failed(String),
}

impl AdmissionEvidence {
    /// The pod's name, or what it will be made of.
    pub fn shown_name(&self) -> String {
        let text = |field: &str| self.sent["metadata"][field].as_str().filter(|text| !text.is_empty());
        text("name").map(str::to_owned).or(text("generateName").map(|prefix| format!("{prefix}…"))).unwrap_or_default()
    }
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
    /// The version that the API server states.
    pub kubernetes: String,
    /// Settings of the webhook that the case asked for.
    pub webhook_settings: BTreeMap<String, String>,
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
        self.current().filter(|(_, document)| document["event"] == event).last().map(|(_, document)| document)
    }

    /// The first document of this kind, of any round.
    pub fn first_document(&self, event: &str) -> Option<&Value> {
        self.documents.iter().find(|document| document["event"] == event)
    }

    /// The last document of the rounds that count.
    pub fn last_document(&self) -> Option<&Value> {
        self.current().last().map(|(_, document)| document)
    }

    /// Hash of the value that was printed after the last read that counts; of a sample that prints no documents, the last.
    pub fn printed_secret(&self) -> Option<&str> {
        let read = self.current().filter(|(_, document)| document["event"] == "secret-read").last();
        let of_read = |printed: &&PrintedSecret| match read {
            Some((index, _)) => printed.documents == index + 1,
            None => self.documents.is_empty(),
        };
        self.printed.iter().rfind(of_read).map(|printed| printed.sha256.as_str())
    }

    /// The documents of the rounds that count, with their places. A round tells what it was begun for, so one that went on
    /// while it was asked for the next is not taken for that.
    fn current(&self) -> impl Iterator<Item = (usize, &Value)> {
        let wanted = self.asked.to_string();
        let mut counts = self.asked == 0;
        self.documents.iter().enumerate().filter(move |(_, document)| {
            if document["event"] == "given" && wanted != "0" {
                counts = document["again"] == *wanted;
            }
            counts
        })
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
                let sha256 = crate::secret::sha256_hex(value.as_bytes());
                self.printed.push(PrintedSecret { documents: self.documents.len(), sha256 });
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
        assert_eq!(evidence.printed, [PrintedSecret { documents: 1, sha256: crate::secret::sha256_hex(b"Hello!") }]);
        assert!(!format!("{evidence:?}").contains("Hello!"));
    }

    #[test]
    fn the_go_samples_line_is_read_too() {
        assert_eq!(printed_secret(r#"I1123 main.go:9] "successfully got secret" secret="Hello!""#), Some("Hello!"));
    }

    /// A round as a quick-start prints it, cut off after so many lines.
    fn round(again: &str, value: &str, lines: usize) -> String {
        let all = [
            format!(r#"{{"quickstart":1,"event":"given","again":"{again}"}}"#),
            format!(r#"{{"quickstart":1,"event":"secret-read","length":{}}}"#, value.len()),
            format!("Your secret is {value}"),
            r#"{"quickstart":1,"event":"end"}"#.to_owned(),
        ];
        all[..lines].join("\n") + "\n"
    }

    fn asked(log: &str) -> PodEvidence {
        let mut evidence = PodEvidence { asked: 1, ..PodEvidence::default() };
        evidence.read_log(log);
        evidence
    }

    #[test]
    fn a_round_that_was_not_over_when_the_next_was_asked_for_does_not_count() {
        for lines in 0..=4 {
            let evidence = asked(&round("0", "old", lines));
            assert!(evidence.last_document().is_none() && evidence.printed_secret().is_none(), "{lines} lines");
        }
    }

    #[test]
    fn a_line_that_an_earlier_round_printed_is_not_taken_for_one_of_this_round() {
        let old = round("0", "old", 4);
        let evidence = asked(&format!("{old}{}", round("1", "newer", 2)));
        assert_eq!(evidence.document("secret-read").unwrap()["length"], 5);
        assert_eq!(evidence.printed_secret(), None);
        let evidence = asked(&format!("{old}{}", round("1", "newer", 4)));
        assert_eq!(evidence.printed_secret(), Some(crate::secret::sha256_hex(b"newer").as_str()));
    }

    #[test]
    fn of_two_containers_each_one_has_the_rounds_that_count() {
        let (old, new) = (round("0", "old", 4), round("1", "newer", 4));
        let evidence = asked(&format!("{old}{new}{old}"));
        assert_eq!(evidence.document("secret-read").unwrap()["length"], 5);
        assert_eq!(evidence.current().count(), 3);
    }
}
