//! A run: from a selection of cases to a report.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wi_engine::Event;
use wi_model::catalogue::Catalogue;
use wi_model::plan::Case;
use wi_model::record::{Outcome, Phase, Record, RunRecord};
use wi_model::register::{self, Deviation};
use wi_model::secret::Secret;
use wi_model::variation::Shared;
use wi_report::{Event as Logged, Shard};

use crate::exit::{Exit, Stop};
use crate::progress::Progress;
use crate::reports::{Journal, OutFolder};
use crate::target_pool::{Pool, unrun};
use crate::target_spec::Place;

/// What to run, and how.
pub struct Run {
    pub cases: Vec<Case>,
    pub requirements: Catalogue,
    pub shard: Option<Shard>,
    /// Whether events go to standard output too.
    pub spoken: bool,
    pub deviations: Vec<Deviation>,
    pub place: Place,
    pub out: PathBuf,
    pub state_dir: PathBuf,
    pub jobs: usize,
    pub cancel: CancellationToken,
    /// Whether the target is printed, once it is open.
    pub print_target: bool,
    /// Whether no further case begins once one has failed.
    pub fail_fast: bool,
    /// Whether each failed case waits until somebody has looked at it.
    pub pause_on_failure: bool,
    /// The command that runs the same, for one case to be named after it.
    pub again: String,
    /// The seed of variations, and its effect on what cases share.
    pub vary: Option<(u64, Shared)>,
}

/// For each case that runs, this many may be removing what they made.
const RELEASING: usize = 4;

/// Shorter values than this are words that may stand anywhere.
const SHORTEST_SECRET: usize = 6;

