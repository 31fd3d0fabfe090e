//! What one run of one container printed, and whether it keeps the contract of quick-start programs.

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A document is at most this long: the longest that a program has reason to print is a tenth of it.
const LONGEST_DOCUMENT: usize = 64 * 1024;
/// A line of a program that prints documents is at most this long.
const LONGEST_LINE: usize = 1024 * 1024;
/// How much of a container's log is kept as evidence.
const KEPT: usize = 4 * 1024 * 1024;
/// How many faults of a log are told.
const TOLD: usize = 8;

/// The documents of a round, in their order.
const ORDER: [&str; 6] = ["given", "token", "metadata", "exchange", "secret-read", "end"];

/// What one run of one container printed. A container that is restarted has several.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunEvidence {
    /// The container's name; empty for an exchange that the harness made itself.
    pub container: String,
    /// How often the container had been restarted before this run.
    pub restart: u32,
    /// Whether the run has ended, so that nothing comes after what is here.
    pub ended: bool,
    /// The time of its first line by the node's clock, where that is known. No other run of the container has it.
    #[serde(skip)]
    pub begins: Option<String>,
    /// What it printed, secrets taken out.
    #[serde(skip)]
    pub log: String,
    /// Its quick-start documents, in order.
    pub documents: Vec<Value>,
    /// Where a sample printed the secret's value in a line of its own.
    pub printed: Vec<PrintedSecret>,
    /// Where its documents break the contract, each with its line.
    pub faults: Vec<String>,
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

impl RunEvidence {
    /// Reads a log. It must be raw: secrets still in it are hashed here and nowhere kept. `cut` says that more was printed
    /// than is handed in.
    pub fn read(container: &str, restart: u32, raw: &str, ended: bool, cut: bool) -> Self {
        let mut run = RunEvidence { container: container.to_owned(), restart, ended, ..RunEvidence::default() };
        let mut suspects = Vec::new();
        let mut reader = ContractReader::default();
        for (index, line) in raw.split_inclusive('\n').enumerate() {
            let number = index + 1;
            let whole = line.ends_with('\n') || ended;
            let line = line.trim_end_matches(['\n', '\r']);
            match classify(line) {
                Line::Document(document) => {
                    let place = |what: String| format!("line {number}: {what}");
                    run.faults.extend(reader.read(&document).map(place));
                    run.documents.push(document);
                }
                Line::Secret(value) => {
                    let sha256 = crate::secret::sha256_hex(value.as_bytes());
                    run.printed.push(PrintedSecret { documents: run.documents.len(), sha256 });
                }
                // A line that is still being written is looked at when it is whole, unless it is too long already.
                Line::Broken(_) | Line::Suspect(_) if !whole && line.len() <= LONGEST_LINE => {}
                Line::Broken(what) => run.faults.push(format!("line {number}: {what}")),
                Line::Suspect(what) => suspects.push(format!("line {number}: {what}")),
                Line::Other => {}
            }
        }
        // What another program prints is its own business; one that prints documents keeps to the contract.
        if run.speaks() {
            run.faults.append(&mut suspects);
        }
        if cut && run.speaks() {
            run.faults.push("the log exceeds the limit; the rest was not read".to_owned());
        }
        run.faults.truncate(TOLD);
        run
    }

    /// The same for an exchange that the harness made itself, which prints nothing.
    pub fn own(documents: Vec<Value>) -> Self {
        RunEvidence { documents, ended: true, ..RunEvidence::default() }
    }

    /// Keeps the log, which must have been redacted, as evidence.
    #[must_use]
    pub fn keep(mut self, mut redacted: String) -> Self {
        if redacted.len() > KEPT {
            let end = (0..=KEPT).rev().find(|at| redacted.is_char_boundary(*at)).unwrap_or(0);
            redacted.truncate(end);
            redacted.push_str("\n[truncated]\n");
        }
        self.log = redacted;
        self
    }

    /// Whether it has said something that is judged.
    pub fn speaks(&self) -> bool {
        !self.documents.is_empty() || !self.printed.is_empty() || !self.faults.is_empty()
    }

    /// Where each round begins and ends among the documents.
    pub fn rounds(&self) -> Vec<std::ops::Range<usize>> {
        let mut starts: Vec<usize> = (0..self.documents.len())
            .filter(|index| *index == 0 || self.documents[*index]["event"] == "given")
            .collect();
        starts.push(self.documents.len());
        starts.windows(2).map(|pair| pair[0]..pair[1]).filter(|round| !round.is_empty()).collect()
    }
}

