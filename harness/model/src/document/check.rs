//! A document held against the JSON Schema that is made of our types: every fault with its place, and the document mended so
//! that what is left can be checked too.

use serde_json::Value;

use super::{Entry, Node, Placed};
use crate::located::Position;

/// Stands for what is missing or wrong in a mended document. No fault that speaks of it is told.
pub(crate) const STAND_IN: &str = "\u{fffd}";

/// A fault and where it is.
pub(crate) type Fault = (Position, String);

/// Finds every fault of a document, and mends it.
pub(crate) fn check(schema: &Value, document: &mut Placed) -> Vec<Fault> {
    let mut check = Check { root: schema, faults: Vec::new() };
    check.part(schema, document);
    check.faults
}

struct Check<'a> {
    root: &'a Value,
    faults: Vec<Fault>,
}

impl<'a> Check<'a> {
    /// What a schema says, past its reference and past the null that stands for what may be left out.
    fn said(&self, schema: &'a Value) -> &'a Value {
        if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/")) {
            return self.said(&self.root["$defs"][name]);
        }
        match schema["anyOf"].as_array() {
            Some(choices) => {
                let mut choices = choices.iter().filter(|choice| choice["type"] != "null");
                match (choices.next(), choices.next()) {
                    (Some(only), None) => self.said(only),
                    _ => schema,
                }
            }
            None => schema,
        }
    }

    fn fault(&mut self, at: Position, what: impl Into<String>) {
        self.faults.push((at, what.into()));
    }

    /// Tells what is wrong with a part and puts something in its place.
    fn replace(&mut self, schema: &'a Value, part: &mut Placed, what: impl Into<String>) {
        self.fault(part.at, what);
        part.node = self.stand_in(schema, part.at).node;
    }

    fn part(&mut self, schema: &'a Value, part: &mut Placed) {
        if matches!(part.node, Node::Null) && may_be_null(schema) {
            return;
        }
        let schema = self.said(schema);
        if let Some(choices) = schema["anyOf"].as_array() {
            let fits = |choice: &&'a Value| kind_of(self.said(choice)).is_some_and(|kind| kind == part.node.kind());
            match choices.iter().find(fits) {
                Some(choice) => self.part(choice, part),
                None => {
                    let kinds: Vec<&str> = choices.iter().filter_map(|choice| kind_of(self.said(choice))).collect();
                    self.replace(schema, part, format!("expected {}, found {}", kinds.join(" or "), part.node.kind()));
                }
            }
        } else if schema["oneOf"].is_array() {
            self.word(schema, part);
        } else if schema["enum"].is_array() || schema["const"].is_string() {
            self.bare_word(schema, part, &words(schema));
        } else {
            self.plain(schema, part);
        }
    }

