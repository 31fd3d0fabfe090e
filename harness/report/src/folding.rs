//! Logs and what is folded from them.

use wi_model::record::{Outcome, Phase, RunRecord};
use wi_model::redact::Redactor;
use wi_model::secret::Secret;

use crate::{Event, Shard, concatenate, example, fold, line};

fn at(second: u32) -> String {
    format!("2026-01-01T00:00:{second:02}Z")
}

/// The log that the example run would have written, whole or as a part of it.
fn log(run: &RunRecord, shard: Option<Shard>) -> Vec<String> {
    let planned = run.cases.iter().cloned().map(|mut case| {
        case.outcome = Outcome::Blocked;
        case.checks.clear();
        case.failures.clear();
        case
    });
    let begun = Event::RunBegun {
        run: run.run.clone(),
        harness: run.environment.harness.clone(),
        planned: planned.collect(),
        shard,
        requirements: run.requirements.clone(),
    };
    let mut events = vec![begun, Event::EnvironmentReady { environment: run.environment.clone() }];
    for case in &run.cases {
        events.push(Event::CaseBegun { id: case.id.clone() });
        events.push(Event::CaseJudged { record: Box::new(case.clone()) });
    }
    events.extend(run.phases.iter().cloned().map(|phase| Event::PhaseEnded { phase }));
    events.push(Event::RunEnded { duration_ms: run.duration_ms, interrupted: run.interrupted });
    events
        .iter()
        .enumerate()
        .map(|(i, event)| line(event, at(u32::try_from(i).unwrap()), &Redactor::default()))
        .collect()
}

#[test]
fn the_record_is_the_fold_of_the_log() {
    let run = example::run();
    let folded = fold(&log(&run, None).concat()).unwrap();
    assert_eq!(crate::json(&folded), crate::json(&run));
}

#[test]
fn every_event_and_field_of_it_is_explained_to_other_programs() {
    let page = include_str!("../../../docs/events.md");
    let shard = Shard { index: 1, count: 3, split: "s".into() };
    let mut lines = log(&example::run(), Some(shard));
    for event in [Event::LeftBehind { what: Vec::new() }, Event::Noted { note: "n".into() }] {
        lines.push(line(&event, at(59), &Redactor::default()));
    }
    for line in lines {
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let event = value["event"].as_str().unwrap();
        assert!(page.contains(&format!("\n| `{event}` |")), "{event} has no row");
        for field in value.as_object().unwrap().keys() {
            assert!(page.contains(&format!("`{field}`")), "{field} of {event} is not explained");
        }
    }
}

#[test]
fn a_log_that_ends_anywhere_gives_a_record_in_which_what_was_not_judged_is_blocked() {
    let run = example::run();
    let whole = log(&run, None).concat();
    let first = whole.find('\n').unwrap() + 1;
    // Without the last line break nothing of it is missing.
    for cut in (first..whole.len() - 1).step_by(7) {
        let Some(text) = whole.get(..cut) else { continue };
        let folded = fold(text).unwrap();
        assert_eq!(folded.cases.len(), run.cases.len(), "every planned case is in the record, cut at {cut}");
        let unjudged: Vec<_> = folded
            .cases
            .iter()
            .filter(|case| {
                case.reason.as_ref().is_some_and(|reason| reason.starts_with("the run ended before this case"))
            })
            .collect();
        assert!(unjudged.iter().all(|case| case.outcome == Outcome::Blocked));
        assert_eq!(folded.interrupted, !unjudged.is_empty(), "cut at {cut}");
        let tail = text.rsplit('\n').next().unwrap();
        let torn = !tail.is_empty() && serde_json::from_str::<serde_json::Value>(tail).is_err();
        let said = folded.notes.iter().any(|note| note.contains("is incomplete and is ignored"));
        assert_eq!(said, torn, "cut at {cut}: {:?}", folded.notes);
        assert!(folded.notes.iter().any(|note| note.contains("is incomplete: the run was killed")), "cut at {cut}");
    }
}

#[test]
fn a_case_that_had_begun_is_told_from_one_that_had_not() {
    let run = example::run();
    let text = log(&run, None)[..3].concat();
    let folded = fold(&text).unwrap();
    let reasons: Vec<&str> = folded.cases.iter().map(|case| case.reason.as_deref().unwrap()).collect();
    assert_eq!(reasons[0], "the run ended before this case was judged");
    assert!(reasons[1..].iter().all(|reason| *reason == "the run ended before this case started"), "{reasons:?}");
}

