//! What a pod says beside what the identity provider and the vaults recorded of it: each claim needs a record of its own, and
//! each record somebody who owns to it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::voice::equipped;
use super::{Verdict, not_yet, text};
use crate::evidence::{PodEvidence, RunEvidence};
use crate::injection;
use crate::located::Text;
use crate::verdict::Hop;

/// Barriers before anybody looks at who calls, so that the vault's record names nobody.
const NAMELESS: [&str; 2] = ["ForbiddenByFirewall", "ForbiddenByConnection"];

/// Something that a container says happened at the identity provider or at a vault.
struct Claim<'a> {
    run: &'a RunEvidence,
    hop: Hop,
    what: What<'a>,
}

enum What<'a> {
    /// An access token, for the assertion that the container read in the same round.
    Granted { uti: &'a Value, access: &'a Value, assertion: Option<&'a Value>, by_proxy: bool },
    /// A token that the SDK had kept from an earlier round.
    Kept { access: &'a Value },
    /// A refusal with a code, and the status where the pod saw it.
    Refused { code: u64, status: Option<&'a Value>, assertion: Option<&'a Value> },
    /// A vault's answer to an access token.
    Read { uti: Option<&'a Value>, said: &'a Value },
    /// A sample's line with the value.
    Printed { sha256: &'a str },
}

/// A claim without a record, or a record without a claim.
struct Finding<'a> {
    /// The container that claims; nothing where nobody does.
    container: Option<&'a str>,
    hop: Hop,
    expected: String,
    observed: String,
}

/// That claims and records about a pod agree, up to a hop; of one container where one is named. Only for targets whose record
/// can be read.
pub(super) fn agrees(pod: &PodEvidence, container: Option<&Text>, hop: Hop) -> Verdict {
    let claims = claims(pod);
    let mut found = Matching::new(pod, &claims).findings();
    found.retain(|finding| finding.hop <= hop);
    if let Some(wanted) = container {
        // What nobody owns to may be another container's that prints nothing.
        let others_may = others_may_ask_in_silence(pod, &wanted.value);
        found.retain(|finding| finding.container.map_or(!others_may, |container| container == wanted.value));
    }
    match found.into_iter().next() {
        None => Ok(()),
        // The record of what is under way is there before the pod says so, and a moment later both are.
        Some(finding) => {
            let place = match finding.container {
                Some("") => format!("exchange {}", pod.name()),
                Some(container) => format!("pod {}, container {container}", pod.name()),
                None => format!("pod {}", pod.name()),
            };
            Err(not_yet(finding.hop, finding.expected, format!("{place}: {}", finding.observed)))
        }
    }
}

fn others_may_ask_in_silence(pod: &PodEvidence, container: &str) -> bool {
    let Some(stored) = &pod.stored else { return false };
    let others = injection::containers(stored).into_iter().filter(|other| other.name != container);
    others.into_iter().any(|other| equipped(stored, other.name) && !pod.runs_of(other.name).any(RunEvidence::speaks))
}

fn claims(pod: &PodEvidence) -> Vec<Claim<'_>> {
    let mut claims = Vec::new();
    for run in &pod.runs {
        for round in run.rounds() {
            let documents = &run.documents[round];
            let of = |event: &str| documents.iter().find(|document| document["event"] == event);
            let assertion = of("token").map(|token| &token["sha256"]);
            let granted = of("exchange").filter(|said| said["outcome"] == "granted");
            let uti = granted.map(|said| &said["claims"]["uti"]);
            for said in documents {
                let (hop, what) = match said["event"].as_str().unwrap_or_default() {
                    "exchange" => (Hop::Exchange, exchange(said, assertion)),
                    "metadata" => (Hop::Exchange, metadata(said, assertion)),
                    "secret-read" => (Hop::Secret, read(said, uti)),
                    _ => continue,
                };
                claims.extend(what.map(|what| Claim { run, hop, what }));
            }
        }
        if run.documents.is_empty() {
            let printed = run.printed.iter();
            claims.extend(printed.map(|printed| Claim {
                run,
                hop: Hop::Secret,
                what: What::Printed { sha256: &printed.sha256 },
            }));
        }
    }
    claims
}

