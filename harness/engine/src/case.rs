//! One case from start to record: the one place that knows the order of stages.

use std::collections::BTreeSet;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::Instant;

use futures::FutureExt;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use wi_model::capability::Capability;
use wi_model::evidence::Facts;
use wi_model::judge;
use wi_model::located::{Located, Position};
use wi_model::plan::Case;
use wi_model::record::{Check, Failure, Moment, Outcome, Record};
use wi_model::redact::Redactor;
use wi_model::scenario::expectation::Subject;
use wi_model::scenario::{Expectation, Refusal, Step};
use wi_model::secret::Secret;
use wi_model::verdict::{Difference, Hop, Judgement};

use crate::act::{self, Done, Pods, Stage};
use crate::admissions::{self, Admissions};
use crate::evidence::Folder;
use crate::hold::Hold;
use crate::lease::Lease;
use crate::observe::Observer;
use crate::provision::{Ground, Provisioned};
use crate::session::Session;
use crate::settle::{self, Bounds};
use crate::watch::Watch;

/// How a case is run.
#[derive(Debug, Clone)]
pub struct CaseOptions {
    /// Folder of reports; the case's evidence goes to `cases/<id>` in it.
    pub evidence_root: PathBuf,
    /// Ends the case in good order.
    pub cancel: CancellationToken,
    /// Asked when a case was judged and before what it made is removed: somebody may want to look.
    pub hold: Option<Hold>,
}

/// What a case reports while it runs.
#[derive(Debug, Clone)]
pub enum Event {
    /// It has begun.
    CaseStarted {
        /// The case.
        id: String,
    },
    /// It has come to a stage.
    Stage {
        /// The case.
        id: String,
        /// The stage.
        what: String,
    },
    /// It is judged. What it made is being removed now, which needs no place among those that run.
    CaseJudged {
        /// Its record.
        record: Box<Record>,
    },
    /// What it changed for everybody is as it was.
    ClusterRestored {
        /// The case.
        id: String,
    },
}

/// A case under way.
struct Running<'a> {
    session: &'a Session,
    case: &'a Case,
    options: &'a CaseOptions,
    on_event: &'a (dyn Fn(&Event) + Sync),
    began: Instant,
    /// Number of an entry of the request journal from before the case: its own all come later.
    journal_since: u64,
    admissions: Admissions,
    /// How many failures at the front of the record are of admissions that no expectation speaks of.
    uncalled_for: usize,
    /// Which pods' ways broke, and where.
    broken: Vec<(Option<String>, Hop)>,
    record: Record,
}

/// Why a case cannot be judged: ours, not the product's.
struct Blocked(String);

pub(crate) async fn run(
    session: &Session,
    case: &Case,
    options: &CaseOptions,
    on_event: &(dyn Fn(&Event) + Sync),
) -> Record {
    on_event(&Event::CaseStarted { id: case.id.clone() });
    let folder = options.evidence_root.join("cases").join(&case.id);
    let record = Record {
        evidence: Some(format!("cases/{}", case.id)),
        ..Record::begin(case, jiff::Timestamp::now().to_string())
    };
    let (began, journal_since) = (Instant::now(), session.azure.journal_now());
    let (admissions, uncalled_for) = (Admissions::default(), 0);
    let mut running = Running {
        session,
        case,
        options,
        on_event,
        began,
        journal_since,
        admissions,
        uncalled_for,
        broken: Vec::new(),
        record,
    };
    case.variation.iter().for_each(|change| running.note(&format!("varied: {change}")));
    let mut redactor = Redactor::new(known_secrets(session));
    let mut lease = Lease::new(session.ledger.clone(), &session.run_id);
    let pods = Mutex::new(Pods::new());
    let (mut given, mut namespace) = (Vec::new(), String::new());

    let outcome = match Folder::mark_start(&folder) {
        Err(error) => Err(Blocked(format!("the evidence folder {} cannot be written: {error}", folder.display()))),
        Ok(()) => {
            let stages = async {
                let mut ready = running.provision(&mut lease).await?;
                redactor = Redactor::new(known_secrets(session).into_iter().chain(ready.secrets.iter().cloned()));
                given.clone_from(&ready.objects);
                namespace.clone_from(&ready.namespace);
                running.act(&mut ready, &redactor, &mut lease, &pods).await?;
                running.judge(&ready, &redactor, &pods).await?;
                running.ask_the_webhook(&redactor, &ready).await;
                Ok(())
            };
            // A panic is ours to report, and must not keep what was made from being removed.
            caught(stages).await
        }
    };
    match outcome {
        Ok(()) if running.record.failures.is_empty() => running.record.outcome = Outcome::Pass,
        Ok(()) => running.record.outcome = Outcome::Fail,
        Err(Blocked(why)) => {
            running.record.outcome = Outcome::Blocked;
            running.record.reason = Some(redactor.text(&why));
        }
    }
    running.note(&format!("judged: {}", running.record.outcome));
    running.record.duration_ms = milliseconds(running.began);
    let mut record = running.record;
    let mut writer = Folder::new(folder, &redactor);
    let pods = pods.into_inner();
    let written = writer.given(&given).and_then(|()| writer.pods(&pods)).and_then(|()| writer.finish(&mut record));
    if let Err(error) = written {
        record.outcome = Outcome::Blocked;
        record.reason = Some(format!("the evidence could not be written: {error}"));
    }
    on_event(&Event::CaseJudged { record: Box::new(record.clone()) });
    if let Some(hold) = &options.hold {
        let _ = options.cancel.run_until_cancelled(hold.wait(&record, &namespace)).await;
    }
    let restored = || on_event(&Event::ClusterRestored { id: case.id.clone() });
    let azure = session.azure.uncancelled().noted();
    if case.fixed_names().is_empty() {
        lease.leave_azure();
    }
    let left = lease.release(&session.cluster, &azure, restored).await;
    let waits = azure.waits().into_iter();
    let at_ms = milliseconds(running.began);
    record.timeline.extend(waits.map(|wait| Moment { at_ms, what: format!("waited during cleanup: {wait}") }));
    session.leave_behind(&left);
    record
}

