//! The shape of evidence: which fields, headers, claims and codes there are, whatever their made-up values. Between a run
//! against an emulator and one against the real thing, the differences in shape are what the emulator gets wrong.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What there is in the evidence of each case, a line each.
pub type Shapes = BTreeMap<String, BTreeSet<String>>;

/// Fields whose values are words of a protocol, and tell more than their type.
const WORDS: [&str; 12] = [
    "status",
    "code",
    "error",
    "error_codes",
    "reason",
    "outcome",
    "phase",
    "alg",
    "kind",
    "event",
    "exitCode",
    "token_type",
];

/// Who wrote a field last is bookkeeping of an API server.
const BOOKKEEPING: [&str; 1] = ["managedFields"];

/// How far a pod had come when it was looked at last is an accident; as it was stored it is in a file of its own.
const MOMENTARY: [&str; 2] = ["latest.json", "events.json"];

/// Adds the shape of one file of a case's evidence; what is no JSON has none.
pub fn add_shape(shape: &mut BTreeSet<String>, artefact: &str, text: &str) {
    if artefact.rsplit('/').next().is_some_and(|file| MOMENTARY.contains(&file)) {
        return;
    }
    let name = without_made_up(artefact);
    if artefact.ends_with(".jsonl") {
        for document in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            walk(shape, &format!("{name}{}", label(&document)), "", &document);
        }
    } else if artefact.ends_with(".json")
        && let Ok(document) = serde_json::from_str::<Value>(text)
    {
        walk(shape, &name, "", &document);
    }
}

/// What tells documents of a list apart.
fn label(document: &Value) -> String {
    let words: Vec<&str> =
        ["event", "plane", "method", "kind", "webhook"].iter().filter_map(|key| document[*key].as_str()).collect();
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(" ")) }
}

fn walk(shape: &mut BTreeSet<String>, path: &str, key: &str, value: &Value) {
    shape.insert(path.to_owned());
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(name, _)| !BOOKKEEPING.contains(&name.as_str())) {
                // Names of headers have no case.
                let shown = if key == "headers" { name.to_lowercase() } else { without_made_up(name) };
                walk(shape, &format!("{path} .{shown}"), name, value);
            }
        }
        Value::Array(items) => {
            for item in items {
                let named = item["name"].as_str().map(without_made_up).unwrap_or_default();
                walk(shape, &format!("{path} [{named}]"), key, item);
            }
        }
        Value::String(text) => {
            let is_word = WORDS.contains(&key) && text.len() <= 64 && !text.contains(char::is_whitespace);
            if is_word {
                shape.insert(format!("{path} = {}", without_made_up(text)));
            }
            if let Some(code) = entra_code(text) {
                shape.insert(format!("{path} = {code}"));
            }
        }
        Value::Number(number) if WORDS.contains(&key) => _ = shape.insert(format!("{path} = {number}")),
        Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

/// The code in a message of Entra's.
fn entra_code(text: &str) -> Option<&str> {
    let start = text.find("AADSTS")?;
    let digits = text[start + 6..].bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0).then(|| &text[start..start + 6 + digits])
}

/// What Kubernetes makes endings of names of.
const ENDINGS: &str = "bcdfghjklmnpqrstvwxz2456789";

/// Text with each part that is made up masked: eight or more hex digits in a row, of which one is a digit at least, and
/// the five characters that Kubernetes ends a name with.
fn without_made_up(text: &str) -> String {
    if let Some((name, end)) = text.rsplit_once('-')
        && end.len() == 5
        && end.chars().all(|c| ENDINGS.contains(c))
    {
        return format!("{}-*", without_made_up(name));
    }
    text.split_inclusive(|c: char| !c.is_ascii_alphanumeric())
        .map(|piece| {
            let word = piece.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            let hex = word.chars().rev().take_while(char::is_ascii_hexdigit).count();
            let made_up = hex >= 8 && word[word.len() - hex..].contains(|c: char| c.is_ascii_digit());
            if made_up { format!("*{}", &piece[word.len()..]) } else { piece.to_owned() }
        })
        .collect()
}

/// What is in the evidence of one run and not of the other, of cases that have evidence in both: a line each, with the
/// cases where that is so. What is below something that is missing itself is left out.
pub fn shape_differences(a: &Shapes, b: &Shapes) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, here, there) in [("a", a, b), ("b", b, a)] {
        let mut only: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (case, shape) in here {
            let Some(other) = there.get(case) else { continue };
            for path in shape.difference(other) {
                // The first part that is not there tells of all that is below it.
                let first = parents(path).find(|parent| !other.contains(*parent)).unwrap_or(path);
                only.entry(first).or_default().insert(case);
            }
        }
        lines.extend(only.into_iter().map(|(path, cases)| {
            let shown: Vec<&str> = cases.iter().copied().take(3).collect();
            let more = if cases.len() > shown.len() { ", ..." } else { "" };
            format!("only in {name}  {path}  ({}: {}{more})", cases.len(), shown.join(", "))
        }));
    }
    lines
}

