//! Two pods, field by field: what one has that the other has not, by path.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{ANY, quantity};
use crate::path;

/// Something that is otherwise than expected.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Set, and nothing asks for it.
    Added(String, Value),
    /// There before, and gone.
    Removed(String, Value),
    /// Expected to be added, and not there.
    Missing(String, Value),
    /// Otherwise than it was, and nothing asks for that.
    Changed(String, Value, Value),
    /// Set, but to something else than expected: what was expected, and what is there.
    Wrong(String, Value, Value),
    /// The elements of a list stand in another order.
    Moved(String, Vec<String>, Vec<String>),
}

/// How much of a value is shown.
const SHOWN: usize = 120;

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Change::Added(path, value) => write!(f, "set `{path}` to {}, which is not expected", show(value)),
            Change::Removed(path, value) => write!(f, "removed `{path}`, which was {}", show(value)),
            Change::Missing(path, value) => write!(f, "left `{path}` unset, which must be {}", show(value)),
            Change::Changed(path, was, is) => {
                write!(f, "changed `{path}` from {} to {}, which is not expected", show(was), show(is))
            }
            Change::Wrong(path, wanted, is) => {
                write!(f, "set `{path}` to {}, which must be {}", show(is), show(wanted))
            }
            Change::Moved(path, wanted, is) => {
                write!(f, "put `{path}` in the order {}, which must be {}", is.join(", "), wanted.join(", "))
            }
        }
    }
}

fn show(value: &Value) -> String {
    let text = value.to_string().replace("\\u0000any", "…");
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("`{}…`", &text[..cut]),
        None => format!("`{text}`"),
    }
}

/// What was made of `before` otherwise than expected. Fields that are null or empty count as absent: programs that decode
/// an object into types of their own write them, or leave them out, and no API server tells the two apart.
pub fn compare(before: &Value, expected: &Value, observed: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    let nothing = Value::Null;
    let (expected, observed) = (bare(expected), bare(observed));
    let (expected, observed) = (expected.as_ref().unwrap_or(&nothing), observed.as_ref().unwrap_or(&nothing));
    Walk { before, found: &mut found }.values("", "", expected, observed);
    found
}

/// Without what counts as absent; `None` when nothing is left.
fn bare(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::Object(map) => {
            let map: serde_json::Map<_, _> =
                map.iter().filter_map(|(key, value)| Some((key.clone(), bare(value)?))).collect();
            (!map.is_empty()).then_some(Value::Object(map))
        }
        Value::Array(items) if items.is_empty() => None,
        // An element keeps its place, whatever is left of it.
        Value::Array(items) => Some(items.iter().map(|item| bare(item).unwrap_or(Value::Null)).collect()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(value.clone()),
    }
}

struct Walk<'a> {
    before: &'a Value,
    found: &'a mut Vec<Change>,
}