impl<'a> Running<'a> {
    fn note(&mut self, what: &str) {
        self.record.timeline.push(Moment { at_ms: milliseconds(self.began), what: what.to_owned() });
        (self.on_event)(&Event::Stage { id: self.case.id.clone(), what: what.to_owned() });
    }

    async fn provision(&mut self, lease: &mut Lease) -> Result<Provisioned, Blocked> {
        self.note("setting up");
        let session = self.session;
        let azure = session.azure.noted();
        let ground = Ground {
            cluster: &session.cluster,
            azure: &azure,
            group: &session.group,
            ledger: &session.ledger,
            exchanges_are_seen: session.target.capabilities.contains(&Capability::RequestJournal),
            pods: &session.target.pods,
            facts: session.facts.clone(),
            run_id: &session.run_id,
            registration: session.target.webhook.registration.as_deref(),
            cancel: &self.options.cancel,
        };
        let provisioned = self.options.cancel.run_until_cancelled(ground.provision(self.case, lease)).await;
        azure.waits().iter().for_each(|wait| self.note(&format!("waited: {wait}")));
        match provisioned {
            Some(Ok(provisioned)) => Ok(provisioned),
            Some(Err(why)) => Err(Blocked(format!("the setup failed: {why}"))),
            None => Err(Blocked("interrupted".to_owned())),
        }
    }

    /// Does the steps in order. One that waits for something which never comes ends them: what would follow it was meant
    /// for another state of the world.
    async fn act(
        &mut self,
        ready: &mut Provisioned,
        redactor: &Redactor,
        lease: &mut Lease,
        pods: &Mutex<Pods>,
    ) -> Result<(), Blocked> {
        let session = self.session;
        let steps = ready.scenario.when.clone();
        let asked_again = asked_again(&steps);
        self.admissions.begin(session, ready).await.map_err(Blocked)?;
        for (index, step) in steps.iter().enumerate() {
            if index > 0 && admissions::must_look_before(&step.value) {
                self.compare_admissions(ready, pods, steps[index - 1].at).await?;
            }
            self.note(&format!("step {} (line {})", index + 1, step.at.line));
            if let Step::Check(expectation) = &step.value {
                self.expect(expectation, ready, redactor, pods).await?;
                if !self.record.failures.is_empty() {
                    return Ok(());
                }
                continue;
            }
            let mut pods = pods.lock().await;
            let mut stage = Stage {
                cluster: &session.cluster,
                azure: &session.azure,
                additions: &session.target.pods,
                registration: session.target.webhook.registration.as_deref(),
                upgrade: session.target.webhook.upgrade.as_ref(),
                ready,
                pods: &mut pods,
                asked_again: &asked_again,
                cancel: &self.options.cancel,
            };
            let performed = self.options.cancel.run_until_cancelled(stage.perform(&step.value, lease)).await;
            let fault =
                |why: String| Err(Blocked(format!("{}:{}: step {}: {why}", self.case.file, step.at.line, index + 1)));
            match (performed, act::refusal(&step.value)) {
                (None, _) => return Err(Blocked("interrupted".to_owned())),
                (Some(Err(why)), _) => return fault(why),
                (Some(Ok(Done::Refused(what, refused))), None) => {
                    return fault(format!("{what} was refused: {} {}", refused.status, refused.message));
                }
                (Some(Ok(done)), Some(wanted)) => self.judge_refusal(wanted, &done, refused_by(&step.value), step.at),
                (Some(Ok(_)), None) => {}
            }
        }
        Ok(())
    }