/// What a line of a log is.
enum Line<'a> {
    Document(Value),
    Secret(&'a str),
    /// It holds a document, or a part of one, that cannot be read.
    Broken(String),
    /// It may be a part of a document.
    Suspect(String),
    Other,
}

fn classify(line: &str) -> Line<'_> {
    if line.len() > LONGEST_DOCUMENT {
        let what = format!("{} bytes long; a document may have at most {LONGEST_DOCUMENT}", line.len());
        return if names_contract(head(line)) {
            Line::Broken(what)
        } else if line.len() > LONGEST_LINE {
            Line::Suspect(format!("{} bytes long; a line may have at most {LONGEST_LINE}", line.len()))
        } else {
            Line::Other
        };
    }
    match serde_json::from_str::<Once>(line) {
        Ok(Once(document)) if document["quickstart"].is_u64() => return Line::Document(document),
        Ok(_) if !names_contract(line) => return Line::Other,
        Ok(_) => return Line::Broken(format!("a document inside something else: `{}`", shown(line))),
        Err(error) if names_contract(line) => {
            return Line::Broken(format!("an invalid document ({error}): `{}`", shown(line)));
        }
        Err(_) => {}
    }
    if let Some(value) = printed_secret(line) {
        return Line::Secret(value);
    }
    if line.starts_with("{\"") {
        return Line::Suspect(format!("a part of a document: `{}`", shown(line)));
    }
    Line::Other
}

/// Whether a text has the key that every document has.
fn names_contract(text: &str) -> bool {
    text.match_indices("\"quickstart\"").any(|(at, key)| {
        let escaped = text[..at].ends_with('\\');
        !escaped && text[at + key.len()..].trim_start().starts_with(':')
    })
}

fn head(line: &str) -> &str {
    let end = (0..=line.len().min(LONGEST_DOCUMENT)).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    &line[..end]
}

fn shown(line: &str) -> String {
    let mut short: String = line.chars().take(80).collect();
    if short.len() < line.len() {
        short.push_str("...");
    }
    short
}

/// Follows the order of rounds and of the documents in each.
#[derive(Default)]
struct ContractReader {
    round: u64,
    /// Place in [`ORDER`] of the last document; none before the first.
    last: Option<usize>,
}

impl ContractReader {
    fn read(&mut self, document: &Value) -> Option<String> {
        let event = document["event"].as_str().unwrap_or_default();
        // Events that the contract does not know are for other readers.
        let place = ORDER.iter().position(|known| *known == event)?;
        let round = document["round"].as_u64().unwrap_or_default();
        let last = self.last.replace(place);
        let end = ORDER.len() - 1;
        if event == "given" {
            self.round += 1;
            if last.is_some_and(|last| last != end) {
                return Some(format!("round {round} begins before the previous one has ended"));
            }
            return (round != self.round).then(|| format!("round {round} begins; expected round {}", self.round));
        }
        match last {
            None => Some(format!("`{event}` before any `given`")),
            Some(last) if last == end => Some(format!("`{event}` after `end`")),
            Some(last) if last >= place => Some(format!("`{event}` after `{}`", ORDER[last])),
            Some(_) if round != self.round => Some(format!("`{event}` of round {round} in round {}", self.round)),
            Some(_) => None,
        }
    }
}