fn exchange<'a>(said: &'a Value, assertion: Option<&'a Value>) -> Option<What<'a>> {
    match said["outcome"].as_str()? {
        "granted" if said["cached"] == true => Some(What::Kept { access: &said["sha256"] }),
        "granted" => {
            Some(What::Granted { uti: &said["claims"]["uti"], access: &said["sha256"], assertion, by_proxy: false })
        }
        "refused" => Some(What::Refused { code: code(&said["code"])?, status: Some(&said["status"]), assertion }),
        _ => None,
    }
}

fn metadata<'a>(said: &'a Value, assertion: Option<&'a Value>) -> Option<What<'a>> {
    let access = &said["body"]["access_token"];
    if access.is_object() {
        return Some(What::Granted {
            uti: &access["claims"]["uti"],
            access: &access["sha256"],
            assertion,
            by_proxy: true,
        });
    }
    Some(What::Refused { code: code(&said["message"])?, status: None, assertion })
}

fn read<'a>(said: &'a Value, uti: Option<&'a Value>) -> Option<What<'a>> {
    matches!(said["outcome"].as_str()?, "allowed" | "forbidden" | "missing" | "unauthorized")
        .then_some(What::Read { uti, said })
}

/// The number of the AADSTS code in a text.
pub(super) fn code(said: &Value) -> Option<u64> {
    let text = said.as_str()?;
    let digits = &text[text.find("AADSTS")? + "AADSTS".len()..];
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// Gives each claim a record of its own.
struct Matching<'a> {
    pod: &'a PodEvidence,
    claims: &'a [Claim<'a>],
    /// Records that have an owner, by index: the container.
    taken: BTreeMap<usize, &'a str>,
}

impl<'a> Matching<'a> {
    fn new(pod: &'a PodEvidence, claims: &'a [Claim<'a>]) -> Self {
        Matching { pod, claims, taken: BTreeMap::new() }
    }

    fn findings(mut self) -> Vec<Finding<'a>> {
        let mut found = Vec::new();
        let mut kept: BTreeSet<(&str, u32, String)> = BTreeSet::new();
        for claim in self.claims {
            let run = (claim.run.container.as_str(), claim.run.restart);
            let fault = match &claim.what {
                What::Granted { uti, access, assertion, by_proxy } => {
                    kept.insert((run.0, run.1, text(access)));
                    self.grant(run.0, uti, access, *assertion, *by_proxy)
                }
                What::Kept { access } => {
                    let known = kept.contains(&(run.0, run.1, text(access)));
                    (!known).then(|| "it claims a cached access token that was never granted".to_owned())
                }
                What::Refused { code, status, assertion } => self.refusal(run.0, *code, *status, *assertion),
                What::Read { uti, said } => self.read(run.0, *uti, said),
                What::Printed { sha256 } => self.printed(sha256),
            };
            let expected = match claim.hop {
                Hop::Secret => "each secret read that the pod claims, recorded by the vault",
                _ => "each exchange that the pod claims, recorded by the identity provider",
            };
            found.extend(fault.map(|observed| Finding {
                container: Some(run.0),
                hop: claim.hop,
                expected: expected.to_owned(),
                observed,
            }));
        }
        if !self.may_be_incomplete() {
            found.extend(self.unowned());
        }
        found
    }

