//! A run for people: on a terminal.

use wi_model::record::{Outcome, Record, RunRecord};

use crate::plain::for_terminal;
use crate::verdict::Verdict;

/// A failed case in lines: the hop, expected and observed, advice, the place, and how to rerun it.
pub fn case_text(case: &Record) -> String {
    let mut lines = vec![format!("{} {}: {}", case.outcome, case.id, case.title)];
    if let Some(reason) = &case.reason {
        lines.push(format!("  reason    {reason}"));
    }
    for failure in &case.failures {
        lines.push(format!("  hop       {}", failure.hop));
        lines.push(format!("  expected  {}", failure.expected));
        lines
            .push(format!("  observed  {} ({} checks over {} ms)", failure.observed, failure.looks, failure.waited_ms));
        if let Some(advice) = &failure.advice {
            lines.push(format!("  advice    {advice}"));
        }
        lines.push(format!("  where     {}:{}:{}", case.file, failure.at.line, failure.at.column));
    }
    let unjudged: Vec<String> = case
        .checks
        .iter()
        .filter(|check| !check.judged && !check.unasked)
        .map(|check| check.at.line.to_string())
        .collect();
    if !unjudged.is_empty() {
        lines.push(format!("  then      not judged after this failure: line {}", unjudged.join(", ")));
    }
    if let Some(evidence) = &case.evidence {
        lines.push(format!("  evidence  {evidence}/"));
    }
    lines.push(format!("  again     {}", again(case)));
    for_terminal(&lines.join("\n"))
}

/// The command that runs a case again.
pub(crate) fn again(case: &Record) -> String {
    case.again.clone().unwrap_or_else(|| {
        let under = case.sabotage.as_ref().map(|name| format!(" --mutant {name}")).unwrap_or_default();
        format!("wi-conformance run --exact {}{under}", case.id)
    })
}

/// The summary of a run: failed cases in full, then the verdict and the counts.
pub fn text(run: &RunRecord) -> String {
    let mut parts: Vec<String> = run.cases.iter().filter(|case| case.outcome.is_red()).map(case_text).collect();
    parts.extend(words_alone(run));
    parts.extend(run.notes.iter().map(|note| format!("note: {note}")));
    for left in &run.leftovers {
        parts.push(format!("left behind: {left}; `wi-conformance sweep` removes it"));
    }
    parts.extend(registered(run));
    let verdict = Verdict::of(run);
    parts.push(format!("{}: {}\n{}{}", verdict.word.text(), verdict.sentence, counts(run), phases(run)));
    for_terminal(&format!("\n{}", parts.join("\n\n")))
}

/// The deviations that the register knows of this product and that this run has shown.
fn registered(run: &RunRecord) -> Option<String> {
    let known: Vec<&Record> = run.cases.iter().filter(|case| case.outcome == Outcome::ExpectedFail).collect();
    let product = run.environment.product.as_ref().map_or_else(|| "the webhook".to_owned(), ToString::to_string);
    let lines = known.iter().map(|case| format!("  {}  {}", case.id, case.reason.as_deref().unwrap_or_default()));
    (!known.is_empty()).then(|| {
        format!(
            "registered deviations of {product}, which do not fail this run:\n{}",
            lines.collect::<Vec<_>>().join("\n")
        )
    })
}

/// What came out, in a sentence.
pub(crate) fn counts(run: &RunRecord) -> String {
    let counted: Vec<String> = Outcome::ALL
        .into_iter()
        .map(|outcome| (outcome, run.count(outcome)))
        .filter(|(outcome, count)| *count > 0 || *outcome == Outcome::Pass)
        .map(|(outcome, count)| format!("{count} {outcome}"))
        .collect();
    let interrupted = if run.interrupted { ", interrupted" } else { "" };
    format!(
        "{} cases: {}{interrupted} ({:.1} s, webhook {}, target {})",
        run.cases.len(),
        counted.join(", "),
        seconds(run.duration_ms),
        run.environment.judged(),
        run.environment.target
    )
}

/// Expectations that were met by the pods' word alone.
pub(crate) fn words_alone(run: &RunRecord) -> Option<String> {
    let count = run.cases.iter().flat_map(|case| &case.checks).filter(|check| check.word_alone).count();
    (count > 0).then(|| {
        format!(
            "note: {count} expectations were met only by the pods' own output, because this target has no request journal to compare it with"
        )
    })
}

/// Durations, for a run that had more to do than its cases.
fn phases(run: &RunRecord) -> String {
    if run.phases.len() < 3 {
        return String::new();
    }
    let told: Vec<String> =
        run.phases.iter().map(|phase| format!("{} {:.1} s", phase.what, seconds(phase.ms))).collect();
    format!("\ntime: {}", told.join(", "))
}

fn seconds(milliseconds: u64) -> f64 {
    std::time::Duration::from_millis(milliseconds).as_secs_f64()
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_pod_says_commands_neither_the_terminal_nor_the_ci_server() {
        let mut run = crate::example::run();
        let case = &mut run.cases[0];
        case.title = "\u{1b}[2Jt".into();
        case.failures[0].observed = "x\n::error::y\r##vso[task.complete]\u{7}".into();
        run.notes = vec!["::stop-commands::z".into()];
        for text in [super::text(&run), super::case_text(&run.cases[0])] {
            assert!(!text.contains(['\u{1b}', '\r', '\u{7}']) && !text.contains("##vso["), "{text}");
            assert!(text.lines().all(|line| !line.trim_start().starts_with("::")), "{text}");
        }
    }

    #[test]
    fn red_cases_come_first_with_hop_expected_observed_and_place_and_counts_last() {
        let text = super::text(&crate::example::run());
        for part in [
            "hop       exchange",
            "expected  an access token of client c",
            "observed  refused with AADSTS700211",
            "where     scenarios/a/fails.yaml:9:5",
            "advice    compare the issuers",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("a/passes"));
        let last = text.lines().last().unwrap();
        assert_eq!(
            last,
            "6 cases: 1 fail, 1 unexpected-pass, 1 blocked, 1 pass, 1 expected-fail, 1 not-applicable (1.5 s, webhook w 1.6 (p 1.6.0), target t)"
        );
    }
}
