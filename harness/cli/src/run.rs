//! A run: from a selection of cases to a report.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use futures::StreamExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wi_engine::Event;
use wi_model::catalogue::Deviation;
use wi_model::plan::Case;
use wi_model::record::{Environment as Described, Outcome, Phase, REPORT_VERSION, Record, RunRecord};

use crate::exit::{Exit, Stop};
use crate::place::Place;
use crate::pool::Pool;
use crate::progress::Progress;

/// What to run, and how.
pub(crate) struct Run {
    pub(crate) cases: Vec<Case>,
    pub(crate) deviations: Vec<Deviation>,
    pub(crate) place: Place,
    pub(crate) out: PathBuf,
    pub(crate) state_dir: PathBuf,
    pub(crate) jobs: usize,
    pub(crate) cancel: CancellationToken,
    /// Whether the target is printed, once it is open.
    pub(crate) print_target: bool,
}

/// For each case that runs, this many may be removing what they made.
const RELEASING: usize = 4;

/// Marks a folder as ours, so that no other is ever emptied.
const MARK: &str = ".wi-conformance";

impl Run {
    /// Runs every case and writes the reports.
    ///
    /// # Errors
    /// The folder cannot be used, or the target is not fit.
    pub(crate) async fn perform(mut self, progress: &Progress) -> Result<RunRecord, Stop> {
        if !self.place.opens_in_no_time() {
            // Those that must be alone go first, while nobody has to leave for them.
            self.cases.sort_by_key(|case| !case.alone());
        }
        let began = Instant::now();
        let started = jiff::Timestamp::now();
        let run_id = run_id(started);
        let out = OutFolder::claim(&self.out)?;
        let log = Mutex::new(out.log()?);
        let pool = Pool::new(self.place, &run_id, self.state_dir, self.out.clone(), self.cancel.clone());

        let (described, mut phases) = match pool.prepare(&|what| progress.preparing(what)).await {
            Ok((described, phases)) => (described.clone(), phases),
            Err(stop) => {
                progress.finish();
                pool.close().await;
                return Err(stop);
            }
        };
        if self.print_target {
            pool.print_target();
        }
        progress.prepared();
        let cases_began = Instant::now();
        let places = Semaphore::new(self.jobs.max(1));
        let taken = Mutex::new(HashMap::new());
        let give_up_place = |id: &str| {
            if let Ok(mut taken) = taken.lock() {
                taken.remove(id);
            }
        };
        // A verdict is told once, as soon as there is one.
        let told = Mutex::new(HashSet::new());
        let tell = |record: &Record| {
            if !told.lock().is_ok_and(|mut told| told.insert(record.id.clone())) {
                return;
            }
            if let Ok(mut log) = log.lock() {
                let _ = writeln!(log, "{}", serde_json::to_string(record).unwrap_or_default());
            }
            progress.ended(record);
        };
        let on_event = |event: &Event| match event {
            Event::Stage { id, what } => progress.stage(id, what),
            Event::CaseStarted { id } => progress.stage(id, "starts"),
            Event::ClusterRestored { .. } => {}
            Event::CaseJudged { record } => {
                let mut record = (**record).clone();
                judge_against_register(&mut record, &self.deviations, &described);
                tell(&record);
                // What a case made is removed while the next one runs already.
                give_up_place(&record.id);
            }
        };
        let mut cases: Vec<Record> = futures::stream::iter(&self.cases)
            .map(|case| async {
                if let (Ok(place), Ok(mut taken)) = (places.acquire().await, taken.lock()) {
                    taken.insert(case.id.clone(), place);
                }
                let mut record = pool.run(case, &on_event).await;
                judge_against_register(&mut record, &self.deviations, &described);
                tell(&record);
                give_up_place(&case.id);
                record
            })
            .buffer_unordered(self.jobs.max(1) * RELEASING)
            .collect()
            .await;
        phases.push(phase("cases", cases_began));
        let lost = pool.lost().map(str::to_owned);
        if phases.len() > 1 {
            progress.preparing("removing what the run made");
        }
        let closing = Instant::now();
        let leftovers = pool.close().await;
        phases.push(phase("clean-up", closing));
        progress.finish();
        cases.sort_by(|a, b| a.id.cmp(&b.id));
        let record = RunRecord {
            version: REPORT_VERSION,
            run: run_id,
            started: started.to_string(),
            duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            phases,
            environment: described,
            cases,
            leftovers,
            interrupted: self.cancel.is_cancelled() && lost.is_none(),
        };
        out.write("report.json", &wi_report::json(&record))?;
        out.write("junit.xml", &wi_report::junit(&record))?;
        if let Some(why) = lost {
            // Each of them would only repeat why; they are in the report and in the ledgers.
            let line = match record.leftovers.len() {
                0 => why,
                left => format!(
                    "{why}; {left} things are still there, and `wi-conformance sweep` removes them once it answers"
                ),
            };
            return Err(Stop::new(Exit::TargetUnfit, line));
        }
        Ok(record)
    }
}

