//! The requirement catalogue and the register of known deviations.

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

/// A deviation of a product that is known, with the reason and where it is recorded.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Deviation {
    /// Id of the scenario that shows it.
    pub scenario: String,
    /// The webhook, as the target names it; a trailing `*` matches any ending.
    pub webhook: String,
    /// The requirement that is broken.
    pub requirement: String,
    /// Why it is expected.
    pub reason: String,
    /// Where that is recorded.
    pub source: String,
}

impl Deviation {
    /// Whether it speaks of this scenario under this webhook.
    pub fn covers(&self, scenario: &str, webhook: &str) -> bool {
        self.scenario == scenario
            && match self.webhook.strip_suffix('*') {
                Some(start) => webhook.starts_with(start),
                None => webhook == self.webhook,
            }
    }
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

/// Reads `deviations.yaml`.
///
/// # Errors
/// The first fault, with its place.
pub fn deviations(path: &str, bytes: &[u8]) -> Result<Vec<Deviation>, InvalidScenario> {
    serde_saphyr::from_str(crate::parse::text(path, bytes)?).map_err(|error| InvalidScenario::yaml(path, &error))
}

/// Checks that a scenario names only requirements and saboteurs that exist.
///
/// # Errors
/// The first unknown one, with its place.
pub fn check(
    path: &str,
    scenario: &Scenario,
    catalogue: &Catalogue,
    saboteurs: &[&str],
) -> Result<(), InvalidScenario> {
    let unknown = |kind, text: &Text, advice| {
        Err(InvalidScenario::new(path, text.at, Reason::Unknown(kind, text.value.clone(), advice)))
    };
    for id in &scenario.requirements {
        if !catalogue.contains_key(&id.value) {
            return unknown("requirement", id, "; add it to requirements.yaml".to_owned());
        }
    }
    for name in &scenario.saboteurs {
        if !saboteurs.contains(&name.value.as_str()) {
            return unknown("saboteur", name, nearest(&name.value, saboteurs));
        }
    }
    Ok(())
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