    fn plain(&mut self, schema: &'a Value, part: &mut Placed) {
        let Some(wanted) = kind_of(schema) else { return };
        let found = part.node.kind();
        let fits = match (wanted, &part.node) {
            // What stands without quotes is text where text is wanted.
            ("text", Node::Bool(_) | Node::Number(_)) => true,
            ("a whole number", Node::Number(number)) => number.is_i64() || number.is_u64(),
            ("a number", Node::Number(_)) => true,
            _ => wanted == found,
        };
        if !fits {
            return self.replace(schema, part, format!("expected {wanted}, found {found}"));
        }
        let text = match &part.node {
            Node::Text(text) => Some(text.clone()),
            Node::Bool(value) => Some(value.to_string()),
            Node::Number(number) => Some(number.to_string()),
            Node::Null | Node::List(_) | Node::Map(_) => None,
        };
        if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), text)
            && !regex::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(&text))
        {
            let why = schema["patternErrorMessage"].as_str().unwrap_or("invalid format");
            let what = format!("`{text}`: {why}");
            return self.replace(schema, part, what);
        }
        let at = part.at;
        match &mut part.node {
            Node::List(items) => items.iter_mut().for_each(|item| self.part(&schema["items"], item)),
            Node::Map(entries) => self.map(schema, at, entries),
            Node::Null | Node::Bool(_) | Node::Number(_) | Node::Text(_) => {}
        }
    }

    fn map(&mut self, schema: &'a Value, at: Position, entries: &mut Vec<Entry>) {
        let known = schema["properties"].as_object();
        let names: Vec<&str> = known
            .into_iter()
            .flatten()
            .filter(|(_, schema)| schema["deprecated"] != true)
            .map(|(name, _)| name.as_str())
            .collect();
        entries.retain_mut(|entry| {
            let below = known.and_then(|known| known.get(&entry.key));
            match (below, &schema["additionalProperties"]) {
                (Some(below), _) => self.part(below, &mut entry.value),
                (None, Value::Bool(false)) => {
                    self.fault(entry.at, unknown("field", &entry.key, &names));
                    return false;
                }
                (None, Value::Null | Value::Bool(true)) => {}
                (None, further) => self.part(further, &mut entry.value),
            }
            true
        });
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !entries.iter().any(|entry| entry.key == name) {
                self.fault(at, format!("missing field `{name}`"));
                let value = self.stand_in(&schema["properties"][name], at);
                entries.push(Entry { key: name.to_owned(), at, value });
            }
        }
    }

    /// One of several words, each alone or with what it holds.
    fn word(&mut self, schema: &'a Value, part: &mut Placed) {
        let choices: Vec<&'a Value> = schema["oneOf"].as_array().into_iter().flatten().collect();
        let holding = |name: &str| choices.iter().find_map(|choice| choice["properties"].get(name));
        let mut names: Vec<&str> = choices.iter().flat_map(|choice| words(choice)).collect();
        let bare = names.clone();
        names.extend(
            choices
                .iter()
                .flat_map(|choice| choice["properties"].as_object().into_iter().flatten())
                .map(|e| e.0.as_str()),
        );
        let what = match &mut part.node {
            Node::Text(text) if bare.contains(&text.as_str()) => return,
            Node::Text(text) if holding(text).is_some() => format!("`{text}` needs a value: `{text}: ...`"),
            Node::Text(text) => unknown("word", text, &names),
            Node::Map(entries) => match entries.as_mut_slice() {
                [entry] => match holding(&entry.key) {
                    Some(below) => return self.part(below, &mut entry.value),
                    None if bare.contains(&entry.key.as_str()) => {
                        format!("`{}` has no value", entry.key)
                    }
                    None => {
                        let (at, what) = (entry.at, unknown("word", &entry.key, &names));
                        self.fault(at, what);
                        part.node = self.stand_in(schema, part.at).node;
                        return;
                    }
                },
                several => format!(
                    "expected one word, found {}: {}",
                    several.len(),
                    several.iter().map(|entry| format!("`{}`", entry.key)).collect::<Vec<_>>().join(", ")
                ),
            },
            other => format!("expected one of {}, found {}", listed(&names), other.kind()),
        };
        self.replace(schema, part, what);
    }

    fn bare_word(&mut self, schema: &'a Value, part: &mut Placed, names: &[&str]) {
        let what = match &part.node {
            Node::Text(text) if names.contains(&text.as_str()) => return,
            Node::Text(text) => unknown("word", text, names),
            other => format!("expected one of {}, found {}", listed(names), other.kind()),
        };
        self.replace(schema, part, what);
    }

    /// The least that a schema takes.
    fn stand_in(&self, schema: &'a Value, at: Position) -> Placed {
        let schema = self.said(schema);
        let entry = |key: &str, below: &'a Value| Entry { key: key.to_owned(), at, value: self.stand_in(below, at) };
        let choice = ["oneOf", "anyOf"].iter().find_map(|list| schema[*list].as_array()?.first());
        let node = if let Some(choice) = choice {
            return self.stand_in(choice, at);
        } else if let Some(word) = words(schema).first() {
            Node::Text((*word).to_owned())
        } else {
            match kind_of(schema) {
                Some("text") if schema["pattern"].is_string() => Node::Text("1s".to_owned()),
                Some("text") => Node::Text(STAND_IN.to_owned()),
                Some("a list") => Node::List(Vec::new()),
                Some("a mapping") => {
                    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
                    Node::Map(required.map(|name| entry(name, &schema["properties"][name])).collect())
                }
                Some("true or false") => Node::Bool(false),
                Some(_) => Node::Number(1.into()),
                None => Node::Null,
            }
        };
        Placed { at, node }
    }
}

impl Node {
    /// What a part is, in words.
    fn kind(&self) -> &'static str {
        match self {
            Node::Null => "nothing",
            Node::Bool(_) => "true or false",
            Node::Number(_) => "a number",
            Node::Text(_) => "text",
            Node::List(_) => "a list",
            Node::Map(_) => "a mapping",
        }
    }
}

fn types(schema: &Value) -> impl Iterator<Item = &str> {
    let several = schema["type"].as_array().into_iter().flatten();
    several.chain(std::iter::once(&schema["type"])).filter_map(Value::as_str)
}

/// What a schema wants, in words; `None` where it takes anything.
fn kind_of(schema: &Value) -> Option<&'static str> {
    types(schema).find_map(|name| match name {
        "string" => Some("text"),
        "integer" => Some("a whole number"),
        "number" => Some("a number"),
        "boolean" => Some("true or false"),
        "array" => Some("a list"),
        "object" => Some("a mapping"),
        _ => None,
    })
}

fn may_be_null(schema: &Value) -> bool {
    let choice = |choice: &Value| choice["type"] == "null";
    types(schema).any(|name| name == "null") || schema["anyOf"].as_array().is_some_and(|all| all.iter().any(choice))
}

/// The words that a schema takes as they are.
fn words(schema: &Value) -> Vec<&str> {
    let several = schema["enum"].as_array().into_iter().flatten();
    several.chain(schema.get("const")).filter_map(Value::as_str).collect()
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn unknown(what: &str, found: &str, names: &[&str]) -> String {
    let close = names.iter().map(|name| (distance(name, found), *name)).min().filter(|(distance, _)| *distance <= 2);
    let meant = close.map(|(_, name)| format!("; `{name}` is near")).unwrap_or_default();
    if names.is_empty() {
        return format!("unknown {what} `{found}`; none is allowed here");
    }
    format!("unknown {what} `{found}`, expected one of {}{meant}", listed(names))
}

/// How many letters have to be changed, added, left out or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let least = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                let least = least.min(rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]));
                if swapped { least.min(rows[i - 2][j - 2] + 1) } else { least }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_that_was_mistyped_is_near_and_another_word_is_not() {
        assert_eq!((distance("image", "imgae"), distance("apply", "aply"), distance("pod", "token")), (1, 1, 4));
    }
}