fn phase(what: &str, began: Instant) -> Phase {
    Phase { what: what.to_owned(), ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX) }
}

/// How a run ends.
pub(crate) fn exit(record: &RunRecord) -> Exit {
    if record.interrupted {
        Exit::Interrupted
    } else if record.cases.iter().any(|case| case.outcome.is_red()) {
        Exit::CaseFailed
    } else if !record.leftovers.is_empty() {
        Exit::LeftBehind
    } else if record.ran() == 0 {
        Exit::NothingRan
    } else {
        Exit::Conformant
    }
}

/// Sorts failures that the register expects from those that it does not, and passes that it does not expect too.
fn judge_against_register(record: &mut Record, deviations: &[Deviation], environment: &Described) {
    let Some(known) = deviations.iter().find(|known| known.covers(&record.id, &environment.webhook)) else { return };
    let reason = format!("{}: {} ({})", known.requirement, known.reason, known.source);
    match record.outcome {
        Outcome::Fail => {
            record.outcome = Outcome::ExpectedFail;
            record.reason = Some(reason);
        }
        Outcome::Pass => {
            record.outcome = Outcome::UnexpectedPass;
            record.reason = Some(format!("the register expects a failure, so it is stale: {reason}"));
        }
        _ => {}
    }
}

/// A run's id: when it began, and who ran it.
pub(crate) fn run_id(started: jiff::Timestamp) -> String {
    format!("{}-{:04x}", started.strftime("%Y%m%d%H%M%S"), std::process::id() & 0xffff)
}

/// The folder of reports, ours alone while the run lasts.
pub(crate) struct OutFolder {
    path: PathBuf,
    _lock: File,
}

impl OutFolder {
    /// Takes a folder, empties what an earlier run left in it, and keeps other runs out.
    pub(crate) fn claim(path: &Path) -> Result<Self, Stop> {
        let usage = |what: String| {
            Stop::new(Exit::Usage, format!("{}: {what}; name another folder with --out", path.display()))
        };
        std::fs::create_dir_all(path).map_err(|error| usage(format!("cannot be made: {error}")))?;
        let mark = path.join(MARK);
        let mut entries = std::fs::read_dir(path).map_err(|error| usage(format!("cannot be read: {error}")))?;
        if !mark.exists() && entries.next().is_some() {
            return Err(usage("holds files that are not a report's, and a run empties its folder".to_owned()));
        }
        let lock = File::options().create(true).truncate(false).write(true).open(&mark);
        let lock = lock.map_err(|error| usage(format!("cannot be written: {error}")))?;
        lock.try_lock().map_err(|_| usage("another run is writing to it".to_owned()))?;
        for old in ["report.json", "junit.xml", "events.jsonl"] {
            let _ = std::fs::remove_file(path.join(old));
        }
        let cases = path.join("cases");
        if cases.exists() {
            std::fs::remove_dir_all(&cases).map_err(|error| usage(format!("cases/ cannot be emptied: {error}")))?;
        }
        Ok(OutFolder { path: path.to_owned(), _lock: lock })
    }

    fn log(&self) -> Result<File, Stop> {
        let path = self.path.join("events.jsonl");
        File::options().create(true).append(true).open(&path).map_err(|error| Self::fault(&path, &error))
    }

    /// Writes a report whole or not at all.
    fn write(&self, name: &str, text: &str) -> Result<(), Stop> {
        let path = self.path.join(name);
        let fresh = self.path.join(format!("{name}.new"));
        std::fs::write(&fresh, text)
            .and_then(|()| std::fs::rename(&fresh, &path))
            .map_err(|error| Self::fault(&path, &error))
    }

    fn fault(path: &Path, error: &std::io::Error) -> Stop {
        Stop::new(
            Exit::Usage,
            format!("{}: cannot be written: {error}; name another folder with --out", path.display()),
        )
    }
}
