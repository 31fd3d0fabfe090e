//! Environments for cases: one that most share, and one each for those that change the cluster for everybody.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use wi_engine::{CaseOptions, Event, Ledger, Session};
use wi_model::plan::{Case, Decision, decide};
use wi_model::record::{Environment as Described, Outcome, Record};

use crate::environment::{self, Environment, Options};
use crate::exit::{Exit, Stop};

/// What a case reports while it runs.
pub(crate) type OnEvent<'a> = &'a (dyn Fn(&Event) + Sync);

/// Environments for the cases of one run.
pub(crate) struct Pool {
    options: Options,
    run_id: String,
    state_dir: PathBuf,
    evidence: PathBuf,
    cancel: CancellationToken,
    shared: OnceCell<Open>,
    alone: std::sync::Mutex<Vec<String>>,
}

struct Open {
    environment: Environment,
    session: Session,
}

impl Pool {
    /// Nothing is started yet.
    pub(crate) fn new(
        options: Options,
        run_id: &str,
        state_dir: PathBuf,
        evidence: PathBuf,
        cancel: CancellationToken,
    ) -> Self {
        let options = Options { state_dir: Some(state_dir.clone()), ..options };
        let alone = std::sync::Mutex::default();
        Pool { options, run_id: run_id.to_owned(), state_dir, evidence, cancel, shared: OnceCell::new(), alone }
    }

    /// Starts the shared environment, so that a target that is not fit is found before any case.
    pub(crate) async fn prepare(&self) -> Result<&Described, Stop> {
        Ok(self.shared().await?.session.environment())
    }

    async fn shared(&self) -> Result<&Open, Stop> {
        self.shared.get_or_try_init(|| self.open(&self.run_id)).await
    }

    async fn open(&self, run_id: &str) -> Result<Open, Stop> {
        let unfit = |error: &dyn std::error::Error| Stop::from_error(Exit::TargetUnfit, error);
        let environment = tokio::select! {
            started = Environment::start(self.options.clone()) => started.map_err(|error| unfit(&error))?,
            () = self.cancel.cancelled() => return Err(Stop::new(Exit::Interrupted, "interrupted while the environment started")),
        };
        let target = environment.target();
        let ledger = match Ledger::open(&self.state_dir, run_id, &target) {
            Ok(ledger) => Arc::new(ledger),
            Err(error) => {
                let _ = environment.stop().await;
                return Err(unfit(&error));
            }
        };
        match Session::open(target, run_id, ledger, self.cancel.clone()).await {
            Ok(session) => Ok(Open { environment, session }),
            Err(error) => {
                let _ = environment.stop().await;
                Err(unfit(&error))
            }
        }
    }

    /// Runs a case, or says why it cannot run here.
    pub(crate) async fn run(&self, case: &Case, on_event: OnEvent<'_>) -> Record {
        if let Decision::NotApplicable { missing } = decide(case, &environment::capabilities(&self.options.webhook)) {
            let words: Vec<String> = missing.iter().map(ToString::to_string).collect();
            return unrun(case, Outcome::NotApplicable, format!("the target lacks {}", words.join(", ")));
        }
        let options = CaseOptions { evidence_root: self.evidence.clone(), cancel: self.cancel.clone() };
        if case.alone() {
            return self.run_alone(case, &options, on_event).await;
        }
        match self.shared().await {
            Ok(open) => open.session.run(case, &options, on_event).await,
            Err(stop) => unrun(case, Outcome::Blocked, stop.lines.join("; ")),
        }
    }

    async fn run_alone(&self, case: &Case, options: &CaseOptions, on_event: OnEvent<'_>) -> Record {
        let run_id = format!("{}-{}", self.run_id, case.id.replace('/', "-"));
        match self.open(&run_id).await {
            Ok(open) => {
                let record = open.session.run(case, options, on_event).await;
                let leftovers = open.close().await;
                if let Ok(mut alone) = self.alone.lock() {
                    alone.extend(leftovers);
                }
                record
            }
            Err(stop) => unrun(case, Outcome::Blocked, stop.lines.join("; ")),
        }
    }

    /// Ends every environment and says what was left behind.
    pub(crate) async fn close(self) -> Vec<String> {
        let mut leftovers = self.alone.into_inner().unwrap_or_default();
        if let Some(open) = self.shared.into_inner() {
            leftovers.extend(open.close().await);
        }
        leftovers
    }
}

impl Open {
    async fn close(self) -> Vec<String> {
        let mut leftovers = self.session.close().await;
        if let Err(left) = self.environment.stop().await {
            leftovers.push(left);
        }
        leftovers
    }
}

/// The record of a case that was not started.
pub(crate) fn unrun(case: &Case, outcome: Outcome, reason: String) -> Record {
    Record { outcome, reason: Some(reason), ..Record::begin(case, jiff::Timestamp::now().to_string()) }
}
