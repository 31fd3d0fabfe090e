//! The catalogue beside a suite: which scenario shows which requirement, and what is shown by none.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde::Serialize;
use wi_model::capability::Capability;
use wi_model::catalogue::{Catalogue, Level, Requirement};
use wi_model::plan::{self, Case, Decision};

/// The version of the JSON form.
pub const COVERAGE_VERSION: u32 = 1;

/// A catalogue beside a suite, on one target.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Coverage {
    /// The version of this form.
    pub version: u32,
    /// The target that was asked about.
    pub target: String,
    /// Every requirement, in order of id.
    pub requirements: Vec<Covered>,
    /// How many there are.
    pub counts: Counts,
}

/// A requirement with the scenarios that show it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Covered {
    /// Its id.
    pub id: String,
    /// What the catalogue says of it.
    #[serde(flatten)]
    pub requirement: Requirement,
    /// Whether a suite without a scenario for it has a hole.
    pub owed: bool,
    /// The scenarios that name it, in order of id.
    pub scenarios: Vec<Shower>,
}

/// A scenario that shows a requirement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Shower {
    /// Its id.
    pub id: String,
    /// What the target lacks for it; it would run when nothing is missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Capability>,
}

/// How many requirements there are of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counts {
    /// In the catalogue.
    pub requirements: usize,
    /// With a scenario.
    pub shown: usize,
    /// With a scenario that would run on the target.
    pub run: usize,
    /// Without a scenario, because showing it takes something else.
    pub elsewhere: usize,
    /// Without a scenario, and without such a reason.
    pub without: usize,
    /// Of these, those that a suite owes a scenario.
    pub holes: usize,
    /// Essential ones.
    pub essential: usize,
    /// Essential ones with a scenario.
    pub essential_shown: usize,
}

/// Folds a catalogue and a suite into their coverage on a target that can do these things.
pub fn coverage(target: &str, catalogue: &Catalogue, cases: &[Case], capabilities: &BTreeSet<Capability>) -> Coverage {
    let mut requirements: Vec<Covered> = catalogue
        .iter()
        .map(|(id, requirement)| Covered {
            id: id.clone(),
            requirement: requirement.clone(),
            owed: requirement.owed(),
            scenarios: Vec::new(),
        })
        .collect();
    for case in cases {
        let missing = match plan::decide(case, capabilities) {
            Decision::Runs => Vec::new(),
            Decision::NotApplicable { missing } => missing,
            // A capability is all that is asked about here.
            Decision::Unsuited { .. } | Decision::Blocked { .. } => Vec::new(),
        };
        // A scenario that names a requirement twice shows it once.
        let named: BTreeSet<&str> = case.scenario.requirements.iter().map(|id| id.value.as_str()).collect();
        for covered in requirements.iter_mut().filter(|covered| named.contains(covered.id.as_str())) {
            covered.scenarios.push(Shower { id: case.id.clone(), missing: missing.clone() });
        }
    }
    for covered in &mut requirements {
        covered.scenarios.sort_by(|a, b| a.id.cmp(&b.id));
    }
    let counts = counts(&requirements);
    Coverage { version: COVERAGE_VERSION, target: target.to_owned(), requirements, counts }
}

fn counts(requirements: &[Covered]) -> Counts {
    let count = |which: fn(&Covered) -> bool| requirements.iter().filter(|covered| which(covered)).count();
    Counts {
        requirements: requirements.len(),
        shown: count(Covered::is_shown),
        run: count(Covered::would_run),
        elsewhere: count(|covered| !covered.is_shown() && covered.requirement.elsewhere.is_some()),
        without: count(|covered| !covered.is_shown() && covered.requirement.elsewhere.is_none()),
        holes: count(Covered::is_hole),
        essential: count(|covered| covered.requirement.essential),
        essential_shown: count(|covered| covered.requirement.essential && covered.is_shown()),
    }
}

impl Covered {
    /// Whether a scenario names it.
    pub fn is_shown(&self) -> bool {
        !self.scenarios.is_empty()
    }

    /// Whether a scenario that names it would run.
    pub fn would_run(&self) -> bool {
        self.scenarios.iter().any(|scenario| scenario.missing.is_empty())
    }

    /// Whether a scenario is owed and there is none.
    pub fn is_hole(&self) -> bool {
        self.owed && !self.is_shown()
    }

