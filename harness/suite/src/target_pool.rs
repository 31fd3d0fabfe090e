//! Places for cases: one that most share, and for those that change the cluster for everybody one each, or the shared one
//! while nobody else is in it.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio::sync::{OnceCell, RwLock};
use tokio_util::sync::CancellationToken;
use wi_engine::{CaseOptions, Event, Hold, Ledger, Session};
use wi_model::located::Text;
use wi_model::plan::{self, Case, Decision};
use wi_model::product::Product;
use wi_model::record::{Check, Environment as Described, Failure, Outcome, Phase, Record};
use wi_model::secret::Secret;
use wi_model::verdict::{Difference, Hop};
use wi_model::webhook_log;
use wi_target_azure as aks;

use crate::console;
use crate::exit::{Exit, Stop};
use crate::pause::Pause;
use crate::target_spec::{Opened, Place};
use crate::turns::Turns;

/// What a case reports while it runs.
pub type OnEvent<'a> = &'a (dyn Fn(&Event) + Sync);

/// Places for the cases of one run.
pub struct Pool {
    place: Place,
    run_id: String,
    state_dir: PathBuf,
    evidence: PathBuf,
    cancel: CancellationToken,
    shared: OnceCell<Open>,
    /// Read by those that share, written by one that must be alone.
    company: RwLock<()>,
    turns: Turns,
    alone: std::sync::Mutex<Vec<String>>,
    lost: OnceLock<String>,
    pause: Option<Pause>,
    /// Every case is judged.
    judged: CancellationToken,
}

struct Open {
    opened: Opened,
    session: Session,
}

impl Pool {
    /// Nothing is opened yet.
    pub fn new(place: Place, run_id: &str, state_dir: PathBuf, evidence: PathBuf, cancel: CancellationToken) -> Self {
        Pool {
            place,
            run_id: run_id.to_owned(),
            state_dir,
            evidence,
            cancel,
            shared: OnceCell::new(),
            company: RwLock::default(),
            turns: Turns::default(),
            alone: std::sync::Mutex::default(),
            lost: OnceLock::new(),
            pause: None,
            judged: CancellationToken::new(),
        }
    }

    /// Waits with each failed case before what it made is removed.
    #[must_use]
    pub(crate) fn pausing(mut self, on_failure: bool) -> Self {
        self.pause = on_failure.then(|| Pause::new(self.state_dir.clone(), self.cancel.clone()));
        self
    }

    /// Hears that every case is judged: what ends with the run need not be removed one by one any more.
    pub(crate) fn all_judged(&self) {
        self.judged.cancel();
    }

    /// Opens the shared place, so that a target that is not fit is found before any case.
    pub async fn prepare(&self, tell: &(dyn Fn(&str) + Sync)) -> Result<(&Described, Vec<Phase>), Stop> {
        let open = self.shared(tell).await?;
        Ok((open.session.environment(), open.opened.phases()))
    }

    /// What product the webhook is, once a place was open that told it.
    pub fn product(&self) -> Option<Product> {
        let shared = self.shared.get().and_then(|open| open.session.environment().product.clone());
        shared.or_else(|| self.place.product())
    }

    /// What the shared place must not be quoted with.
    pub fn secrets(&self) -> Vec<Secret> {
        let Some(open) = self.shared.get() else { return Vec::new() };
        let target = open.opened.target();
        let mut secrets = target.azure.credential.secrets();
        secrets.push(target.cluster.kubeconfig);
        secrets
    }

    /// Prints the shared place as a target file, if it is open; beside the output where that is for programs.
    pub fn print_target(&self, beside: bool) {
        if let Some(open) = self.shared.get()
            && let Ok(text) = aks::print(&open.opened.target())
        {
            if beside { console::tell(text.trim_end()) } else { console::data(text.trim_end()) }
        }
    }

    async fn shared(&self, tell: &(dyn Fn(&str) + Sync)) -> Result<&Open, Stop> {
        self.shared.get_or_try_init(|| self.open(&self.place, &self.run_id, tell)).await
    }

