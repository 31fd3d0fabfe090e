//! A run that says everything that a report must bear: secrets, tokens, markup, control characters, a megabyte in one
//! message, names from everywhere.

use wi_model::catalogue::Catalogue;
use wi_model::located::Position;
use wi_model::record::{Check, Environment, Failure, Moment, Outcome, Record, RunRecord};
use wi_model::redact::Redactor;
use wi_model::secret::Secret;
use wi_model::verdict::Hop;
use wi_report::Event;

/// Parts of the planted secrets; none may be in any report.
pub(crate) const CANARIES: [&str; 4] = ["canary-5f2b", "c2lnbmF0dXJl", "Y2FuYXJ5LTVmMmI", "eyJzdWIiOiJ4In0"];

const SECRET: &str = "canary-5f2b \"quoted\"";
const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";
const NASTY: &str =
    "a]]>b<![CDATA[c</failure><!--&lt;\"'--> \u{0}\u{1}\u{8}\u{b}\u{1b}[31mred\u{1b}[0m\u{7f}\u{85}\u{fffe}\u{202e}";

/// Ids with letters, signs and pictures of many scripts.
pub(crate) const IDS: [&str; 6] = [
    "área/ünïcödé-ß",
    "area/名前-имя-اسم",
    "area/rocket-🚀",
    "area/with space & <sign> \"quoted\"",
    "other/plain",
    "other/very-long",
];

fn text(what: &str) -> String {
    let encoded = "Y2FuYXJ5LTVmMmIgInF1b3RlZCI=";
    format!("{what}: {SECRET} {} {TOKEN} {encoded} {NASTY} ünï 名前 🚀", SECRET.replace('"', "\\\""))
}

/// A case that says nasty things.
pub(crate) fn case(id: &str, outcome: Outcome, longest: usize) -> Record {
    let at = Position { line: 9, column: 5 };
    let red = outcome == Outcome::Fail;
    let failure = Failure {
        hop: Hop::Exchange,
        expected: text("expected"),
        observed: format!("{}{}", text("observed"), "é".repeat(longest / 2)),
        changes: Vec::new(),
        advice: Some(text("advice")),
        at,
        looks: 3,
        waited_ms: 120,
    };
    let check = |hop, met| Check {
        expectation: text("pod p"),
        hop: Some(hop),
        at,
        met,
        judged: true,
        word_alone: false,
        unasked: false,
        looks: 2,
        waited_ms: 30,
    };
    Record {
        again: None,
        id: id.into(),
        title: text("title"),
        file: format!("scenarios/{id}.yaml"),
        requirements: vec!["MUT-001".into()],
        source: Some(text("source")),
        sabotage: None,
        outcome,
        reason: (outcome != Outcome::Pass && !red).then(|| text("reason")),
        failures: if red { vec![failure] } else { Vec::new() },
        checks: vec![check(Hop::Admission, true), check(Hop::Exchange, !red)],
        started: "2026-01-01T00:00:00Z".into(),
        duration_ms: 250,
        timeline: vec![Moment { at_ms: 3, what: text("moment") }],
        evidence: Some(format!("cases/{id}")),
        artefacts: vec!["pod/sent.json".into(), "case.json".into()],
    }
}

/// The record of a run of these cases, by way of its log.
pub(crate) fn run(cases: Vec<Record>) -> RunRecord {
    let redactor = Redactor::new([Secret::new(SECRET)]);
    let environment = Environment {
        target: text("target"),
        webhook: text("webhook"),
        product: None,
        profile: Some("1.6".into()),
        kubernetes: Some("v1.34.1".into()),
        harness: "0.1.0".into(),
        capabilities: vec!["runs-pods".into()],
    };
    let begun = Event::RunBegun {
        run: "r1".into(),
        harness: "0.1.0".into(),
        planned: cases.clone(),
        shard: None,
        requirements: Catalogue::new(),
    };
    let mut events = vec![begun, Event::EnvironmentReady { environment }];
    events.extend(cases.into_iter().map(|record| Event::CaseJudged { record: Box::new(record) }));
    events.push(Event::LeftBehind { what: vec![text("left")] });
    events.push(Event::RunEnded { duration_ms: 1500, interrupted: false });
    let log: String =
        events.iter().map(|event| wi_report::line(event, "2026-01-01T00:00:00Z".into(), &redactor)).collect();
    no_canary("the log", &log);
    wi_report::fold(&log).unwrap()
}

/// One case of each id, each of another outcome, one with a message of a megabyte.
pub(crate) fn small() -> RunRecord {
    let cases = IDS.iter().zip(Outcome::ALL).map(|(id, outcome)| {
        let longest = if outcome == Outcome::Fail { 1024 * 1024 } else { 0 };
        case(id, outcome, longest)
    });
    run(cases.collect())
}

/// Fails where a part of a planted secret is in a text.
pub(crate) fn no_canary(what: &str, text: &str) {
    for canary in CANARIES {
        assert!(!text.contains(canary), "{what} holds {canary}");
    }
}
