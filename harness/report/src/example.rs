//! A run with every outcome, for tests.

use std::collections::BTreeMap;

use wi_model::catalogue::{Level, Requirement};
use wi_model::located::Position;
use wi_model::record::{Check, Environment, Failure, Outcome, Phase, Record, RunRecord};
use wi_model::verdict::Hop;

fn case(id: &str, outcome: Outcome, reason: Option<&str>) -> Record {
    Record {
        id: id.into(),
        title: format!("title of {id}"),
        file: format!("scenarios/{id}.yaml"),
        requirements: vec!["MUT-001".into()],
        source: None,
        sabotage: None,
        outcome,
        reason: reason.map(str::to_owned),
        failures: Vec::new(),
        checks: vec![Check {
            expectation: "pod p is mutated".into(),
            hop: Some(Hop::Admission),
            at: Position { line: 9, column: 5 },
            met: outcome == Outcome::Pass,
            judged: true,
            word_alone: false,
            unasked: false,
            looks: 2,
            waited_ms: 30,
        }],
        started: "2026-01-01T00:00:00Z".into(),
        duration_ms: 250,
        timeline: Vec::new(),
        again: None,
        evidence: Some(format!("cases/{id}")),
        artefacts: vec!["case.json".into()],
    }
}

fn requirement(statement: &str, source: &str) -> Requirement {
    Requirement {
        level: Level::Must,
        statement: statement.into(),
        source: source.into(),
        profile: Vec::new(),
        essential: false,
        elsewhere: None,
    }
}

/// One case of each outcome.
pub(crate) fn run() -> RunRecord {
    let mut failed = case("a/fails", Outcome::Fail, None);
    failed.failures.push(Failure {
        hop: Hop::Exchange,
        expected: "an access token of client c".into(),
        observed: "refused with AADSTS700211 \u{1b}[31m(HTTP 401)\u{0}: <issuer>".into(),
        changes: Vec::new(),
        advice: Some("compare the issuers".into()),
        at: Position { line: 9, column: 5 },
        looks: 3,
        waited_ms: 120,
    });
    RunRecord {
        phases: vec![Phase { what: "cases".into(), ms: 1500 }],
        version: wi_model::record::REPORT_VERSION,
        run: "r1".into(),
        started: "2026-01-01T00:00:00Z".into(),
        duration_ms: 1500,
        environment: Environment {
            target: "t".into(),
            webhook: "w 1.6".into(),
            product: wi_model::product::Product::new("p", "1.6.0"),
            profile: Some("1.6".into()),
            kubernetes: Some("v1.34.1".into()),
            harness: "0.1.0".into(),
            capabilities: vec!["runs-pods".into()],
        },
        cases: vec![
            failed,
            case("a/passes", Outcome::Pass, None),
            case("b/blocked", Outcome::Blocked, Some("the setup failed: no vault")),
            case("b/expected", Outcome::ExpectedFail, Some("PRX-003: known")),
            case("b/skipped", Outcome::NotApplicable, Some("the target lacks virtual-time")),
            case("b/stale", Outcome::UnexpectedPass, Some("the register is stale")),
        ],
        leftovers: Vec::new(),
        interrupted: false,
        notes: Vec::new(),
        requirements: BTreeMap::from([
            ("MUT-001".to_owned(), requirement("a labelled pod is mutated", "https://example.test/mut")),
            ("OIDC-009".to_owned(), requirement("a clause that nothing shows", "chapter 9")),
        ]),
    }
}