    /// A step that must be refused.
    fn judge_refusal(&mut self, wanted: &Refusal, done: &Done, hop: Hop, at: Position) {
        let expected = format!("refused with {} and `{}`", wanted.status, wanted.message.value);
        let observed = match done {
            Done::Accepted => Some("accepted".to_owned()),
            Done::PodRefused(seen) | Done::Refused(_, seen) => {
                let as_wanted = seen.status == wanted.status && seen.message.contains(&wanted.message.value);
                (!as_wanted).then(|| format!("refused with {} and `{}`", seen.status, seen.message))
            }
        };
        let expectation = format!("the step is {expected}");
        let met = observed.is_none();
        self.record.checks.push(Check::looked_once(expectation, hop, at, met));
        if let Some(observed) = observed {
            self.note(&format!("failed at {hop}: {observed}"));
            let told = Difference::at(hop, expected, observed);
            self.record.failures.push(Failure::of(told, at, 1, 0));
        }
    }

    /// Judges every expectation in order. After the first that does not hold, the later ones are looked at once: their
    /// state tells what followed from it.
    async fn judge(&mut self, ready: &Provisioned, redactor: &Redactor, pods: &Mutex<Pods>) -> Result<(), Blocked> {
        let at = ready.scenario.when.iter().rev().find(|step| !matches!(step.value, Step::Check(_)));
        let at = at.map_or(ready.scenario.title.at, |step| step.at);
        self.compare_admissions(ready, pods, at).await?;
        for expectation in &ready.scenario.then {
            self.expect(expectation, ready, redactor, pods).await?;
        }
        // With what controllers made meanwhile.
        self.compare_admissions(ready, pods, at).await?;
        self.hear_the_webhook(ready, redactor, pods, at).await?;
        self.conclude_admissions(at);
        let observer = self.observer(redactor, ready);
        let mut pods = pods.lock().await;
        for ((namespace, name), pod) in pods.iter_mut() {
            let looked = observer.look(namespace, pod).await;
            looked
                .and(observer.explain(namespace, pod).await)
                .map_err(|why| Blocked(format!("the evidence of pod {name}: {why}")))?;
            if !self.record.failures.is_empty()
                && let Some(why) = pod.fault_of_node()
            {
                return Err(Blocked(format!("the node could not run pod {name}: {why}")));
            }
        }
        self.look_for_afterthoughts(ready, &pods);
        Ok(())
    }

    /// Compares every admission since the last look. What is wrong with one comes before what followed from it.
    async fn compare_admissions(
        &mut self,
        ready: &Provisioned,
        pods: &Mutex<Pods>,
        at: Position,
    ) -> Result<(), Blocked> {
        let pods = pods.lock().await;
        let looked = self.admissions.look(self.session, ready, &pods, at).await;
        looked.map_err(|why| Blocked(format!("the admissions of the case: {why}")))?;
        for (at, difference) in self.admissions.take() {
            self.fail_first(difference, at);
        }
        Ok(())
    }

    /// A failure that no expectation speaks of: it comes before what may have followed from it.
    fn fail_first(&mut self, difference: Difference, at: Position) {
        self.note(&format!("failed at {}: {}", difference.hop, difference.observed));
        self.record.failures.insert(self.uncalled_for, Failure::of(difference, at, 1, 0));
        self.uncalled_for += 1;
    }

