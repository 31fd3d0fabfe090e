//! The requirement catalogue.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::located::{Position, Text};
use crate::parse::{InvalidScenario, Reason};
use crate::scenario::Scenario;

/// A requirement of workload identity, independently testable.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Requirement {
    /// How binding it is.
    pub level: Level,
    /// What must hold, in our words.
    pub statement: String,
    /// Where it comes from.
    pub source: String,
    /// Webhook profiles for which it holds; every profile when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profile: Vec<String>,
    /// Whether it is one of those that matter most: a suite that does not show it has a hole.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub essential: bool,
    /// What it takes to show it, where a run that needs nothing but this program cannot: *real Kyverno*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<String>,
}

impl Requirement {
    /// Whether a suite without a scenario for it has a hole: no more than this program is needed to show it, and it is not
    /// merely allowed.
    pub fn owed(&self) -> bool {
        self.elsewhere.is_none() && (self.essential || self.level != Level::May)
    }
}

/// How binding a requirement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Absolute.
    Must,
    /// Absolute prohibition.
    MustNot,
    /// May be left out for a reason.
    Should,
    /// Free.
    May,
}

/// Requirements by id.
pub type Catalogue = BTreeMap<String, Requirement>;

/// Reads `requirements.yaml`.
///
/// # Errors
/// The first fault, with its place.
pub fn requirements(path: &str, bytes: &[u8]) -> Result<Catalogue, InvalidScenario> {
    serde_saphyr::from_str(crate::parse::text(path, bytes)?).map_err(|error| InvalidScenario::yaml(path, &error))
}

/// Checks that a scenario names only requirements and mutants that exist. A suite without a catalogue may name any
/// requirement. Gives back every unknown one, with its place.
pub fn check(path: &str, scenario: &Scenario, catalogue: Option<&Catalogue>, mutants: &[&str]) -> Vec<InvalidScenario> {
    let unknown = |kind, text: &Text, advice| {
        InvalidScenario::new(path, text.at, Reason::Unknown(kind, text.value.clone(), advice))
    };
    let requirements = scenario
        .requirements
        .iter()
        .filter(|id| catalogue.is_some_and(|catalogue| !catalogue.contains_key(&id.value)))
        .map(|id| unknown("requirement", id, "; add it to requirements.yaml".to_owned()));
    let mutants = scenario
        .saboteurs
        .iter()
        .filter(|name| !mutants.contains(&name.value.as_str()))
        .map(|name| unknown("mutant", name, nearest(&name.value, mutants)));
    requirements.chain(mutants).filter(|fault| !fault.follows()).collect()
}

fn nearest(name: &str, known: &[&str]) -> String {
    let area = name.split('/').next().unwrap_or(name);
    let close: Vec<&str> = known.iter().copied().filter(|k| k.split('/').next() == Some(area)).collect();
    let shown = if close.is_empty() { known } else { &close };
    format!("; known: {}", shown.join(", "))
}

/// A position-less error for a file that could not be read.
pub fn unreadable(path: &str, why: impl std::fmt::Display) -> InvalidScenario {
    InvalidScenario::new(path, Position::default(), Reason::Yaml(format!("cannot be read: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(fields: &str) -> Result<Requirement, InvalidScenario> {
        let text = format!("MUT-001:\n  statement: It holds.\n  source: https://example.com/\n{fields}");
        requirements("requirements.yaml", text.as_bytes()).map(|mut all| all.remove("MUT-001").unwrap())
    }

    #[test]
    fn a_requirement_is_not_essential_and_can_be_shown_here_unless_its_entry_says_otherwise() {
        let plain = one("  level: should\n").unwrap();
        assert!(!plain.essential && plain.elsewhere.is_none() && plain.profile.is_empty());
        let full = one("  level: must\n  essential: true\n  elsewhere: real Kyverno\n  profile: [\"1.6\"]\n").unwrap();
        assert!(full.essential);
        assert_eq!(full.elsewhere.as_deref(), Some("real Kyverno"));
        assert_eq!(full.profile, ["1.6"]);
    }

    #[test]
    fn an_entry_with_a_word_that_means_nothing_is_refused_where_it_stands() {
        let fault = one("  level: must\n  esential: true\n").unwrap_err().to_string();
        assert!(fault.contains("requirements.yaml:5") && fault.contains("esential"), "{fault}");
    }

    #[test]
    fn scenarios_are_owed_for_everything_that_can_be_shown_here_and_is_not_merely_allowed() {
        for (fields, owed) in [
            ("  level: must\n", true),
            ("  level: must-not\n", true),
            ("  level: should\n", true),
            ("  level: should\n  elsewhere: real Kyverno\n", false),
            ("  level: may\n", false),
            ("  level: may\n  essential: true\n", true),
            ("  level: must\n  essential: true\n  elsewhere: real Kyverno\n", false),
        ] {
            assert_eq!(one(fields).unwrap().owed(), owed, "{fields}");
        }
    }
}
