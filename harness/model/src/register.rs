//! The register of known deviations: what a product is known to get wrong, in which versions, and how that shows.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::parse::InvalidScenario;
use crate::plan::Case;
use crate::product::{Product, Versions};
use crate::record::{Outcome, Record};

/// How many changes that no entry knows are told.
const TOLD: usize = 4;

/// A deviation of a product that is known, with the reason and where it is recorded.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Deviation {
    /// Id of the scenario that shows it.
    pub scenario: String,
    /// The product, as it calls itself.
    pub product: String,
    /// Its versions that deviate.
    pub versions: Versions,
    /// The requirement that is broken.
    pub requirement: String,
    /// How that shows: one of these is a part of what the scenario's first failure expects and observes,
    /// `EXPECTED: OBSERVED`; of a field-by-field comparison each single change has one of these as a part. What that is
    /// depends on what a target can see. Another failure, and another change, is not excused.
    pub shows: Vec<String>,
    /// Why it is expected.
    pub reason: String,
    /// Where that is recorded.
    pub source: String,
}

impl Deviation {
    /// Whether it speaks of this scenario under this product. Nothing is known of a product that is not.
    pub fn covers(&self, scenario: &str, product: Option<&Product>) -> bool {
        let of = |product: &Product| self.product == product.name && self.versions.holds(&product.version);
        self.scenario == scenario && product.is_some_and(of)
    }

    fn told(&self) -> String {
        format!("{}: {} ({})", self.requirement, self.reason, self.source)
    }
}

/// Reads `deviations.yaml`.
///
/// # Errors
/// The first fault, with its place.
pub fn deviations(path: &str, bytes: &[u8]) -> Result<Vec<Deviation>, InvalidScenario> {
    serde_saphyr::from_str(crate::parse::text(path, bytes)?).map_err(|error| InvalidScenario::yaml(path, &error))
}

/// What is wrong with an entry beside the scenarios: it names one that is not there, or a requirement that the scenario
/// does not show, or nothing by which the deviation could be told from another failure.
pub fn fault(entry: &Deviation, cases: &[&Case]) -> Option<String> {
    let Some(case) = cases.iter().find(|case| case.id == entry.scenario) else {
        return Some(format!("no scenario `{}`", entry.scenario));
    };
    if !case.scenario.requirements.iter().any(|id| id.value == entry.requirement) {
        return Some(format!("scenario {} does not show requirement {}", entry.scenario, entry.requirement));
    }
    if entry.shows.is_empty() || entry.shows.iter().any(|shown| shown.trim().is_empty()) {
        return Some(format!("the entry of scenario {} has no `shows`", entry.scenario));
    }
    None
}

/// Sorts failures that the register expects of this product from those that it does not, and passes that it does not
/// expect too: an entry that matches nothing where it could is stale.
pub fn judge(record: &mut Record, deviations: &[Deviation], product: Option<&Product>) {
    let known: Vec<&Deviation> = deviations.iter().filter(|known| known.covers(&record.id, product)).collect();
    let Some(first) = known.first() else { return };
    match record.outcome {
        Outcome::Fail => match excused(record, &known) {
            Ok(entry) => {
                record.outcome = Outcome::ExpectedFail;
                record.reason = Some(entry.told());
            }
            Err(unknown) => {
                let shows: Vec<&str> = known.iter().flat_map(|entry| &entry.shows).map(String::as_str).collect();
                record.reason = Some(format!(
                    "the register has another failure of this scenario, with `{}`, but not {unknown}: {}",
                    shows.join("` or `"),
                    first.told()
                ));
            }
        },
        Outcome::Pass => {
            record.outcome = Outcome::UnexpectedPass;
            record.reason = Some(format!("the register expects a failure, so it is stale: {}", first.told()));
        }
        Outcome::ExpectedFail | Outcome::UnexpectedPass | Outcome::NotApplicable | Outcome::Blocked => {}
    }
}