    async fn open(&self, place: &Place, run_id: &str, tell: &(dyn Fn(&str) + Sync)) -> Result<Open, Stop> {
        let opened = place.open(run_id, tell, &self.cancel).await?;
        let target = opened.target();
        let connected = async {
            let ledger = Ledger::open(&self.state_dir, run_id, &target);
            let ledger = Arc::new(ledger.map_err(|error| Stop::from_error(Exit::TargetUnfit, &error))?);
            let session = Session::open(target.clone(), run_id, ledger.clone(), self.cancel.clone()).await;
            session.map_err(|error| {
                // Nothing was made yet, so there is nothing to keep a ledger for.
                let _ = ledger.close();
                Stop::from_error(Exit::TargetUnfit, &error)
            })
        };
        match connected.await {
            Ok(session) => Ok(Open { opened, session }),
            Err(mut stop) => {
                stop.lines.extend(opened.stop().await.into_iter().map(|left| format!("left behind: {left}")));
                Err(stop)
            }
        }
    }

    /// Runs a case, or says why it cannot run here.
    pub async fn run(&self, case: &Case, on_event: OnEvent<'_>) -> Record {
        match plan::foresee(case, &self.place.offer()) {
            Decision::Runs => {}
            Decision::NotApplicable { missing } => {
                let words: Vec<String> = missing.iter().map(|capability| capability.lack()).collect();
                return unrun(case, Outcome::NotApplicable, format!("the target lacks {}", words.join(", ")));
            }
            Decision::Unsuited { why } => return unrun(case, Outcome::NotApplicable, why),
            Decision::Blocked { why } => return unrun(case, Outcome::Blocked, why),
        }
        let options = CaseOptions { evidence_root: self.evidence.clone(), cancel: self.cancel.clone(), hold: None };
        if case.alone() && self.place.opens_in_no_time() {
            if let Some(why) = self.speaks_of_another_profile(case).await {
                return unrun(case, Outcome::NotApplicable, why);
            }
            return self.run_alone(case, &options, on_event).await;
        }
        // Cases that name the same thing have it one after the other, each until what it made is gone.
        let _turn = self.turns.take(case.fixed_names()).await;
        // Once it is judged, a case that shares does not mind what another one does to the cluster; one that is alone lets
        // others in when it has put back what it changed.
        let (mut shares, mut alone) = (None, None);
        if case.alone() {
            alone = Some(self.company.write().await);
        } else {
            shares = Some(self.company.read().await);
        }
        let (shares, alone) = (std::sync::Mutex::new(shares), std::sync::Mutex::new(alone));
        let on_event = |event: &Event| {
            match event {
                Event::CaseJudged { .. } => drop(shares.lock().map(|mut guard| guard.take())),
                Event::ClusterRestored { .. } => drop(alone.lock().map(|mut guard| guard.take())),
                Event::CaseStarted { .. } | Event::Stage { .. } => {}
            }
            on_event(event);
        };
        if let Some(why) = self.lost.get() {
            return unrun(case, Outcome::Blocked, why.clone());
        }
        let open = match self.shared(&|_| {}).await {
            Ok(open) => open,
            Err(stop) => return unrun(case, Outcome::Blocked, stop.lines.join("; ")),
        };
        if let Some(why) = unsuited(case, open) {
            return unrun(case, Outcome::NotApplicable, why);
        }
        let options = CaseOptions { hold: self.hold(open), ..options };
        let record = open.run(case, &options, &on_event, &self.judged).await;
        if record.outcome == Outcome::Blocked
            && !self.cancel.is_cancelled()
            && let Err(why) = open.session.answers().await
        {
            // Every other case would only wait to say the same.
            let _ = self.lost.set(why);
            self.cancel.cancel();
        }
        record
    }

    /// What waits with failed cases of a place, where somebody wants to look at them.
    fn hold(&self, open: &Open) -> Option<Hold> {
        self.pause.as_ref().map(|pause| pause.hold(&open.opened.target()))
    }

    /// Whether the webhook's profile, where it is known or was recognised, is none that a case speaks of. A webhook need not
    /// even start with settings that its profile does not know.
    async fn speaks_of_another_profile(&self, case: &Case) -> Option<String> {
        if case.scenario.profiles.is_empty() {
            return None;
        }
        let profile = match self.place.offer().profile {
            Some(declared) => Some(declared),
            None => self.shared(&|_| {}).await.ok().and_then(|open| open.session.environment().profile.clone()),
        };
        plan::unsuited(case, None, profile.as_deref())
    }