impl Run {
    /// Runs every case and writes the reports.
    ///
    /// # Errors
    /// The folder cannot be used, or the target is not fit.
    pub async fn perform(mut self, progress: &dyn Progress) -> Result<RunRecord, Stop> {
        if !self.place.opens_in_no_time() {
            // Those that must be alone go first, while nobody has to leave for them.
            self.cases.sort_by_key(|case| !case.alone());
        }
        let began = Instant::now();
        let started = jiff::Timestamp::now();
        let run_id = run_id(started);
        let out = OutFolder::claim(&self.out)?;
        let journal = Journal::open(&out, self.spoken, secrets(&self.cases))?;
        journal.tell(&Logged::RunBegun {
            run: run_id.clone(),
            harness: env!("CARGO_PKG_VERSION").to_owned(),
            planned: self.cases.iter().map(wi_report::planned).collect(),
            shard: self.shard.take(),
            requirements: std::mem::take(&mut self.requirements),
        });
        if let Some((seed, shared)) = &self.vary {
            let note = varied(*seed, shared, &self.cases);
            progress.preparing(&note);
            journal.tell(&Logged::Noted { note });
        }
        let ended = |interrupted| Logged::RunEnded {
            duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            interrupted,
        };
        let pool = Pool::new(self.place, &run_id, self.state_dir, self.out.clone(), self.cancel.clone())
            .pausing(self.pause_on_failure);

        let (described, opened) = match pool.prepare(&|what| progress.preparing(what)).await {
            Ok((described, phases)) => (described.clone(), phases),
            Err(stop) => {
                progress.finish();
                let leftovers = pool.close().await;
                if !leftovers.is_empty() {
                    journal.tell(&Logged::LeftBehind { what: leftovers });
                }
                journal.tell(&Logged::Noted { note: format!("no case could run: {}", stop.lines.join("; ")) });
                journal.tell(&ended(true));
                journal.close()?;
                out.report()?;
                return Err(stop);
            }
        };
        journal.learn(pool.secrets());
        journal.tell(&Logged::EnvironmentReady { environment: described.clone() });
        let prepared = !opened.is_empty();
        let phase_ended = |phase| journal.tell(&Logged::PhaseEnded { phase });
        opened.into_iter().for_each(phase_ended);
        if self.print_target {
            pool.print_target(self.spoken);
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
        let interrupted = AtomicBool::new(false);
        let failed = AtomicBool::new(false);
        let tell = |record: &Record| {
            let Ok(mut told) = told.lock() else { return };
            if !told.insert(record.id.clone()) {
                return;
            }
            if told.len() == self.cases.len() {
                pool.all_judged();
            }
            drop(told);
            // One that was blocked because the run was ended had not run; one that was judged before had.
            if record.outcome == Outcome::Blocked && self.cancel.is_cancelled() {
                interrupted.store(true, Ordering::Relaxed);
            }
            failed.fetch_or(record.outcome.is_red(), Ordering::Relaxed);
            journal.tell(&Logged::CaseJudged { record: Box::new(record.clone()) });
            progress.ended(record);
        };
        let judge = |mut record: Record| {
            register::judge(&mut record, &self.deviations, described.product.as_ref());
            let under = record.sabotage.as_ref().map(|name| format!(" --mutant {name}")).unwrap_or_default();
            record.again = Some(format!("{} --exact {}{under}", self.again, record.id));
            // That it was interrupted is no reason where the run was, for one of its own.
            if record.outcome == Outcome::Blocked
                && let Some(why) = pool.lost()
            {
                record.reason = Some(why.to_owned());
            }
            record
        };
        let on_event = |event: &Event| match event {
            Event::Stage { id, what } => progress.stage(id, what),
            Event::CaseStarted { id } => {
                journal.tell(&Logged::CaseBegun { id: id.clone() });
                progress.stage(id, "starts");
            }
            Event::ClusterRestored { .. } => {}
            Event::CaseJudged { record } => {
                let record = judge((**record).clone());
                tell(&record);
                // What a case made is removed while the next one runs already.
                give_up_place(&record.id);
            }
        };
        let over = CancellationToken::new();
        let cases =
            futures::stream::iter(&self.cases).for_each_concurrent(self.jobs.max(1) * RELEASING, |case| async {
                if let (Ok(place), Ok(mut taken)) = (places.acquire().await, taken.lock()) {
                    taken.insert(case.id.clone(), place);
                }
                let record = if self.fail_fast && failed.load(Ordering::Relaxed) {
                    unrun(case, Outcome::Blocked, "not started: another case failed before it (--fail-fast)".to_owned())
                } else {
                    judge(pool.run(case, &on_event).await)
                };
                tell(&record);
                give_up_place(&case.id);
            });
        tokio::join!(cases.map(|()| over.cancel()), over.run_until_cancelled(pool.watch()));
        phase_ended(phase("cases", cases_began));
        let lost = pool.lost().map(str::to_owned);
        if prepared {
            progress.preparing("removing what the run created");
        }
        let closing = Instant::now();
        let leftovers = pool.close().await;
        phase_ended(phase("clean-up", closing));
        progress.finish();
        if !leftovers.is_empty() {
            journal.tell(&Logged::LeftBehind { what: leftovers });
        }
        journal.tell(&ended(interrupted.into_inner() && lost.is_none()));
        journal.close()?;
        let record = out.report()?;
        if let Some(why) = lost {
            // Each of them would only repeat why; they are in the report and in the ledgers.
            let line = match record.leftovers.len() {
                0 => why,
                left => format!(
                    "{why}; {left} resources are still there, and `wi-conformance sweep` removes them when it is reachable again"
                ),
            };
            return Err(Stop::new(Exit::TargetUnfit, line));
        }
        Ok(record)
    }
}

/// What a seed changed, for the report.
fn varied(seed: u64, shared: &Shared, cases: &[Case]) -> String {
    let settings: Vec<String> = shared.webhook_settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let changed = cases.iter().filter(|case| !case.variation.is_empty()).count();
    format!(
        "varied by --vary {seed}: Kubernetes {}, webhook settings {}, names and containers of {changed} cases",
        shared.kubernetes.unwrap_or("as ever"),
        if settings.is_empty() { "as ever".to_owned() } else { settings.join(" ") },
    )
}

fn phase(what: &str, began: Instant) -> Phase {
    Phase { what: what.to_owned(), ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX) }
}

/// Secrets that scenarios state, so that no report repeats one. Words that text is made of are left to each case, which
/// knows what it made secret.
fn secrets(cases: &[Case]) -> Vec<Secret> {
    let vaults = cases.iter().flat_map(|case| case.scenario.given.azure.vaults.values());
    let values = vaults.flat_map(|vault| vault.secrets.values()).map(|text| text.value().as_str());
    values.filter(|value| value.len() >= SHORTEST_SECRET && !value.contains("{{")).map(Secret::new).collect()
}

/// How a run ends.
pub fn exit(record: &RunRecord) -> Exit {
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

/// A run's id: when it began, and who ran it.
pub fn run_id(started: jiff::Timestamp) -> String {
    format!("{}-{:04x}", started.strftime("%Y%m%d%H%M%S"), std::process::id() & 0xffff)
}
