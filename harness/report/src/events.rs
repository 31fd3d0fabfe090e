//! The events of a run, and the record as a fold over them. The log is written while the run goes, a JSON object a line,
//! so that a run which is killed still has its reports.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wi_model::catalogue::Catalogue;
use wi_model::plan::Case;
use wi_model::record::{Environment, Outcome, Phase, REPORT_VERSION, Record, RunRecord};
use wi_model::redact::Redactor;

/// Version of the shape of a line of the log; a change that a reader can trip over raises it.
pub const EVENT_VERSION: u32 = 1;

/// Something that happened in a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Event {
    /// The run began: before anything was made.
    RunBegun {
        /// The run's id.
        run: String,
        /// The harness's version.
        harness: String,
        /// The cases that are to run, as records without a verdict.
        planned: Vec<Record>,
        /// The part of a larger run that this one is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shard: Option<Shard>,
        /// The requirements that the scenarios name.
        #[serde(default)]
        requirements: Catalogue,
    },
    /// The place is ready for cases.
    EnvironmentReady {
        /// What is judged, and where.
        environment: Environment,
    },
    /// A part of the run has ended.
    PhaseEnded {
        /// Which, and how long it took.
        #[serde(flatten)]
        phase: Phase,
    },
    /// A case has begun.
    CaseBegun {
        /// The case.
        id: String,
    },
    /// A case has its verdict.
    CaseJudged {
        /// The whole record.
        record: Box<Record>,
    },
    /// Something was made and could not be removed.
    LeftBehind {
        /// What, a line each.
        what: Vec<String>,
    },
    /// Everything is done.
    RunEnded {
        /// How long it took, in milliseconds.
        duration_ms: u64,
        /// Whether it was interrupted before every case had run.
        interrupted: bool,
    },
    /// Something that a reader of the log must know of the log itself.
    Noted {
        /// In a sentence.
        note: String,
    },
}

/// A part of a larger run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Shard {
    /// Which, from 1.
    pub index: u32,
    /// Of how many.
    pub count: u32,
    /// What every part of the same larger run has in common: a hash of who runs which case.
    pub split: String,
}

/// A line of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    version: u32,
    at: String,
    #[serde(flatten)]
    event: Event,
}

/// The events of one run, in order.
struct Section {
    began: String,
    events: Vec<(String, Event)>,
}

/// A log that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable(pub(crate) String);

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

/// A case that is to run, as [`Event::RunBegun`] names it.
pub fn planned(case: &Case) -> Record {
    Record::begin(case, String::new())
}

/// An event as a line of the log, without secrets, with its end of line.
pub fn line(event: &Event, at: String, redactor: &Redactor) -> String {
    let line = Line { version: EVENT_VERSION, at, event: event.clone() };
    match serde_json::to_value(&line) {
        Ok(value) => format!("{}\n", redactor.json(&value)),
        // Every part of an event is text, a number or a list of these.
        Err(error) => format!("{{\"version\":{EVENT_VERSION},\"at\":\"\",\"event\":\"noted\",\"note\":\"{error}\"}}\n"),
    }
}

/// The record of a run, from its log. Logs of several runs, one after the other, give the record of them all.
///
/// A last line that was not written to its end is left out, and said; so is every case that the log does not know to be
/// judged.
///
/// # Errors
/// It is no log, of a version that this program does not know, damaged before its end, or of runs that do not belong
/// together.
pub fn fold(text: &str) -> Result<RunRecord, Unreadable> {
    let (sections, mut notes) = sections(text)?;
    let runs: Vec<Folded> = sections.into_iter().map(Section::fold).collect();
    let mut record = crate::merge::merge(runs)?;
    record.notes.append(&mut notes);
    Ok(record)
}

/// The logs of several runs as one. A last line that was not written to its end becomes a note.
pub fn concatenate(logs: &[String], at: &str) -> String {
    let mut out = String::new();
    for log in logs {
        let whole = log.rfind('\n').map_or(0, |end| end + 1);
        let (lines, torn) = log.split_at(whole);
        out.push_str(lines);
        if torn.trim().is_empty() {
            continue;
        }
        if read_line(torn).is_ok() {
            out.push_str(torn);
            out.push('\n');
        } else {
            let note = "the last line of the log is incomplete and is ignored".to_owned();
            out.push_str(&line(&Event::Noted { note }, at.to_owned(), &Redactor::default()));
        }
    }
    out
}