    async fn run_alone(&self, case: &Case, options: &CaseOptions, on_event: OnEvent<'_>) -> Record {
        let run_id = format!("{}-{}", self.run_id, case.id.replace('/', "-"));
        match self.open(&self.place.for_case(case), &run_id, &|_| {}).await {
            Ok(open) => {
                if let Some(why) = unsuited(case, &open) {
                    open.close().await;
                    return unrun(case, Outcome::NotApplicable, why);
                }
                let record = match &case.scenario.given.webhook_refuses {
                    Some(wanted) => judged_start(case, wanted, Ok(())),
                    None => {
                        let options = CaseOptions { hold: self.hold(&open), ..options.clone() };
                        let judged = CancellationToken::new();
                        let on_event = |event: &Event| {
                            if matches!(event, Event::CaseJudged { .. }) {
                                judged.cancel();
                            }
                            on_event(event);
                        };
                        open.run(case, &options, &on_event, &judged).await
                    }
                };
                let leftovers = open.close().await;
                if let Ok(mut alone) = self.alone.lock() {
                    alone.extend(leftovers);
                }
                record
            }
            Err(stop) => match &case.scenario.given.webhook_refuses {
                Some(wanted) => judged_start(case, wanted, Err(&stop)),
                None => unrun(case, Outcome::Blocked, stop.lines.join("; ")),
            },
        }
    }

    /// Waits until the shared place's Azure ends of its own accord, and ends the run then: every case would only find out
    /// for itself, and take its time over it.
    pub async fn watch(&self) {
        let Some(open) = self.shared.get() else { return };
        let _ = self.lost.set(open.opened.azure_ended().await);
        open.session.azure_ended();
        self.cancel.cancel();
    }

    /// Why the place was lost in the middle of the run, if it was.
    pub fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    /// Ends every place and says what was left behind.
    pub async fn close(self) -> Vec<String> {
        let mut leftovers = self.alone.into_inner().unwrap_or_default();
        if let Some(open) = self.shared.into_inner() {
            leftovers.extend(open.close().await);
        }
        leftovers
    }
}

impl Open {
    /// Runs a case. Where everything that it makes ends with the place, it is removed one by one only until nobody is to be
    /// judged there any more.
    async fn run(
        &self,
        case: &Case,
        options: &CaseOptions,
        on_event: OnEvent<'_>,
        all_judged: &CancellationToken,
    ) -> Record {
        let judged = std::sync::Mutex::new(None);
        let on_event = |event: &Event| {
            if let (Event::CaseJudged { record }, Ok(mut judged)) = (event, judged.lock()) {
                *judged = Some(record.clone());
            }
            on_event(event);
        };
        let mut run = std::pin::pin!(self.session.run(case, options, &on_event));
        let target = self.opened.target();
        // A failed case may be held before its things are removed.
        if target.cluster.transient && target.azure.transient && options.hold.is_none() {
            tokio::select! {
                biased;
                record = &mut run => return record,
                () = all_judged.cancelled() => {}
            }
            let record = judged.lock().ok().and_then(|mut judged| judged.take());
            if let Some(record) = record {
                return *record;
            }
        }
        run.await
    }

    async fn close(self) -> Vec<String> {
        let ends = self.opened.target().cluster.transient;
        let mut leftovers = self.session.close(ends).await;
        leftovers.extend(self.opened.stop().await);
        leftovers
    }
}

/// The record of a case in which the webhook must not start.
fn judged_start(case: &Case, wanted: &Text, started: Result<(), &Stop>) -> Record {
    let expected = format!("the webhook does not start and says `{}`", wanted.value);
    let observed = match started {
        // It says so anywhere in what it printed: a panic's last lines are its goroutine's.
        Err(stop) if webhook_log::says(&stop.log, &wanted.value) => None,
        Err(stop) => {
            let why = stop.lines.join("; ");
            (!why.contains(&wanted.value)).then_some(why)
        }
        Ok(()) => Some("it started".to_owned()),
    };
    let (hop, at) = (Hop::SetUp, wanted.at);
    let mut record = unrun(case, if observed.is_none() { Outcome::Pass } else { Outcome::Fail }, String::new());
    record.reason = None;
    let met = observed.is_none();
    record.checks.push(Check::looked_once(expected.clone(), hop, at, met));
    if let Some(observed) = observed {
        record.failures.push(Failure::of(Difference::at(hop, expected, observed), at, 1, 0));
    }
    record
}

/// Why a case makes no sense on what was opened.
fn unsuited(case: &Case, open: &Open) -> Option<String> {
    let found = open.session.environment();
    plan::unsuited(case, found.kubernetes.as_deref(), found.profile.as_deref())
        .or_else(|| plan::unsuited_to_issuer(case, open.session.issuer()))
}

/// The record of a case that was not started.
pub fn unrun(case: &Case, outcome: Outcome, reason: String) -> Record {
    Record { outcome, reason: Some(reason), ..Record::begin(case, jiff::Timestamp::now().to_string()) }
}