    fn area(&self) -> &str {
        self.id.split('-').next().unwrap_or(&self.id)
    }

    fn head(&self) -> String {
        let star = if self.requirement.essential { '*' } else { ' ' };
        format!("  {:<8} {star} {:<8}", self.id, word(self.requirement.level))
    }

    /// Essential absolutes first, then what is essential, then what is absolute.
    fn weight(&self) -> impl Ord {
        let absolute = matches!(self.requirement.level, Level::Must | Level::MustNot);
        let essential = self.requirement.essential;
        (Reverse(essential && absolute), Reverse(essential), Reverse(absolute), self.requirement.level == Level::May)
    }
}

impl Coverage {
    /// For tools.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
    }

    /// For people: what is shown, by area; what needs something else; what is shown by nothing; and the counts.
    pub fn text(&self) -> String {
        let mut lines = Vec::new();
        let mut area = "";
        for covered in self.requirements.iter().filter(|covered| covered.is_shown()) {
            if covered.area() != area {
                area = covered.area();
                heading(&mut lines, area);
            }
            lines.push(format!("{} {}", covered.head(), covered.requirement.statement));
            for scenario in &covered.scenarios {
                lines.push(if scenario.missing.is_empty() {
                    format!("               runs  {}", scenario.id)
                } else {
                    let missing: Vec<&str> = scenario.missing.iter().map(|capability| capability.word()).collect();
                    format!("     not applicable  {}  the target lacks {}", scenario.id, missing.join(", "))
                });
            }
            if let Some(what) = &covered.requirement.elsewhere {
                lines.push(format!("      to cover it fully  {what}"));
            }
        }
        let (elsewhere, mut without): (Vec<&Covered>, Vec<&Covered>) = self
            .requirements
            .iter()
            .filter(|covered| !covered.is_shown())
            .partition(|covered| covered.requirement.elsewhere.is_some());
        if !elsewhere.is_empty() {
            heading(&mut lines, "Not covered on the embedded target, because it needs more");
        }
        for covered in elsewhere {
            lines.push(format!("{} {}", covered.head(), covered.requirement.statement));
            let what = covered.requirement.elsewhere.as_deref().unwrap_or_default();
            lines.push(format!("              takes  {what}"));
        }
        if !without.is_empty() {
            heading(&mut lines, "Not covered yet");
        }
        without.sort_by(|a, b| a.weight().cmp(&b.weight()).then_with(|| a.id.cmp(&b.id)));
        for covered in without {
            lines.push(format!("{} {}", covered.head(), covered.requirement.statement));
        }
        lines.push(String::new());
        lines.push(self.summary());
        lines.join("\n")
    }

    /// The counts in a sentence.
    pub fn summary(&self) -> String {
        let Counts { requirements, shown, run, elsewhere, without, holes, essential, essential_shown } = self.counts;
        format!(
            "{requirements} requirements: {shown} covered ({run} of them on {}), {elsewhere} need more than the embedded target, \
             {without} not covered ({holes} of them mandatory); {essential_shown} of {essential} essential requirements (*) \
             are covered",
            self.target
        )
    }
}