    fn records(&self, plane: &'static str) -> impl Iterator<Item = (usize, &'a Value)> + use<'a> {
        self.pod.exchanges.iter().enumerate().filter(move |(_, record)| record["plane"] == plane)
    }

    /// Takes the first record that fits and has no owner yet.
    fn take(&mut self, container: &'a str, plane: &'static str, fits: impl Fn(&Value) -> bool) -> bool {
        let free = self.records(plane).find(|(index, record)| !self.taken.contains_key(index) && fits(record));
        free.map(|(index, _)| self.taken.insert(index, container)).is_some()
    }

    fn grant(
        &mut self,
        container: &'a str,
        uti: &Value,
        access: &Value,
        assertion: Option<&Value>,
        by_proxy: bool,
    ) -> Option<String> {
        let fits = |record: &Value| {
            let given = &record["response"]["body"]["access_token"];
            let presented = &record["request"]["form"]["client_assertion"]["sha256"];
            record["status"] == 200
                && !uti.is_null()
                && given["claims"]["uti"] == *uti
                && given["sha256"] == *access
                && assertion == Some(presented)
        };
        if self.take(container, "entra", fits) {
            return None;
        }
        match self.records("entra").find(|(_, record)| fits(record)).map(|(index, _)| self.taken[&index]) {
            // A proxy may keep what it was granted.
            Some(owner) if by_proxy && owner == container => None,
            Some(owner) => Some(format!(
                "it claims access token {}, which container {owner} claimed before: one exchange is recorded but claimed twice",
                text(uti)
            )),
            None => Some(format!(
                "it claims a granted access token, but the identity provider recorded no such grant for its token (recorded: [{}])",
                self.shown("entra", |record| text(&record["status"]))
            )),
        }
    }

    fn refusal(
        &mut self,
        container: &'a str,
        code: u64,
        status: Option<&Value>,
        assertion: Option<&Value>,
    ) -> Option<String> {
        let fits = |record: &Value| {
            let presented = &record["request"]["form"]["client_assertion"]["sha256"];
            record["response"]["body"]["error_codes"][0].as_u64() == Some(code)
                && status.is_none_or(|status| record["status"] == *status)
                && assertion.is_none_or(|assertion| assertion.is_null() || assertion == presented)
        };
        if self.take(container, "entra", fits) {
            return None;
        }
        let seen = self.shown("entra", |record| record["response"]["body"]["error_codes"].to_string());
        Some(format!(
            "it claims a refusal with AADSTS{code}, but the identity provider recorded no such refusal, or one that was claimed already (recorded: [{seen}])"
        ))
    }

    fn read(&mut self, container: &'a str, uti: Option<&Value>, said: &Value) -> Option<String> {
        let nameless =
            said["outcome"] == "unauthorized" || said["inner"].as_str().is_some_and(|inner| NAMELESS.contains(&inner));
        let status = if said["outcome"] == "allowed" { &Value::from(200) } else { &said["status"] };
        let fits = |record: &Value| {
            let body = &record["response"]["body"];
            let asker = &record["principal"]["uti"];
            let asked = if nameless {
                asker.is_null() && same_text(&body["error"]["message"], &said["message"])
            } else {
                uti.is_some_and(|uti| !uti.is_null() && asker == uti)
            };
            asked && record["status"] == *status && is_read(record) && names_secret(record, said) && shows(record, said)
        };
        if self.take(container, "vault", fits) {
            return None;
        }
        let seen = self.shown("vault", |record| format!("{} {}", record["status"], text(&record["path"])));
        Some(format!(
            "it claims the vault's answer {}, but the vault recorded no such answer to a token granted to it, or one that was claimed already (recorded: [{seen}])",
            text(&said["outcome"])
        ))
    }

    /// A sample tells of no exchange; its line implies one, and a read with what it gave.
    fn printed(&self, sha256: &str) -> Option<String> {
        let granted: Vec<&Value> = self.granted().collect();
        let value = format!("sha256:{sha256}");
        let read = self.records("vault").any(|(_, record)| {
            record["status"] == 200
                && is_read(record)
                && granted.contains(&&record["principal"]["uti"])
                && record["response"]["body"]["value"] == value.as_str()
        });
        (!read).then(|| {
            let seen = self.shown("vault", |record| format!("{} {}", record["status"], text(&record["path"])));
            format!("it printed a secret, but the vault recorded no such read with a token granted to it (recorded: [{seen}])")
        })
    }

    fn granted(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.records("entra")
            .map(|(_, record)| &record["response"]["body"]["access_token"]["claims"]["uti"])
            .filter(|uti| !uti.is_null())
    }

    /// Records that nobody owns to.
    fn unowned(&self) -> Vec<Finding<'a>> {
        let granted: Vec<&Value> = self.granted().collect();
        let told: BTreeSet<u64> = self
            .claims
            .iter()
            .filter_map(|claim| match claim.what {
                What::Refused { code, .. } => Some(code),
                _ => None,
            })
            .collect();
        let mut found = Vec::new();
        for (_, record) in self.records("entra").filter(|(index, _)| !self.taken.contains_key(index)) {
            let status = record["status"].as_u64().unwrap_or_default();
            let code = record["response"]["body"]["error_codes"][0].as_u64();
            // SDKs ask again where they are told that it may help, and tell of the last answer.
            let again = comes_again(status) || code.is_some_and(|code| told.contains(&code));
            if again || was_lost(record) {
                continue;
            }
            let answer = code.map_or_else(|| "granted".to_owned(), |code| format!("refused with AADSTS{code}"));
            found.push(Finding {
                container: None,
                hop: Hop::Exchange,
                expected: "each exchange with the pod's token claimed by the container that made it".to_owned(),
                observed: format!("the identity provider recorded an exchange with its token (answered {status}, {answer}) that no container claims"),
            });
        }
        for (_, record) in self.records("vault").filter(|(index, _)| !self.taken.contains_key(index)) {
            let status = record["status"].as_u64().unwrap_or_default();
            if comes_again(status)
                || !is_read(record)
                || !granted.contains(&&record["principal"]["uti"])
                || was_lost(record)
            {
                continue;
            }
            found.push(Finding {
                container: None,
                hop: Hop::Secret,
                expected: "each read with the pod's access token claimed by the container that made it".to_owned(),
                observed: format!(
                    "the vault recorded a read of {} (answered {status}) that no container claims",
                    text(&record["path"])
                ),
            });
        }
        found
    }

    /// Whether something may have been said that we did not see, or is not said by its nature: an exchange of our own, a
    /// sample, an answer that a container says it lost, a run that was over before we looked.
    fn may_be_incomplete(&self) -> bool {
        let pod = self.pod;
        let sample = |run: &RunEvidence| run.documents.is_empty() && !run.printed.is_empty();
        let lost = |run: &RunEvidence| {
            let mut documents = run.documents.iter();
            documents.any(|said| said["outcome"] == "failed" && said["kind"] != "configuration")
        };
        let unseen = |container: &str| {
            let status = pod.status_of(container);
            let restarts = status.and_then(|status| status["restartCount"].as_u64()).unwrap_or_default();
            let newest = pod.runs_of(container).map(|run| run.restart).max().unwrap_or_default();
            let seen = pod.runs_of(container).filter(|run| run.ended || run.restart == newest).count();
            u64::try_from(seen).unwrap_or(u64::MAX) <= restarts
        };
        pod.own || pod.runs.iter().any(|run| sample(run) || lost(run) || unseen(&run.container))
    }

    fn shown(&self, plane: &'static str, show: impl Fn(&Value) -> String) -> String {
        self.records(plane).map(|(_, record)| show(record)).collect::<Vec<_>>().join(", ")
    }
}