    /// Looks through what the webhook wrote and counted.
    async fn hear_the_webhook(
        &mut self,
        ready: &Provisioned,
        redactor: &Redactor,
        pods: &Mutex<Pods>,
        at: Position,
    ) -> Result<(), Blocked> {
        let answered = self.admissions.answered(self.session, ready);
        let mut words = self.observer(redactor, ready).webhook_words(ready, answered, &self.options.cancel).await;
        // Controllers may have gone on meanwhile: what is counted lies between what was answered before and after.
        self.compare_admissions(ready, pods, at).await?;
        if let (Some(words), Some(after)) = (&mut words, self.admissions.answered(self.session, ready)) {
            words.counted = words.counted.map(|(counted, before)| (counted, counted.clamp(before, after)));
        }
        for difference in words.iter().flat_map(judge::judge_webhook_words) {
            self.fail_first(difference, at);
        }
        Ok(())
    }

    fn conclude_admissions(&mut self, at: Position) {
        const CLAIM: &str = "the webhook mutates each pod exactly as required";
        let check = |expectation: String, met: bool, judged: bool| Check {
            judged,
            unasked: true,
            ..Check::looked_once(expectation, Hop::Admission, at, met)
        };
        if let Some(compared) = self.admissions.compared() {
            self.record.checks.push(check(format!("{CLAIM} ({compared})"), self.uncalled_for == 0, true));
        }
        let untold = self.admissions.untold().iter();
        self.record.checks.extend(untold.map(|why| check(format!("{CLAIM}; not compared: {why}"), false, false)));
    }

    /// Where admission or the set-up broke, the webhook's own log may tell why.
    async fn ask_the_webhook(&mut self, redactor: &Redactor, ready: &Provisioned) {
        let broke = |failure: &&mut Failure| matches!(failure.hop, Hop::Admission | Hop::SetUp);
        if !self.session.target.capabilities.contains(&Capability::Webhook)
            || self.record.failures.iter_mut().find(broke).is_none()
        {
            return;
        }
        // A webhook of this case alone has nothing to tell of another; and where time moved, it is no bound.
        let since = (!self.case.alone()).then(|| self.began.elapsed());
        let finding =
            self.observer(redactor, ready).webhook_finding(since).await.map(|finding| redactor.text(&finding));
        if let (Some(finding), Some(failure)) = (finding, self.record.failures.iter_mut().find(broke)) {
            failure.observed = format!("{}; {finding}", failure.observed);
        }
    }

    /// What a program prints after it was judged takes its word away again: by the pods that an expectation rested on.
    fn look_for_afterthoughts(&mut self, ready: &Provisioned, pods: &Pods) {
        for expectation in &ready.scenario.then {
            let says = matches!(
                expectation.value,
                Expectation::Token(_)
                    | Expectation::Exchange(_)
                    | Expectation::Metadata(_)
                    | Expectation::SecretRead(_)
            );
            let Subject::Pod(name, namespace) = expectation.value.subject() else { continue };
            let key = (namespace.unwrap_or(&ready.namespace).to_owned(), name.to_owned());
            let unsound = pods.get(&key).filter(|_| says && self.record.failures.is_empty()).and_then(judge::unsound);
            let Some(difference) = unsound else { continue };
            self.note(&format!("failed at {}: {}", difference.hop, difference.observed));
            self.record.failures.push(Failure::of(difference, expectation.at, 1, 0));
        }
    }

    /// Whether what does not hold follows from what was told already: the same broke, or something before it did.
    fn has_told(&self, difference: &Difference, expectation: &Expectation) -> bool {
        let subject = subject(expectation);
        let before = difference.hop < Check::hop_of(expectation);
        let same_subject =
            subject.is_some() && before && self.broken.iter().any(|(of, hop)| *of == subject && *hop <= difference.hop);
        let same = |failure: &Failure| failure.hop == difference.hop && failure.observed == difference.observed;
        same_subject || self.record.failures.iter().any(same)
    }