fn heading(lines: &mut Vec<String>, text: &str) {
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines.push(text.to_owned());
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Must => "must",
        Level::MustNot => "must not",
        Level::Should => "should",
        Level::May => "may",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Catalogue {
        let text = r#"
KV-001: { level: must, statement: A secret is read., source: "https://example.com/", essential: true }
MUT-001: { level: must, statement: A pod is mutated., source: "https://example.com/", essential: true }
MUT-002: { level: must-not, statement: Another is not., source: "https://example.com/" }
POL-001: { level: must, statement: A policy refuses., source: "https://example.com/", essential: true, elsewhere: real Kyverno }
POL-002: { level: should, statement: It warns., source: "https://example.com/", essential: true }
POL-003: { level: may, statement: It may be quiet., source: "https://example.com/" }
POL-004: { level: should, statement: It should be loud., source: "https://example.com/" }
"#;
        wi_model::catalogue::requirements("requirements.yaml", text.as_bytes()).unwrap()
    }

    fn case(id: &str, requirements: &str, needs: &str) -> Case {
        let text = format!(
            "title: It works\nrequirements: {requirements}\nneeds: {needs}\nmutants: [webhook/ignores-label]\n\
             when:\n  - create-pod: {{ name: p, image: quickstart/pause }}\n\
             then:\n  - admission: {{ of: p, outcome: unchanged }}\n"
        );
        let scenario =
            wi_model::parse::scenario("a.yaml", text.as_bytes()).unwrap_or_else(|faults| panic!("{faults:?}"));
        Case { id: id.into(), file: "a.yaml".into(), scenario, sabotage: None, variation: Vec::new() }
    }

    fn folded() -> Coverage {
        let cases = [case("b/later", "[MUT-001, KV-001]", "[virtual-time]"), case("a/first", "[MUT-001]", "[]")];
        coverage("embedded", &catalogue(), &cases, &BTreeSet::from([Capability::Webhook]))
    }

    #[test]
    fn each_requirement_has_its_scenarios_and_what_the_target_lacks_for_them() {
        let folded = folded();
        let of = |id: &str| folded.requirements.iter().find(|covered| covered.id == id).unwrap();
        let (first, later) = (&of("MUT-001").scenarios[0], &of("MUT-001").scenarios[1]);
        assert_eq!((first.id.as_str(), first.missing.as_slice()), ("a/first", [].as_slice()));
        assert_eq!((later.id.as_str(), later.missing.as_slice()), ("b/later", [Capability::VirtualTime].as_slice()));
        assert!(of("KV-001").is_shown() && !of("KV-001").would_run());
        assert!(!of("MUT-002").is_shown());
    }

    #[test]
    fn the_counts_tell_holes_from_what_need_not_or_cannot_be_shown() {
        let expected = Counts {
            requirements: 7,
            shown: 2,
            run: 1,
            elsewhere: 1,
            without: 4,
            holes: 3,
            essential: 4,
            essential_shown: 2,
        };
        assert_eq!(folded().counts, expected);
    }

    #[test]
    fn a_scenario_closes_a_hole_and_counts_where_the_catalogue_says_that_it_takes_more() {
        let cases = [case("a/all", "[MUT-001, MUT-002, KV-001, POL-001, POL-002, POL-004]", "[]")];
        let folded = coverage("kind", &catalogue(), &cases, &BTreeSet::new());
        assert_eq!((folded.counts.holes, folded.counts.elsewhere, folded.counts.shown), (0, 0, 6));
        let policy = "  POL-001  * must     A policy refuses.\n               runs  a/all\n      to cover it fully  real Kyverno\n";
        assert!(folded.text().contains(policy), "{}", folded.text());
    }

    #[test]
    fn people_read_what_is_shown_then_what_takes_more_then_what_is_missing_with_the_heaviest_first() {
        let expected = "\
KV
  KV-001   * must     A secret is read.
     not applicable  b/later  the target lacks virtual-time

MUT
  MUT-001  * must     A pod is mutated.
               runs  a/first
     not applicable  b/later  the target lacks virtual-time

Not covered on the embedded target, because it needs more
  POL-001  * must     A policy refuses.
              takes  real Kyverno

Not covered yet
  POL-002  * should   It warns.
  MUT-002    must not Another is not.
  POL-004    should   It should be loud.
  POL-003    may      It may be quiet.

7 requirements: 2 covered (1 of them on embedded), 1 need more than the embedded target, 4 not covered (3 of them \
mandatory); 2 of 4 essential requirements (*) are covered";
        assert_eq!(folded().text(), expected);
    }

    #[test]
    fn essential_absolutes_come_before_all_else_that_is_missing() {
        let text = coverage("embedded", &catalogue(), &[], &BTreeSet::new()).text();
        let missing = text.split("Not covered yet\n").nth(1).unwrap();
        let ids: Vec<&str> = missing.lines().take(6).filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(ids, ["KV-001", "MUT-001", "POL-002", "MUT-002", "POL-004", "POL-003"]);
    }

    #[test]
    fn tools_read_the_same() {
        let json: serde_json::Value = serde_json::from_str(&folded().json()).unwrap();
        assert_eq!(json["version"], COVERAGE_VERSION);
        assert_eq!(json["counts"]["essential-shown"], 2);
        let one = json["requirements"].as_array().unwrap().iter().find(|one| one["id"] == "MUT-001").unwrap();
        assert_eq!((&one["level"], &one["essential"], &one["owed"]), (&"must".into(), &true.into(), &true.into()));
        assert_eq!(one["scenarios"][1]["missing"], serde_json::json!(["virtual-time"]));
        assert!(one["scenarios"][0].get("missing").is_none());
    }
}