fn sections(text: &str) -> Result<(Vec<Section>, Vec<String>), Unreadable> {
    let mut sections: Vec<Section> = Vec::new();
    let mut notes = Vec::new();
    let mut lines = text.split_inclusive('\n').enumerate().peekable();
    while let Some((index, raw)) = lines.next() {
        let number = index + 1;
        if raw.trim().is_empty() {
            continue;
        }
        let line = match read_line(raw) {
            Ok(line) => line,
            // The only line that a killed writer can tear is its last one.
            Err(_) if lines.peek().is_none() && !raw.ends_with('\n') => {
                notes.push(format!("line {number} of the log is incomplete and is ignored"));
                continue;
            }
            Err(why) => return Err(Unreadable(format!("line {number}: {why}"))),
        };
        match (&line.event, sections.last_mut()) {
            (Event::RunBegun { .. }, _) => {
                sections.push(Section { began: line.at.clone(), events: vec![(line.at, line.event)] });
            }
            (_, Some(section)) => section.events.push((line.at, line.event)),
            (_, None) => {
                return Err(Unreadable(format!("line {number}: expected `run-begun` first, found another event")));
            }
        }
    }
    if sections.is_empty() {
        return Err(Unreadable("it has no `run-begun`: the run ended before it started".to_owned()));
    }
    Ok((sections, notes))
}

fn read_line(raw: &str) -> Result<Line, String> {
    let value: serde_json::Value = serde_json::from_str(raw).map_err(|error| format!("invalid JSON: {error}"))?;
    match value["version"].as_u64() {
        Some(version) if version == u64::from(EVENT_VERSION) => {}
        Some(version) => return Err(format!("expected an event of version {EVENT_VERSION}, found version {version}")),
        None => return Err("not an event: `version` is missing".to_owned()),
    }
    serde_json::from_value(value).map_err(|error| format!("not an event of version {EVENT_VERSION}: {error}"))
}

/// One run of a log.
pub(crate) struct Folded {
    pub(crate) record: RunRecord,
    pub(crate) shard: Option<Shard>,
    /// Whether the place was ever ready, so that the record knows it.
    pub(crate) placed: bool,
}

impl Section {
    fn fold(self) -> Folded {
        let mut record = RunRecord {
            version: REPORT_VERSION,
            run: String::new(),
            started: self.began.clone(),
            duration_ms: 0,
            phases: Vec::new(),
            environment: Environment::default(),
            cases: Vec::new(),
            leftovers: Vec::new(),
            interrupted: false,
            notes: Vec::new(),
            requirements: Catalogue::new(),
        };
        let (mut shard, mut placed, mut ended) = (None, false, false);
        let mut awaited: BTreeMap<String, Record> = BTreeMap::new();
        let mut begun = BTreeSet::new();
        let mut judged: BTreeMap<String, Record> = BTreeMap::new();
        let mut last = self.began.clone();
        for (at, event) in self.events {
            match event {
                Event::RunBegun { run, harness, planned, shard: part, requirements } => {
                    record.run = run;
                    record.environment.harness = harness;
                    record.requirements = requirements;
                    shard = part;
                    awaited = planned.into_iter().map(|case| (case.id.clone(), case)).collect();
                }
                Event::EnvironmentReady { environment } => {
                    record.environment = environment;
                    placed = true;
                }
                Event::PhaseEnded { phase } => record.phases.push(phase),
                Event::CaseBegun { id } => _ = begun.insert((id, at.clone())),
                // The first verdict is the one that was told.
                Event::CaseJudged { record } => _ = judged.entry(record.id.clone()).or_insert(*record),
                Event::LeftBehind { what } => record.leftovers.extend(what),
                Event::RunEnded { duration_ms, interrupted } => {
                    record.duration_ms = duration_ms;
                    record.interrupted = interrupted;
                    ended = true;
                }
                Event::Noted { note } => record.notes.push(note),
            }
            last = at;
        }
        if !ended {
            record.duration_ms = milliseconds_between(&self.began, &last);
            record.notes.push(format!(
                "the log of run {} is incomplete: the run was killed, or is still running; `wi-conformance sweep` removes what a \
                 killed run left behind",
                record.run
            ));
        }
        for (id, mut case) in awaited {
            if judged.contains_key(&id) {
                continue;
            }
            let began = begun.iter().find(|(begun, _)| *begun == id).map(|(_, at)| at.clone());
            let reason = match &began {
                Some(_) => "the run ended before this case was judged",
                None => "the run ended before this case started",
            };
            case.outcome = Outcome::Blocked;
            case.reason = Some(reason.to_owned());
            case.started = began.unwrap_or_else(|| last.clone());
            record.interrupted = true;
            judged.insert(id, case);
        }
        record.cases = judged.into_values().collect();
        Folded { record, shard, placed }
    }
}

fn milliseconds_between(from: &str, to: &str) -> u64 {
    let (Ok(from), Ok(to)) = (from.parse::<jiff::Timestamp>(), to.parse::<jiff::Timestamp>()) else { return 0 };
    u64::try_from(to.as_millisecond() - from.as_millisecond()).unwrap_or(0)
}