    fn observer<'o>(&self, redactor: &'o Redactor, ready: &Provisioned) -> Observer<'o>
    where
        'a: 'o,
    {
        let session = self.session;
        Observer {
            cluster: &session.cluster,
            azure: &session.azure,
            redactor,
            registration: session.target.webhook.registration.as_deref(),
            journal_since: self.journal_since,
            vaults: ready.facts.vaults.values().filter_map(|url| host(url)).collect(),
        }
    }

    async fn expect(
        &mut self,
        expectation: &Located<Expectation>,
        ready: &Provisioned,
        redactor: &Redactor,
        pods: &Mutex<Pods>,
    ) -> Result<(), Blocked> {
        let sentence = judge::describe(&expectation.value);
        self.note(&format!("expecting that {sentence}"));
        let observer = self.observer(redactor, ready);
        // After the first that does not hold, the later ones are looked at once: there is nothing left to wait for.
        let waits = self.record.failures.is_empty();
        let patience = expectation.value.within().unwrap_or(self.session.target.patience);
        let throughout = expectation.value.throughout().unwrap_or_default();
        let bounds = if waits { Bounds { within: patience, throughout } } else { Bounds::default() };
        let watch =
            Watch { expectation: &expectation.value, ready, observer: &observer, pods, session: self.session, waits };
        let fault = std::sync::Mutex::new(None);
        let look = || async {
            let looked = watch.look().await;
            let (judgement, why) = looked.map_or_else(
                |why| (Judgement::NotYet(Difference::at(Hop::SetUp, "to look at it", why.clone())), Some(why)),
                |judgement| (judgement, None),
            );
            if let Ok(mut fault) = fault.lock() {
                *fault = why;
            }
            judgement
        };
        let Some(settled) = settle::settled(bounds, &self.options.cancel, look).await else {
            return Err(Blocked("interrupted".to_owned()));
        };
        if let Some(why) = fault.into_inner().ok().flatten() {
            return Err(Blocked(format!("it could not be checked: {why}")));
        }
        let waited_ms = u64::try_from(settled.waited.as_millis()).unwrap_or(u64::MAX);
        let (at, looks) = (expectation.at, settled.looks);
        let met = settled.difference.is_none();
        let difference = match settled.difference {
            Some(difference) if waits => Some(watch.explain(difference).await),
            difference => difference,
        };
        // What was not waited for is not broken: it may only not have come yet, or not have gone on.
        let follows =
            difference.as_ref().is_some_and(|difference| !waits && self.has_told(difference, &expectation.value));
        let judged = waits || if met { throughout.is_zero() } else { !settled.open && !follows };
        let says = matches!(
            expectation.value,
            Expectation::Exchange(_) | Expectation::Metadata(_) | Expectation::SecretRead(_)
        );
        self.record.checks.push(Check {
            expectation: sentence,
            hop: Some(Check::hop_of(&expectation.value)),
            at,
            met: met && judged,
            judged,
            word_alone: met && says && !ready.facts.request_journal,
            unasked: false,
            looks,
            waited_ms,
        });
        if !judged {
            self.note(if follows { "not reached" } else { "not judged after a failure" });
        } else if let Some(difference) = difference {
            self.note(&format!("failed at {}: {}", difference.hop, difference.observed));
            self.broken.push((subject(&expectation.value), difference.hop));
            self.record.failures.push(Failure::of(difference, at, looks, waited_ms));
        }
        Ok(())
    }
}

/// The hop at which a step is refused: Azure's own is that of setting it up, everything else is the API server's.
fn refused_by(step: &Step) -> Hop {
    if matches!(step, Step::Trust(_)) { Hop::SetUp } else { Hop::Admission }
}

/// The pod that an expectation speaks of.
fn subject(expectation: &Expectation) -> Option<String> {
    match expectation.subject() {
        Subject::Pod(name, namespace) => Some(format!("{}/{name}", namespace.unwrap_or_default())),
        Subject::Cluster => None,
    }
}

fn host(url: &str) -> Option<String> {
    url::Url::parse(url).ok()?.host_str().map(str::to_owned)
}

/// Pods that a step asks to begin another round.
fn asked_again(steps: &[Located<Step>]) -> BTreeSet<String> {
    let asked = steps.iter().filter_map(|step| match &step.value {
        Step::AskAgain(name) => Some(name.value.clone()),
        _ => None,
    });
    asked.collect()
}

async fn caught(stages: impl Future<Output = Result<(), Blocked>>) -> Result<(), Blocked> {
    AssertUnwindSafe(stages).catch_unwind().await.unwrap_or_else(|panic| {
        let text =
            panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Err(Blocked(format!("the harness panicked: {}", text.unwrap_or_default())))
    })
}

fn known_secrets(session: &Session) -> Vec<Secret> {
    let mut secrets = session.target.azure.credential.secrets();
    secrets.push(session.target.cluster.kubeconfig.clone());
    secrets
}

fn milliseconds(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// What the session knows, as facts.
pub(crate) fn facts(session: &crate::session::Known) -> Facts {
    Facts {
        issuer: session.issuer.clone(),
        tenant_id: session.tenant_id.clone(),
        authority: session.authority.clone(),
        profile: session.profile.clone(),
        pods_run: session.pods_run,
        request_journal: session.request_journal,
        kubernetes: session.kubernetes.clone(),
        ..Facts::default()
    }
}