/// The paths above a path, from the top.
fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices(" .")
        .chain(path.match_indices(" ["))
        .map(|(at, _)| at)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(|at| &path[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(artefact: &str, text: &str) -> BTreeSet<String> {
        let mut shape = BTreeSet::new();
        add_shape(&mut shape, artefact, text);
        shape
    }

    const EXCHANGE: &str = r#"{"plane":"entra","method":"POST","status":401,"request":{"headers":{"Accept":"*/*"}},"response":{"body":{"error":"invalid_client","error_description":"AADSTS700211: No match. Trace ID: 8444d673","error_codes":[700211]}}}"#;

    #[test]
    fn codes_headers_claims_and_fields_are_in_a_shape_and_made_up_values_are_not() {
        let exchanges = shape("wi-11a2c14126.quick-start/exchanges.jsonl", &format!("{EXCHANGE}\n{EXCHANGE}\n"));
        let top = "wi-*.quick-start/exchanges.jsonl (entra POST)";
        for part in [
            " .status = 401",
            " .request .headers .accept",
            " .response .body .error = invalid_client",
            " .response .body .error_codes [] = 700211",
            " .response .body .error_description = AADSTS700211",
        ] {
            assert!(exchanges.contains(&format!("{top}{part}")), "{part} is missing in {exchanges:#?}");
        }
        assert!(!exchanges.iter().any(|line| line.contains("8444d673")));
        let pod = shape(
            "stored.json",
            r#"{"spec":{"containers":[{"name":"app","env":[{"name":"AZURE_CLIENT_ID","value":"x"}]}]},"metadata":{"managedFields":[{"f":1}],"uid":"8444d673-fb0c"}}"#,
        );
        assert!(pod.contains("stored.json .spec .containers [app] .env [AZURE_CLIENT_ID] .value"), "{pod:#?}");
        assert!(!pod.iter().any(|line| line.contains("managedFields") || line.contains("8444d673")));
        assert_eq!(shape("logs/app.txt", "{}"), BTreeSet::new());
        assert_eq!(shape("p/latest.json", "{}"), BTreeSet::new());
        assert_eq!(shape("p/events.json", "{}"), BTreeSet::new());
    }

    #[test]
    fn what_is_made_up_is_masked_and_words_are_not() {
        assert_eq!(without_made_up("wi-748d84245c.quick-start"), "wi-*.quick-start");
        assert_eq!(without_made_up("wia01a6b5013dbd3e5b1.vault"), "*.vault");
        assert_eq!(without_made_up("kube-api-access-xbwjb"), "kube-api-access-*");
        assert_eq!(without_made_up("azure-identity-token"), "azure-identity-token");
        assert_eq!(without_made_up("AADSTS700211 feedbeef"), "AADSTS700211 feedbeef");
        assert_eq!(without_made_up("ünï-12345678"), "ünï-*");
    }

    #[test]
    fn a_difference_is_told_once_at_its_top_with_its_cases() {
        let all = |text: &str, cases: &[&str]| -> Shapes {
            cases.iter().map(|case| ((*case).to_owned(), shape("x.jsonl", text))).collect()
        };
        let cases = ["c/1", "c/2", "c/3", "c/4"];
        let a = all(EXCHANGE, &cases);
        assert_eq!(shape_differences(&a, &a), Vec::<String>::new());
        let without_body = EXCHANGE.replace("401", "400").replace("\"body\"", "\"content\"");
        let mut b = all(&without_body, &cases);
        b.insert("c/5".into(), shape("x.jsonl", EXCHANGE));
        let told = shape_differences(&a, &b);
        assert_eq!(
            told,
            [
                "only in a  x.jsonl (entra POST) .response .body  (4: c/1, c/2, c/3, ...)",
                "only in a  x.jsonl (entra POST) .status = 401  (4: c/1, c/2, c/3, ...)",
                "only in b  x.jsonl (entra POST) .response .content  (4: c/1, c/2, c/3, ...)",
                "only in b  x.jsonl (entra POST) .status = 400  (4: c/1, c/2, c/3, ...)",
            ]
        );
    }
}