/// The entry that the first failure shows; or what no entry knows: that failure, or a change that a field-by-field
/// comparison found anywhere in the case.
fn excused<'a>(record: &Record, known: &[&'a Deviation]) -> Result<&'a Deviation, String> {
    let shown_in = |text: &str| {
        let shows = |entry: &&&Deviation| entry.shows.iter().any(|shown| text.contains(shown));
        known.iter().find(shows).copied()
    };
    let unknown: BTreeSet<&String> = record
        .failures
        .iter()
        .flat_map(|failure| &failure.changes)
        .filter(|change| shown_in(change).is_none())
        .collect();
    if !unknown.is_empty() {
        let told: Vec<&str> = unknown.iter().take(TOLD).map(|change| change.as_str()).collect();
        let more = unknown.len() - told.len();
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        return Err(format!("that the webhook {}{more}", told.join("; ")));
    }
    let first = record.failures.first().ok_or_else(|| "a failure without a word".to_owned())?;
    match first.changes.first() {
        Some(change) => shown_in(change),
        None => shown_in(&format!("{}: {}", first.expected, first.observed)),
    }
    .ok_or_else(|| format!("`{}: {}`", first.expected, first.observed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::located::Position;
    use crate::record::Failure;
    use crate::verdict::Hop;

    fn entry() -> Deviation {
        let text = "- { scenario: a/b, product: p, versions: { to: 1.6.0 }, requirement: R-1, shows: ['something else', 'no container: got an initContainer'], reason: r, source: s }";
        deviations("deviations.yaml", text.as_bytes()).unwrap().remove(0)
    }

    fn case() -> Case {
        let text = "title: It holds\nrequirements: [R-1]\nneeds: [webhook]\nmutants: [webhook/no-env]\nwhen:\n  \
            - create-pod: { name: p, image: quickstart/pause }\nthen:\n  - admission: { of: p, outcome: mutated }\n";
        let scenario = crate::parse::scenario("a/b.yaml", text.as_bytes()).unwrap();
        Case { id: "a/b".into(), file: "a/b.yaml".into(), scenario, sabotage: None, variation: Vec::new() }
    }

    fn judged(outcome: Outcome, observed: &str, product: Option<Product>) -> (Outcome, String) {
        judged_of(outcome, observed, &[], product)
    }

    fn judged_of(outcome: Outcome, observed: &str, changes: &[&str], product: Option<Product>) -> (Outcome, String) {
        let mut record = Record { outcome, ..Record::begin(&case(), String::new()) };
        if outcome == Outcome::Fail {
            record.failures.push(Failure {
                hop: Hop::Admission,
                expected: "no container".to_owned(),
                observed: observed.to_owned(),
                changes: changes.iter().map(|change| (*change).to_owned()).collect(),
                advice: None,
                at: Position::default(),
                looks: 1,
                waited_ms: 0,
            });
        }
        judge(&mut record, &[entry()], product.as_ref());
        (record.outcome, record.reason.unwrap_or_default())
    }

    #[test]
    fn a_failure_is_expected_of_the_product_and_versions_that_the_register_names_and_of_nobody_else() {
        let seen = "got an initContainer";
        let of = |name: &str, version: &str| Product::new(name, version);
        assert_eq!(judged(Outcome::Fail, seen, of("p", "1.6.0")).0, Outcome::ExpectedFail);
        for other in [of("p", "1.6.1"), of("q", "1.6.0"), None] {
            assert_eq!(judged(Outcome::Fail, seen, other).0, Outcome::Fail);
        }
    }

    #[test]
    fn another_failure_of_the_same_scenario_is_not_excused() {
        let (outcome, reason) = judged(Outcome::Fail, "the pod was not created", Product::new("p", "1.6.0"));
        assert_eq!(outcome, Outcome::Fail);
        assert!(reason.contains("another failure") && reason.contains("got an initContainer"), "{reason}");
    }

    #[test]
    fn of_a_comparison_the_changes_that_the_register_lists_are_excused_and_no_other_in_the_same_failure() {
        let of =
            |changes: &[&str]| judged_of(Outcome::Fail, "the webhook set things", changes, Product::new("p", "1.6.0"));
        let known = "no container: got an initContainer `x`";
        assert_eq!(of(&[known]).0, Outcome::ExpectedFail);
        assert_eq!(of(&[known, "something else too"]).0, Outcome::ExpectedFail);
        let (outcome, reason) = of(&[known, "set `spec.hostPID` to `true`"]);
        assert_eq!(outcome, Outcome::Fail);
        assert!(reason.contains("but not that the webhook set `spec.hostPID`"), "{reason}");
        let (outcome, _) =
            judged_of(Outcome::Fail, "got an initContainer", &["set `spec.x`"], Product::new("p", "1.6.0"));
        assert_eq!(outcome, Outcome::Fail, "what is told of the whole does not excuse a part");
    }

    #[test]
    fn an_entry_that_matches_nothing_where_it_could_is_an_error() {
        let (outcome, reason) = judged(Outcome::Pass, "", Product::new("p", "1.5.0"));
        assert_eq!(outcome, Outcome::UnexpectedPass);
        assert!(reason.contains("stale"), "{reason}");
        assert_eq!(judged(Outcome::NotApplicable, "", Product::new("p", "1.5.0")).0, Outcome::NotApplicable);
        assert_eq!(judged(Outcome::Pass, "", None).0, Outcome::Pass);
    }

    #[test]
    fn an_entry_must_name_a_scenario_and_a_requirement_that_it_shows() {
        let case = case();
        assert_eq!(fault(&entry(), &[&case]), None);
        assert_eq!(fault(&entry(), &[]).unwrap(), "no scenario `a/b`");
        let other = Deviation { requirement: "R-2".into(), ..entry() };
        assert_eq!(fault(&other, &[&case]).unwrap(), "scenario a/b does not show requirement R-2");
    }
}