#[test]
fn what_is_damaged_before_its_end_newer_or_no_log_is_refused_with_its_line() {
    let lines = log(&example::run(), None);
    let mut damaged = lines.clone();
    damaged[2] = "{\"version\":1,\"at\":\"\n".into();
    assert!(fold(&damaged.concat()).unwrap_err().to_string().starts_with("line 3: invalid JSON"));
    let newer = lines.concat().replace("{\"version\":1,\"at\"", "{\"version\":2,\"at\"");
    assert!(fold(&newer).unwrap_err().to_string().contains("expected an event of version 1, found version 2"));
    assert!(fold("").unwrap_err().to_string().contains("run-begun"));
    assert!(fold(&lines[1]).unwrap_err().to_string().contains("expected `run-begun` first"));
}

fn part(index: u32, split: &str) -> String {
    let mut run = example::run();
    run.run = format!("r{index}");
    run.cases =
        run.cases.into_iter().enumerate().filter(|(i, _)| i % 3 == index as usize - 1).map(|(_, case)| case).collect();
    log(&run, Some(Shard { index, count: 3, split: split.into() })).concat()
}

#[test]
fn three_shards_merged_are_the_whole_run_case_by_case() {
    let merged = fold(&concatenate(&[part(2, "s"), part(1, "s"), part(3, "s")], &at(0))).unwrap();
    let whole = example::run();
    let told = |run: &RunRecord| serde_json::to_string_pretty(&run.cases).unwrap();
    assert_eq!(told(&merged), told(&whole));
    assert!(!merged.interrupted && merged.notes.is_empty(), "{:?}", merged.notes);
    assert_eq!(merged.phases[0], Phase { what: "shard 1/3 cases".into(), ms: 1500 });
    assert!(crate::diff(&merged, &whole).lines.is_empty());
}

#[test]
fn a_missing_shard_is_said_and_the_merge_is_not_taken_for_the_whole() {
    let merged = fold(&concatenate(&[part(1, "s"), part(3, "s")], &at(0))).unwrap();
    assert!(merged.interrupted);
    assert_eq!(merged.notes, ["missing of 3 shards: 2"]);
}

#[test]
fn runs_that_do_not_belong_together_are_not_merged() {
    let error = fold(&concatenate(&[part(1, "s"), part(2, "t")], &at(0))).unwrap_err();
    assert!(error.to_string().contains("parts of different runs"), "{error}");
    let mut other = example::run();
    other.run = "other".into();
    other.environment.profile = Some("1.5".into());
    let logs = [log(&example::run(), None).concat(), log(&other, None).concat()];
    let error = fold(&concatenate(&logs, &at(0))).unwrap_err();
    assert!(error.to_string().contains("r1 tested webhook w 1.6 (p 1.6.0), profile 1.6"), "{error}");
}

#[test]
fn what_was_run_again_counts_once_and_what_an_interrupted_run_left_out_may_have_run_since() {
    let first = log(&example::run(), None)[..4].concat();
    let mut second = example::run();
    second.run = "r2".into();
    second.cases[0].outcome = Outcome::Pass;
    second.cases[0].failures.clear();
    let second = log(&second, None).concat().replace("2026-01-01", "2026-01-02");
    // The torn end of the first log is said, whichever comes first.
    let merged = fold(&concatenate(&[second, format!("{first}{{\"ver")], &at(0))).unwrap();
    assert_eq!(merged.count(Outcome::Pass), 2);
    assert!(!merged.interrupted);
    assert!(merged.notes.iter().any(|note| note.contains("is incomplete and is ignored")), "{:?}", merged.notes);
    assert!(merged.notes.iter().any(|note| note.contains("the last verdict counts: a/fails")), "{:?}", merged.notes);
}

#[test]
fn no_secret_and_no_token_is_in_a_line() {
    let mut record = example::run().cases.remove(0);
    record.failures[0].observed = "got canary-77 and eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl".into();
    let redactor = Redactor::new([Secret::new("canary-77")]);
    let text = line(&Event::CaseJudged { record: Box::new(record) }, at(0), &redactor);
    assert!(!text.contains("canary-77") && !text.contains("c2lnbmF0dXJl"), "{text}");
    assert_eq!(text.matches('\n').count(), 1);
}

#[test]
fn no_log_that_a_fuzzer_found_or_began_with_breaks_a_report() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/event_log");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    for bytes in files.iter().map(|path| std::fs::read(path).unwrap()) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = crate::read(&text);
        if let Ok(run) = fold(&text) {
            let _ = (crate::text(&run), crate::junit(&run), crate::html(&run, &|_, _| None));
        }
    }
}
