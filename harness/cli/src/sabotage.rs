//! The saboteur matrix: each scenario under each of its saboteurs must turn red.

use std::path::PathBuf;

use futures::StreamExt;
use tokio_util::sync::CancellationToken;
use wi_model::plan::Case;
use wi_model::record::{Outcome, Record};

use crate::console;
use crate::defects::Defects;
use crate::environment::Options;
use crate::exit::{Exit, Stop};
use crate::place::Place;
use crate::pool::Pool;

/// A scenario under a saboteur, and what came of it.
pub(crate) struct Pair {
    pub(crate) id: String,
    pub(crate) defect: String,
    pub(crate) record: Record,
}

impl Pair {
    /// Whether the scenario noticed. Being blocked is not noticing: then the defect broke the set-up, not the product.
    pub(crate) fn killed(&self) -> bool {
        self.record.outcome == Outcome::Fail
    }
}

/// What to prove, and how.
pub(crate) struct Matrix {
    pub(crate) cases: Vec<Case>,
    pub(crate) environment: Options,
    pub(crate) out: PathBuf,
    pub(crate) state_dir: PathBuf,
    pub(crate) jobs: usize,
    pub(crate) cancel: CancellationToken,
}

impl Matrix {
    /// Runs every pair, each in an environment of its own, and hands each to `ended`.
    pub(crate) async fn perform(self, ended: impl Fn(&Pair) + Sync) -> Vec<Pair> {
        let started = jiff::Timestamp::now();
        let run_id = crate::run::run_id(started);
        let pairs =
            self.cases.iter().flat_map(|case| case.scenario.saboteurs.iter().map(move |defect| (case, &defect.value)));
        let mut pairs: Vec<Pair> = futures::stream::iter(pairs.enumerate())
            .map(|(index, (case, defect))| {
                let (environment, cancel) = (self.environment.clone(), self.cancel.clone());
                let (state_dir, out) = (self.state_dir.clone(), self.out.join(defect.replace('/', "-")));
                let run_id = format!("{run_id}-{index}");
                let ended = &ended;
                async move {
                    let record = sabotaged(case, defect, environment, &run_id, state_dir, out, cancel).await;
                    let pair = Pair { id: case.id.clone(), defect: defect.clone(), record };
                    ended(&pair);
                    pair
                }
            })
            .buffer_unordered(self.jobs.max(1))
            .collect()
            .await;
        pairs.sort_by(|a, b| (&a.id, &a.defect).cmp(&(&b.id, &b.defect)));
        pairs
    }
}

/// Runs one case under one defect.
pub(crate) async fn sabotaged(
    case: &Case,
    defect: &str,
    environment: Options,
    run_id: &str,
    state_dir: PathBuf,
    out: PathBuf,
    cancel: CancellationToken,
) -> Record {
    let mut case = case.clone();
    case.sabotage = Some(defect.to_owned());
    wi_model::sabotage::apply(&mut case.scenario, defect);
    let environment = Options { defects: Defects::one(defect), state_dir: Some(state_dir.clone()), ..environment };
    let pool = Pool::new(Place::Embedded(Box::new(environment)), run_id, state_dir, out, cancel);
    let record = pool.run(&case, &|_| {}).await;
    pool.close().await;
    record
}

/// A pair's end in lines: the second says how the scenario noticed.
pub(crate) fn tell(pair: &Pair) {
    let word = if pair.killed() { "killed" } else { "SURVIVED" };
    console::say(format!("{word:>10}  {}  under {}  {} ms", pair.id, pair.defect, pair.record.duration_ms));
    match pair.record.failures.first() {
        Some(failure) if pair.killed() => {
            let place = format!("{}:{}:{}", pair.record.file, failure.at.line, failure.at.column);
            console::say(format!(
                "            at {}: expected {}; observed {}  ({place})",
                failure.hop, failure.expected, failure.observed
            ));
        }
        _ => {
            let reason = pair.record.reason.as_deref().unwrap_or("no expectation noticed");
            console::say(format!("            {}: {reason}", pair.record.outcome));
        }
    }
}

/// How the matrix ends.
pub(crate) fn conclude(pairs: &[Pair], interrupted: bool) -> Result<Exit, Stop> {
    if interrupted {
        return Ok(Exit::Interrupted);
    }
    if pairs.is_empty() {
        return Err(Stop::new(Exit::NothingRan, "no scenario selected; `wi-conformance list` shows their ids"));
    }
    let survived = pairs.iter().filter(|pair| !pair.killed()).count();
    console::say(format!("{} pairs: {} killed, {survived} survived", pairs.len(), pairs.len() - survived));
    Ok(if survived == 0 { Exit::Conformant } else { Exit::CaseFailed })
}
