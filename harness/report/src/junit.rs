//! JUnit XML in the profile that its readers agree on: flat suites, unique names, file and line, each message in the body
//! too, one `system-out`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite, XmlString};
use wi_model::record::{Outcome, Record, RunRecord};

use crate::case_text;
use crate::plain::plain;

/// The longest text of a case. Readers cut at various lengths, some drop a whole file that is too large.
const LONGEST: usize = 64 * 1024;

/// The longest text in an attribute.
const LONGEST_LINE: usize = 4 * 1024;

/// The report as JUnit XML.
pub fn junit(run: &RunRecord) -> String {
    let profile = run.environment.profile.clone().unwrap_or_else(|| "any".to_owned()).replace('.', "_");
    let mut areas: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for case in &run.cases {
        areas.entry(case.id.split('/').next().unwrap_or(&case.id)).or_default().push(case);
    }
    let mut report = Report::new("wi-conformance");
    report.set_time(Duration::from_millis(run.duration_ms));
    let started = run.started.parse::<Timestamp>().ok();
    for (area, cases) in areas {
        let mut suite = TestSuite::new(format!("awi.{profile}.{area}"));
        suite.set_time(Duration::from_millis(cases.iter().map(|case| case.duration_ms).sum()));
        for (name, value) in [
            ("target", Some(&run.environment.target)),
            ("webhook", Some(&run.environment.webhook)),
            ("kubernetes", run.environment.kubernetes.as_ref()),
            ("harness", Some(&run.environment.harness)),
            ("run", Some(&run.run)),
        ] {
            if let Some(value) = value {
                suite.add_property(Property::new(name, clean(value)));
            }
        }
        if let Some(started) = started {
            suite.extra.insert("timestamp".into(), started.to_string().into());
        }
        suite.extra.insert("hostname".into(), XmlString::from(clean(&run.environment.target)));
        suite.add_test_cases(cases.into_iter().map(|case| test_case(case, &profile, area)));
        report.add_test_suite(suite);
    }
    report.to_string().unwrap_or_else(|error| format!("<testsuites><!-- {error} --></testsuites>"))
}

fn test_case(case: &Record, profile: &str, area: &str) -> TestCase {
    let mut test = TestCase::new(clean(&case.id), status(case));
    test.set_classname(format!("awi.{profile}.{area}"));
    test.set_time(Duration::from_millis(case.duration_ms));
    test.extra.insert("file".into(), XmlString::from(clean(&case.file)));
    let line = case.failures.first().map_or(1, |failure| failure.at.line.max(1));
    test.extra.insert("line".into(), line.to_string().into());
    test.add_property(Property::new("outcome", case.outcome.word()));
    test.add_property(Property::new("requirements", clean(&case.requirements.join(" "))));
    test.set_system_out(clean(&narrative(case)));
    test
}

fn status(case: &Record) -> TestCaseStatus {
    let message = headline(case);
    let with = |kind| {
        let mut status = TestCaseStatus::non_success(kind);
        status.set_message(message.clone());
        status.set_type(case.requirements.first().map_or("wi-conformance", String::as_str));
        status.set_description(clean(&format!("{message}\n\n{}", case_text(case))));
        status
    };
    match case.outcome {
        Outcome::Pass => TestCaseStatus::success(),
        Outcome::Fail | Outcome::UnexpectedPass => with(NonSuccessKind::Failure),
        Outcome::Blocked => with(NonSuccessKind::Error),
        Outcome::NotApplicable | Outcome::ExpectedFail => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(message.clone());
            status.set_description(message);
            status
        }
    }
}

/// What came out, in a line.
fn headline(case: &Record) -> String {
    let line = match (case.failures.first(), &case.reason) {
        (_, Some(reason)) if case.outcome != Outcome::Fail => format!("{}: {reason}", case.outcome),
        (Some(failure), _) => format!("{}: expected {}; observed {}", failure.hop, failure.expected, failure.observed),
        (None, Some(reason)) => reason.clone(),
        (None, None) => case.outcome.to_string(),
    };
    plain(&line, LONGEST_LINE).replace(['\t', '\n'], " ")
}

/// What was expected and how it went, then the evidence, a line each.
fn narrative(case: &Record) -> String {
    let mut lines = vec![case.title.clone()];
    lines.extend(case.checks.iter().map(|check| {
        let word = if check.judged && !check.met { "NOT MET" } else { check.word() };
        format!("{word}: {} ({} checks over {} ms)", check.expectation, check.looks, check.waited_ms)
    }));
    if let Some(evidence) = &case.evidence {
        lines.extend(case.artefacts.iter().map(|file| format!("evidence: {evidence}/{file}")));
    }
    lines.join("\n")
}

/// Text as XML can hold it.
fn clean(text: &str) -> String {
    plain(text, LONGEST)
}

#[cfg(test)]
mod tests {
    use quick_junit::Report;

    use super::*;
    use crate::example;

    #[test]
    fn the_xml_is_read_back_with_counts_unique_names_and_messages_in_the_bodies() {
        let xml = junit(&example::run());
        let report = Report::deserialize_from_str(&xml).unwrap();
        let suites: Vec<(&str, usize, usize, usize)> =
            report.test_suites.iter().map(|s| (s.name.as_str(), s.tests, s.failures, s.errors)).collect();
        assert_eq!(suites, [("awi.1_6.a", 2, 1, 0), ("awi.1_6.b", 4, 1, 1)]);
        let mut names: Vec<_> = report
            .test_suites
            .iter()
            .flat_map(|s| &s.test_cases)
            .map(|c| (c.classname.clone(), c.name.clone()))
            .collect();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        assert_eq!(xml.matches("<system-out>").count(), 6);
        for part in [
            "file=\"scenarios/a/fails.yaml\"",
            "line=\"9\"",
            "message=\"exchange: expected an access token of client c; observed refused with AADSTS700211 (HTTP 401)\u{2400}: &lt;issuer&gt;\"",
            "message=\"not-applicable: the target lacks virtual-time\"",
        ] {
            assert!(xml.contains(part), "{part}: {xml}");
        }
        assert!(xml.contains("\n\nfail a/fails: title of a/fails"), "{xml}");
    }

    #[test]
    fn a_headline_is_a_short_line_and_the_body_has_the_rest() {
        let mut run = example::run();
        run.cases[0].failures[0].observed = "x\n".repeat(LONGEST);
        let xml = junit(&run);
        let message = xml.split("message=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        assert!(message.len() < LONGEST_LINE + 64 && message.ends_with("bytes in total)"), "{}", message.len());
        assert!(xml.len() < 4 * LONGEST, "{}", xml.len());
    }
}
