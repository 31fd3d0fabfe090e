//! Two runs compared: the cases that came out otherwise, or for another reason.

use std::collections::BTreeMap;

use wi_model::record::{Outcome, Record, RunRecord};

/// What two runs differ in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differences {
    /// One line a case.
    pub lines: Vec<String>,
    /// How many cases ran in both.
    pub compared: usize,
    /// The same in a sentence.
    pub summary: String,
}

/// Compares the verdicts of two runs. A case that is not applicable in one of them is not compared: it says why in its
/// own report.
pub fn diff(a: &RunRecord, b: &RunRecord) -> Differences {
    let by_id =
        |run: &RunRecord| run.cases.iter().map(|case| (case.id.clone(), case.clone())).collect::<BTreeMap<_, _>>();
    let (cases_a, cases_b) = (by_id(a), by_id(b));
    let mut differences = Differences { lines: Vec::new(), compared: 0, summary: String::new() };
    let mut not_applicable = 0;
    let ids: std::collections::BTreeSet<&String> = cases_a.keys().chain(cases_b.keys()).collect();
    for id in ids {
        match (cases_a.get(id), cases_b.get(id)) {
            (Some(a), Some(b)) if [a, b].iter().any(|case| case.outcome == Outcome::NotApplicable) => {
                not_applicable += 1
            }
            (Some(a), Some(b)) => {
                differences.compared += 1;
                let (verdict_a, verdict_b) = (verdict(a), verdict(b));
                if verdict_a != verdict_b {
                    differences.lines.push(format!("{id}\n  a  {verdict_a}\n  b  {verdict_b}"));
                }
            }
            (Some(_), None) => {
                differences.lines.push(format!("{id}\n  a  {}\n  b  not in this run", verdict(&cases_a[id])))
            }
            (None, _) => differences.lines.push(format!("{id}\n  a  not in this run\n  b  {}", verdict(&cases_b[id]))),
        }
    }
    differences.summary = format!(
        "{} of {} cases that both runs ran differ ({} and {}); {not_applicable} not applicable in one of them",
        differences.lines.len(),
        differences.compared,
        told(a),
        told(b)
    );
    differences
}

fn told(run: &RunRecord) -> String {
    format!("{}, webhook {}", run.environment.target, run.environment.judged())
}

/// An outcome with the reason for it, without what differs from run to run: names that were made up, times, places.
fn verdict(case: &Record) -> String {
    let mut text = case.outcome.to_string();
    if let Some(reason) = case.reason.as_ref().filter(|_| case.outcome != Outcome::Pass) {
        text.push_str(&format!(": {}", without_names(reason)));
    }
    // What came after the first broken hop followed from it.
    if let Some(failure) = case.failures.first() {
        let (expected, observed) = (without_names(&failure.expected), without_names(&failure.observed));
        text.push_str(&format!(" at {}: expected {expected}; observed {observed}", failure.hop));
    }
    // One that is made wherever a target can tell is no difference between the cases, unless it found something.
    for check in case.checks.iter().filter(|check| !check.unasked || check.judged && !check.met) {
        text.push_str(&format!("; {} {}", if check.met { "met" } else { check.word() }, check.at.line));
    }
    text
}

/// Text with every made-up name masked: words with a run of eight or more hex digits, and numbers.
fn without_names(text: &str) -> String {
    let is_made_up = |word: &str| {
        let digits = word.chars().filter(char::is_ascii_digit).count();
        let longest = word.split(|c: char| !c.is_ascii_hexdigit()).map(str::len).max().unwrap_or(0);
        digits > 0 && (longest >= 8 || word.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ':'))
    };
    text.split_inclusive(|c: char| c.is_whitespace() || "\"'`(),/".contains(c))
        .map(|piece| {
            let word = piece.trim_end_matches(|c: char| c.is_whitespace() || "\"'`(),/".contains(c));
            if is_made_up(word) { piece.replacen(word, "*", 1) } else { piece.to_owned() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_does_not_differ_from_itself_nor_from_one_with_other_made_up_names() {
        let a = crate::example::run();
        let mut b = a.clone();
        for case in &mut b.cases {
            case.duration_ms += 1000;
            for failure in &mut case.failures {
                failure.waited_ms += 1;
            }
        }
        let same = diff(&a, &b);
        assert!(same.lines.is_empty() && same.compared > 0, "{same:?}");
        assert_eq!(without_names("vault wi0123456789abcdef01 of pod 10.0.0.1"), "vault * of pod *");
        assert_eq!(without_names("refused with AADSTS700213: subject"), "refused with AADSTS700213: subject");
    }

    #[test]
    fn another_outcome_another_reason_and_a_missing_case_are_told() {
        let a = crate::example::run();
        let mut b = a.clone();
        let failing = b.cases.iter_mut().find(|case| !case.failures.is_empty()).unwrap();
        failing.failures[0].observed = "refused with AADSTS700212".into();
        let passing = b.cases.iter().position(|case| case.outcome == Outcome::Pass).unwrap();
        b.cases.remove(passing);
        let told = diff(&a, &b);
        assert_eq!(told.lines.len(), 2, "{told:?}");
        assert!(
            told.lines.iter().any(|line| line.contains("AADSTS700211") && line.contains("AADSTS700212")),
            "{told:?}"
        );
        assert!(told.lines.iter().any(|line| line.contains("not in this run")), "{told:?}");
    }
}
