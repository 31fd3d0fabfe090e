//! The matrix of mutants: each scenario must fail under each of its mutants, because of that mutant.

use std::path::PathBuf;

use futures::StreamExt;
use tokio_util::sync::CancellationToken;
use wi_model::plan::Case;
use wi_model::record::{Outcome, Record};
use wi_model::sabotage::MISLEADS_CONTAINER;
use wi_model::verdict::Hop;
use wi_target_embedded::Options;

use crate::console;
use crate::exit::{Exit, Stop};
use crate::mutants;
use crate::target_pool::Pool;
use crate::target_spec::Place;

/// A scenario under a mutant, and what came of it.
pub struct Pair {
    pub id: String,
    pub defect: String,
    pub record: Record,
}

/// Whether a scenario noticed a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noticed {
    /// It failed at a hop where the mutant shows.
    Killed,
    /// It failed at another hop, so for another reason.
    RedElsewhere(Hop),
    /// It did not fail. Being blocked does not count: then the mutant broke the setup, not the product.
    Survived,
}

/// Whether a record is that of a scenario which noticed a mutant: the first hop that broke decides.
pub fn noticed(record: &Record, mutant: &str) -> Noticed {
    match record.failures.first() {
        Some(failure) if record.outcome == Outcome::Fail => {
            if mutants::hops(mutant).contains(&failure.hop) {
                Noticed::Killed
            } else {
                Noticed::RedElsewhere(failure.hop)
            }
        }
        _ => Noticed::Survived,
    }
}

impl Noticed {
    fn word(self) -> &'static str {
        match self {
            Noticed::Killed => "killed",
            Noticed::RedElsewhere(_) => "red-elsewhere",
            Noticed::Survived => "SURVIVED",
        }
    }
}

/// The hops at which a mutant shows, in words.
pub fn shows_at(mutant: &str) -> String {
    mutants::hops(mutant).iter().map(|hop| hop.word()).collect::<Vec<_>>().join(" or ")
}

/// What to prove, and how.
pub struct Matrix {
    pub cases: Vec<Case>,
    pub environment: Options,
    pub out: PathBuf,
    pub state_dir: PathBuf,
    pub jobs: usize,
    pub cancel: CancellationToken,
}

impl Matrix {
    /// Runs every pair, each in an environment of its own, and hands each to `ended`.
    pub async fn perform(self, ended: impl Fn(&Pair) + Sync) -> Vec<Pair> {
        let started = jiff::Timestamp::now();
        let run_id = crate::run::run_id(started);
        let named = |case: &Case| wi_model::sabotage::mutants(&case.scenario);
        let pairs: Vec<(&Case, String)> =
            self.cases.iter().flat_map(|case| named(case).into_iter().map(move |mutant| (case, mutant))).collect();
        let mut pairs: Vec<Pair> = futures::stream::iter(pairs.iter().enumerate())
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

/// Runs one case under one mutant.
pub async fn sabotaged(
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
    let environment = Options { mutants: mutants::only(defect), state_dir: Some(state_dir.clone()), ..environment };
    let pool = Pool::new(Place::Embedded(Box::new(environment)), run_id, state_dir, out, cancel);
    let record = pool.run(&case, &|_| {}).await;
    pool.close().await;
    record
}

/// Why nothing was noticed, in words.
pub fn unnoticed(record: &Record, mutant: &str) -> String {
    if mutant == MISLEADS_CONTAINER && record.outcome == Outcome::Pass {
        return "the expectation holds for another container than the intended one; name the container with `container`"
            .to_owned();
    }
    record.reason.clone().unwrap_or_else(|| "no expectation failed".to_owned())
}

/// A pair's end in lines: the second says how the scenario noticed, or what it noticed instead.
pub fn tell(pair: &Pair) {
    let noticed = noticed(&pair.record, &pair.defect);
    console::say(format!("{:>13}  {}  under {}  {} ms", noticed.word(), pair.id, pair.defect, pair.record.duration_ms));
    match (pair.record.failures.first(), noticed) {
        (Some(failure), Noticed::Killed | Noticed::RedElsewhere(_)) => {
            let place = format!("{}:{}:{}", pair.record.file, failure.at.line, failure.at.column);
            console::say(format!(
                "               at {}: expected {}; observed {}  ({place})",
                failure.hop, failure.expected, failure.observed
            ));
            if let Noticed::RedElsewhere(_) = noticed {
                console::say(format!("               {} shows at {}", pair.defect, shows_at(&pair.defect)));
            }
        }
        _ => {
            console::say(format!("               {}: {}", pair.record.outcome, unnoticed(&pair.record, &pair.defect)));
        }
    }
}

/// How the matrix ends.
pub fn conclude(pairs: &[Pair], interrupted: bool) -> Result<Exit, Stop> {
    if interrupted {
        return Ok(Exit::Interrupted);
    }
    if pairs.is_empty() {
        return Err(Stop::new(Exit::NothingRan, "no selected scenario names a mutant"));
    }
    let count =
        |wanted: fn(Noticed) -> bool| pairs.iter().filter(|pair| wanted(noticed(&pair.record, &pair.defect))).count();
    let killed = count(|noticed| noticed == Noticed::Killed);
    let elsewhere = count(|noticed| matches!(noticed, Noticed::RedElsewhere(_)));
    let survived = count(|noticed| noticed == Noticed::Survived);
    console::say(format!(
        "{} pairs: {killed} killed, {elsewhere} failed at another hop, {survived} survived",
        pairs.len()
    ));
    Ok(if killed == pairs.len() { Exit::Conformant } else { Exit::CaseFailed })
}

#[cfg(test)]
mod tests {
    use wi_model::located::Position;
    use wi_model::plan::Case;
    use wi_model::record::Failure;

    use super::*;

    fn red(hop: Hop) -> Record {
        let scenario = "title: t\nwhen:\n  - create-pod: { name: p, image: i }\nthen:\n  - admission: { of: p, outcome: mutated }\n";
        let scenario = wi_model::parse::scenario("s.yaml", scenario.as_bytes()).unwrap();
        let case = Case { id: "a/s".into(), file: "s.yaml".into(), scenario, sabotage: None, variation: Vec::new() };
        let failure = Failure {
            hop,
            expected: "e".into(),
            observed: "o".into(),
            changes: Vec::new(),
            advice: None,
            at: Position::default(),
            looks: 1,
            waited_ms: 0,
        };
        Record { outcome: Outcome::Fail, failures: vec![failure], ..Record::begin(&case, String::new()) }
    }

    #[test]
    fn a_mutant_is_killed_only_at_a_hop_where_it_shows() {
        assert_eq!(noticed(&red(Hop::Secret), "vault/refuses-everyone"), Noticed::Killed);
        assert_eq!(noticed(&red(Hop::Admission), "vault/refuses-everyone"), Noticed::RedElsewhere(Hop::Admission));
        let blocked = Record { outcome: Outcome::Blocked, ..red(Hop::Secret) };
        assert_eq!(noticed(&blocked, "vault/refuses-everyone"), Noticed::Survived);
    }

    #[test]
    fn every_mutant_declares_where_it_shows_and_none_shows_everywhere() {
        for (name, sentence) in mutants::all() {
            let hops = mutants::hops(&name);
            assert!((1..4).contains(&hops.len()), "{name} ({sentence}) shows at {hops:?}: say at which hop");
        }
        for names in mutants::SHOWS.iter().map(|(names, _)| *names) {
            for name in names {
                assert!(mutants::all().iter().any(|(known, _)| known == name), "there is no mutant {name}");
            }
        }
    }
}