/// Whether an answer was cut off on its way, so that whoever asked had to ask again.
fn was_lost(record: &Value) -> bool {
    record["cut"] == true
}

/// Whether an answer asks to come again later.
fn comes_again(status: u64) -> bool {
    status == 408 || status == 429 || status >= 500
}

/// Whether a record is of a read of a secret.
pub(super) fn is_read(record: &Value) -> bool {
    let path = record["path"].as_str().unwrap_or_default().to_lowercase();
    record["plane"] == "vault"
        && (record["method"].is_null() || record["method"] == "GET")
        && path.starts_with("/secrets/")
}

/// Whether a record is of the secret that a container tells of, where it names one.
fn names_secret(record: &Value, said: &Value) -> bool {
    let path = record["path"].as_str().unwrap_or_default();
    let host = said["vault"].as_str().and_then(|url| url.split("//").nth(1)).map(|rest| rest.trim_end_matches('/'));
    let at_host = host.is_none_or(|host| record["host"].is_null() || record["host"] == host);
    let named = said["secret"].as_str().is_none_or(|secret| reads_secret(path, secret));
    at_host && named
}

/// Whether a path is that of a secret, or of a version of it.
pub(super) fn reads_secret(path: &str, secret: &str) -> bool {
    let mut parts = path.trim_matches('/').split('/');
    parts.next().is_some_and(|part| part.eq_ignore_ascii_case("secrets"))
        && parts.next().is_some_and(|part| part.eq_ignore_ascii_case(secret))
}

/// Whether a record has the value and the version that a container tells of.
fn shows(record: &Value, said: &Value) -> bool {
    if said["outcome"] != "allowed" {
        return true;
    }
    let body = &record["response"]["body"];
    let value = format!("sha256:{}", text(&said["value-sha256"]));
    let version = said["version"].as_str();
    let recorded = body["id"].as_str().and_then(|id| id.rsplit('/').next());
    body["value"] == value.as_str() && (version.is_none() || version == recorded)
}

/// Whether two texts say the same, whatever the breaks of their lines.
fn same_text(a: &Value, b: &Value) -> bool {
    let words =
        |text: &Value| text.as_str().unwrap_or_default().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    words(a) == words(b)
}