/// JSON in which no key stands twice: of two, readers take different ones.
struct Once(Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Once;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Once, E> {
                Ok(Once(value.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Once, E> {
                Ok(Once(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Once, E> {
                Ok(Once(value.into()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Once, E> {
                Ok(Once(value.into()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Once, E> {
                Ok(Once(value.into()))
            }
            fn visit_unit<E>(self) -> Result<Once, E> {
                Ok(Once(Value::Null))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Once, A::Error> {
                let mut all = Vec::new();
                while let Some(Once(item)) = items.next_element()? {
                    all.push(item);
                }
                Ok(Once(all.into()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Once, A::Error> {
                let mut all = Map::new();
                while let Some((key, Once(value))) = fields.next_entry::<String, Once>()? {
                    if all.insert(key.clone(), value).is_some() {
                        return Err(serde::de::Error::custom(format!("`{key}` stands twice")));
                    }
                }
                Ok(Once(all.into()))
            }
        }
        deserializer.deserialize_any(Reader)
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

    fn read(raw: &str) -> RunEvidence {
        RunEvidence::read("app", 0, raw, true, false)
    }

    /// A round as a quick-start prints it.
    fn round(number: u64) -> String {
        let line =
            |event: &str, more: &str| format!("{{\"quickstart\":1,\"round\":{number},\"event\":\"{event}\"{more}}}\n");
        let read = line("secret-read", ",\"outcome\":\"allowed\"") + "Your secret is Hello!\n";
        line("given", "") + &line("token", "") + &line("exchange", "") + &read + &line("end", "")
    }

    #[test]
    fn a_log_gives_documents_and_the_hash_of_a_printed_secret_but_not_the_secret() {
        let run = read(&format!("START 2026 (pod)\n{{\"other\":1}}\n{}", round(1)));
        assert_eq!((run.documents.len(), run.faults.len()), (5, 0), "{run:?}");
        assert_eq!(run.printed, [PrintedSecret { documents: 4, sha256: crate::secret::sha256_hex(b"Hello!") }]);
        assert!(!format!("{run:?}").contains("Hello!"));
    }

    #[test]
    fn the_go_samples_line_is_read_too() {
        assert_eq!(printed_secret(r#"I1123 main.go:9] "successfully got secret" secret="Hello!""#), Some("Hello!"));
    }

    #[test]
    fn rounds_that_follow_each_other_are_told_apart() {
        let run = read(&(round(1) + &round(2)));
        assert_eq!(run.faults, Vec::<String>::new());
        assert_eq!(run.rounds(), [0..5, 5..10]);
    }

    /// Each log breaks the contract; the fault beside it must be told, with its line.
    #[test]
    fn what_no_honest_program_prints_is_a_fault_with_its_line() {
        let good = round(1);
        let lines: Vec<&str> = good.lines().collect();
        let long =
            format!("{{\"quickstart\":1,\"round\":1,\"event\":\"token\",\"x\":\"{}\"}}\n", "a".repeat(10_000_000));
        let twice = good.replace(
            "\"event\":\"exchange\"",
            "\"event\":\"exchange\",\"outcome\":\"refused\",\"outcome\":\"granted\"",
        );
        let logs: &[(String, &str)] = &[
            (format!("{good}{}\n", lines[3]), "line 7: `secret-read` after `end`"),
            (format!("{good}{good}"), "line 7: round 1 begins; expected round 2"),
            (
                format!(
                    "{good}{}",
                    round(2).replace("\"round\":2,\"event\":\"token\"", "\"round\":1,\"event\":\"token\"")
                ),
                "line 8: `token` of round 1 in round 2",
            ),
            (format!("{}\n{}\n{}", lines[0], lines[2], lines[1]), "line 3: `token` after `exchange`"),
            (format!("{}\n{}\n{}", lines[0], lines[1], lines[1]), "line 3: `token` after `token`"),
            (format!("{}\n{}", lines[0], round(2)), "line 2: round 2 begins before"),
            (lines[1..].join("\n"), "line 1: `token` before any `given`"),
            (format!("{}\n{}{}\n", lines[0], &lines[1][..30], lines[2]), "line 2: an invalid document"),
            (format!("{}\n{} {}\n", lines[0], lines[1], lines[2]), "line 2: an invalid document"),
            (format!("{}\n[{}]\n", lines[0], lines[1]), "line 2: a document inside something else"),
            (format!("{}\nnote: {}\n", lines[0], lines[1]), "line 2: an invalid document"),
            (format!("{good}{}", &lines[0][..20]), "line 7: an invalid document"),
            (format!("{good}{}", &lines[0][..8]), "line 7: a part of a document"),
            (format!("{}\n{}\n{}\n", lines[0], &lines[1][..9], &lines[1][9..]), "line 2: a part of a document"),
            (format!("{}\n{long}", lines[0]), "line 2: 10000049 bytes long"),
            (format!("{good}{}\n", "a".repeat(10_000_000)), "line 7: 10000000 bytes long"),
            (twice, "`outcome` stands twice"),
        ];
        for (index, (log, told)) in logs.iter().enumerate() {
            let run = read(log);
            assert!(run.faults.iter().any(|fault| fault.contains(told)), "log {index}: {told}: {:?}", run.faults);
        }
    }

    #[test]
    fn a_line_that_is_still_being_written_is_no_fault_until_the_program_has_ended() {
        let log = round(1) + "{\"quickstart\":1,\"round\":2";
        let still = RunEvidence::read("app", 0, &log, false, false);
        assert_eq!(still.faults, Vec::<String>::new());
        assert_eq!(read(&log).faults.len(), 1);
    }

    #[test]
    fn what_other_programs_print_is_their_own_business() {
        for log in ["{\"level\":\"info\"}\n{\"half\n", "{\"a\":\n \"b\": {}}\n", &"x".repeat(2_000_000)] {
            let run = read(log);
            assert!(!run.speaks() && run.faults.is_empty(), "{:?}", run.faults);
        }
        assert!(read(&("{\"msg\":\"\\\"quickstart\\\":1\"}\n".to_owned() + &round(1))).faults.is_empty());
    }
}
