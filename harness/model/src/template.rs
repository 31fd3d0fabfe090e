//! `{{ name }}` in strings of a scenario, and `${NAME}` in manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use regex::{Captures, Regex};
use serde_json::Value;

/// What each name stands for, once it is known.
pub type Bindings = BTreeMap<String, String>;

/// A name that stands for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("undefined variable `{name}`; defined: {}", .known.join(", "))]
pub struct UnknownName {
    /// The name as written.
    pub name: String,
    /// What could have been meant.
    pub known: Vec<String>,
}

fn placeholder() -> &'static Regex {
    static SHAPE: OnceLock<Regex> = OnceLock::new();
    SHAPE.get_or_init(|| Regex::new(r"\{\{\s*([^{}]*?)\s*\}\}").expect("the pattern is constant"))
}

fn variable() -> &'static Regex {
    static SHAPE: OnceLock<Regex> = OnceLock::new();
    SHAPE.get_or_init(|| Regex::new(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}").expect("the pattern is constant"))
}

/// The names that a text asks for.
pub fn names(text: &str) -> impl Iterator<Item = &str> {
    placeholder().captures_iter(text).map(|found| found.get(1).map_or("", |name| name.as_str()))
}

/// The `${NAME}` variables that a manifest asks for.
pub fn variables(text: &str) -> BTreeSet<String> {
    variable().captures_iter(text).map(|found| found[1].to_owned()).collect()
}

/// Puts values in the place of `{{ name }}`.
///
/// # Errors
/// The first name that is not bound.
pub fn fill(text: &str, bindings: &Bindings) -> Result<String, UnknownName> {
    let mut unknown = None;
    let filled = placeholder().replace_all(text, |found: &Captures<'_>| {
        bindings.get(&found[1]).cloned().unwrap_or_else(|| {
            unknown.get_or_insert_with(|| UnknownName {
                name: found[1].to_owned(),
                known: bindings.keys().cloned().collect(),
            });
            String::new()
        })
    });
    let filled = filled.into_owned();
    unknown.map_or(Ok(filled), Err)
}

/// Puts values in the place of `${NAME}`, as `envsubst` does; a name without a value stays as it is.
pub fn substitute_variables(text: &str, values: &Bindings) -> String {
    variable()
        .replace_all(text, |found: &Captures<'_>| values.get(&found[1]).cloned().unwrap_or_else(|| found[0].to_owned()))
        .into_owned()
}

/// Applies a change to every string of a document, keys left alone.
///
/// # Errors
/// The first error of the change.
pub fn each_string<E>(value: &mut Value, change: &mut impl FnMut(&str) -> Result<String, E>) -> Result<(), E> {
    match value {
        Value::String(text) => *text = change(text)?,
        Value::Array(items) => {
            for item in items {
                each_string(item, change)?;
            }
        }
        Value::Object(map) => {
            for (_, item) in map.iter_mut() {
                each_string(item, change)?;
            }
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bindings() -> Bindings {
        [("app1.client-id".to_owned(), "7f3c".to_owned()), ("namespace".to_owned(), "wi-1".to_owned())].into()
    }

    #[test]
    fn placeholders_are_filled_with_or_without_blanks() {
        assert_eq!(fill("{{app1.client-id}} in {{ namespace }}", &bindings()).unwrap(), "7f3c in wi-1");
    }

    #[test]
    fn an_unknown_name_is_named_with_what_is_known() {
        let error = fill("x {{ app2.client-id }}", &bindings()).unwrap_err();
        assert_eq!(error.to_string(), "undefined variable `app2.client-id`; defined: app1.client-id, namespace");
    }

    #[test]
    fn a_variable_without_a_value_stays_for_the_container_to_expand() {
        let values = [("A".to_owned(), "1".to_owned())].into();
        assert_eq!(substitute_variables("${A} $(B) ${C}", &values), "1 $(B) ${C}");
        assert_eq!(variables("${A} $(B) ${C}"), ["A".to_owned(), "C".to_owned()].into());
    }
}