impl Walk<'_> {
    fn values(&mut self, path: &str, field: &str, expected: &Value, observed: &Value) {
        match (expected, observed) {
            (Value::Object(wanted), Value::Object(is)) => {
                let keys: BTreeSet<&String> = wanted.keys().chain(is.keys()).collect();
                for key in keys {
                    let inner = join(path, key);
                    match (wanted.get(key), is.get(key)) {
                        (Some(wanted), Some(is)) => self.values(&inner, key, wanted, is),
                        (Some(wanted), None) => self.absent(&inner, wanted),
                        (None, Some(is)) => self.added(&inner, is),
                        (None, None) => {}
                    }
                }
            }
            (Value::Array(wanted), Value::Array(is)) => self.lists(path, field, wanted, is),
            _ if same(path, expected, observed) => {}
            _ => self.found.push(match path::at(self.before, path) {
                Some(was) if was == expected => Change::Changed(path.to_owned(), was.clone(), observed.clone()),
                _ => Change::Wrong(path.to_owned(), expected.clone(), observed.clone()),
            }),
        }
    }

    /// Elements that have a name are compared by it, others by their place.
    fn lists(&mut self, path: &str, field: &str, wanted: &[Value], is: &[Value]) {
        let (Some(wanted_keys), Some(is_keys)) = (keys(field, wanted), keys(field, is)) else {
            for index in 0..wanted.len().max(is.len()) {
                let inner = format!("{path}[{index}]");
                match (wanted.get(index), is.get(index)) {
                    (Some(wanted), Some(is)) => self.values(&inner, "", wanted, is),
                    (Some(wanted), None) => self.absent(&inner, wanted),
                    (None, Some(is)) => self.found.push(Change::Added(inner, is.clone())),
                    (None, None) => {}
                }
            }
            return;
        };
        for (key, wanted) in wanted_keys.iter().zip(wanted) {
            let inner = format!("{path}[{key}]");
            match is_keys.iter().position(|other| other == key) {
                Some(at) => self.values(&inner, "", wanted, &is[at]),
                None => self.absent(&inner, wanted),
            }
        }
        for (key, is) in is_keys.iter().zip(is) {
            if !wanted_keys.contains(key) {
                self.found.push(Change::Added(format!("{path}[{key}]"), is.clone()));
            }
        }
        let common = |of: &[String], other: &[String]| -> Vec<String> {
            of.iter().filter(|key| other.contains(key)).cloned().collect()
        };
        let (wanted_order, is_order) = (common(&wanted_keys, &is_keys), common(&is_keys, &wanted_keys));
        if wanted_order != is_order {
            self.found.push(Change::Moved(path.to_owned(), wanted_order, is_order));
        }
    }

    fn absent(&mut self, path: &str, wanted: &Value) {
        if is_default(path, wanted) {
            return;
        }
        self.found.push(match path::at(self.before, path) {
            Some(was) => Change::Removed(path.to_owned(), was.clone()),
            None => Change::Missing(path.to_owned(), wanted.clone()),
        });
    }

    /// Named by what was set, not by the map that had to be made for it.
    fn added(&mut self, path: &str, is: &Value) {
        match is {
            _ if is_default(path, is) => {}
            Value::Object(map) => map.iter().for_each(|(key, value)| self.added(&join(path, key), value)),
            _ => self.found.push(Change::Added(path.to_owned(), is.clone())),
        }
    }
}

/// Whether a text is as one in which [`ANY`] stands for what is not known. Nothing at all never fits.
fn fits(wanted: &str, is: &str) -> bool {
    let mut parts = wanted.split(ANY);
    let start = parts.next().unwrap_or_default();
    let Some(mut rest) = is.strip_prefix(start).filter(|_| !is.is_empty()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(end)
}

/// Whether it is what an API server writes into a projected volume by itself: a pod that a webhook is shown once more has it,
/// and a webhook may leave it there as well as write the volume again.
fn is_default(path: &str, value: &Value) -> bool {
    path.ends_with(".projected.defaultMode") && *value == 0o644
}

/// What tells the elements of a list apart, where something does.
fn keys(field: &str, items: &[Value]) -> Option<Vec<String>> {
    let by = if field == "volumeMounts" { "mountPath" } else { "name" };
    let keys: Vec<String> = items.iter().map(|item| item[by].as_str().map(str::to_owned)).collect::<Option<_>>()?;
    let distinct: BTreeSet<&String> = keys.iter().collect();
    (distinct.len() == keys.len()).then_some(keys)
}

fn join(path: &str, key: &str) -> String {
    if key.contains(['.', '/', '[']) {
        format!("{path}[{key}]")
    } else if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn same(path: &str, expected: &Value, observed: &Value) -> bool {
    if expected == observed {
        return true;
    }
    if let (Some(wanted), Some(is)) = (expected.as_str(), observed.as_str())
        && wanted.contains(ANY)
    {
        return fits(wanted, is);
    }
    let counts = ["limits.", "requests.", "limits[", "requests[", "sizeLimit", "divisor", "overhead", "capacity"];
    counts.iter().any(|word| path.contains(word)) && quantity::same(expected, observed)
}
