//! Scenarios as tests: one trial each, under `cargo test` and nextest.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio_util::sync::CancellationToken;
use wi_model::parse::InvalidScenario;
use wi_model::plan::Case;
use wi_model::record::{Outcome, Record};
use wi_model::register::{self, Deviation};
use wi_target_embedded::{Options, Program, Webhook};

use crate::mutant_matrix::{Noticed, noticed, shows_at, unnoticed};
use crate::scenarios::{Reading, Source};
use crate::target_pool::Pool;
use crate::target_spec::Place;
use crate::{console, mutants, scenarios, stand_ins};

/// A folder of scenarios as a test program. Use it from a test with `harness = false`:
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     wi_conformance::Conformance::new("tests/scenarios").main()
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Conformance {
    scenarios: PathBuf,
    evidence: PathBuf,
    environment: Options,
    saboteurs: bool,
    strict: bool,
}

impl Conformance {
    /// The scenarios of a folder. It may hold a catalogue, `requirements.yaml`.
    pub fn new(scenarios: impl Into<PathBuf>) -> Self {
        Conformance {
            scenarios: scenarios.into(),
            evidence: PathBuf::from("reports/tests"),
            environment: Options::default(),
            saboteurs: false,
            strict: false,
        }
    }

    /// The webhook under test; the reference one when not said.
    #[must_use]
    pub fn webhook(mut self, webhook: Webhook) -> Self {
        self.environment.webhook = webhook;
        self
    }

    /// The program that an image name stands for, such as your own quick-start.
    #[must_use]
    pub fn image(mut self, name: impl Into<String>, program: Program) -> Self {
        self.environment.images.push((name.into(), program));
        self
    }

    /// Folder for evidence; `reports/tests` when not said.
    #[must_use]
    pub fn evidence(mut self, folder: impl Into<PathBuf>) -> Self {
        self.evidence = folder.into();
        self
    }

    /// Adds a trial for each scenario under each of its mutants, which passes when the scenario fails.
    #[must_use]
    pub fn with_saboteurs(mut self) -> Self {
        self.saboteurs = true;
        self
    }

    /// Requires that every scenario names requirements of the catalogue, and mutants under which it fails.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Runs the trials that the command line selects, with libtest's own flags.
    pub fn main(mut self) -> ExitCode {
        wi_target_embedded::entry();
        let arguments = Arguments::from_args();
        let known = mutants::all();
        let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
        let reading = Reading { mutants: &names, strict: self.strict };
        let suite = scenarios::load(&[Source::Folder(self.scenarios.clone())], reading);
        match stand_ins::programs(&stand_ins::all(&[], &suite.images)) {
            Ok(programs) => self.environment.images.extend(programs),
            Err(stop) => {
                stop.lines.iter().for_each(console::tell);
                return stop.exit.into();
            }
        }
        let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => Arc::new(runtime),
            Err(error) => {
                console::tell(format!("no runtime: {error}"));
                return ExitCode::from(4);
            }
        };
        let bench = Arc::new(self.bench(suite.deviations));
        let mut trials: Vec<Trial> = suite.cases.iter().map(|case| trial(case, None, &bench, &runtime)).collect();
        trials.extend(unusable(&suite.faults));
        if self.saboteurs {
            for case in &suite.cases {
                trials.extend(
                    wi_model::sabotage::mutants(&case.scenario)
                        .into_iter()
                        .map(|mutant| trial(case, Some(mutant), &bench, &runtime)),
                );
            }
        }
        let conclusion = libtest_mimic::run(&arguments, trials);
        let left = match Arc::into_inner(bench) {
            Some(bench) => runtime.block_on(bench.close()),
            None => vec!["an environment is still in use".to_owned()],
        };
        if left.is_empty() {
            return conclusion.exit_code();
        }
        left.iter().for_each(|line| console::tell(format!("left behind: {line}")));
        ExitCode::from(5)
    }

    fn bench(&self, deviations: Vec<Deviation>) -> Bench {
        let state = tempfile::tempdir().map_or_else(|_| std::env::temp_dir(), tempfile::TempDir::keep);
        let run_id = crate::run::run_id(jiff::Timestamp::now());
        let environment = Options { state_dir: Some(state.clone()), ..self.environment.clone() };
        let pool = Pool::new(
            Place::Embedded(Box::new(environment)),
            &run_id,
            state.clone(),
            self.evidence.clone(),
            CancellationToken::new(),
        );
        Bench {
            pool,
            deviations,
            environment: self.environment.clone(),
            run_id,
            state,
            evidence: self.evidence.clone(),
        }
    }
}

/// A trial that fails for each file that cannot be used; the others run.
fn unusable(faults: &[InvalidScenario]) -> Vec<Trial> {
    let mut by_file: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for fault in faults {
        by_file.entry(&fault.path).or_default().push(fault.to_string());
    }
    let trial = |(file, told): (&str, Vec<String>)| {
        Trial::test(format!("{file} is valid"), move || Err(Failed::from(told.join("\n"))))
    };
    by_file.into_iter().map(trial).collect()
}

/// What trials share.
struct Bench {
    pool: Pool,
    deviations: Vec<Deviation>,
    environment: Options,
    run_id: String,
    state: PathBuf,
    evidence: PathBuf,
}

impl Bench {
    async fn run(&self, case: &Case, saboteur: Option<&str>) -> Record {
        let Some(defect) = saboteur else {
            let mut record = self.pool.run(case, &|_| {}).await;
            register::judge(&mut record, &self.deviations, self.pool.product().as_ref());
            return record;
        };
        let run_id = format!("{}-{}-{}", self.run_id, case.id.replace('/', "-"), defect.replace('/', "-"));
        let out = self.evidence.join("saboteurs").join(defect.replace('/', "-"));
        crate::mutant_matrix::sabotaged(
            case,
            defect,
            self.environment.clone(),
            &run_id,
            self.state.clone(),
            out,
            CancellationToken::new(),
        )
        .await
    }

    async fn close(self) -> Vec<String> {
        let mut left = self.pool.close().await;
        if let Err(error) = std::fs::remove_dir_all(&self.state) {
            left.push(format!("{}: {error}", self.state.display()));
        }
        left
    }
}

/// The command that runs a trial again, where cargo started this program.
fn cargo(trial: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "cargo names the package of a test nowhere else")]
    let package = std::env::var("CARGO_PKG_NAME").ok()?;
    let program = std::env::current_exe().ok()?;
    // Cargo ends the file's name with a hash.
    let (test, _) = program.file_name()?.to_str()?.rsplit_once('-')?;
    Some(format!("cargo test -p {package} --test {test} -- --exact {}", crate::rerun::quoted(trial)))
}

fn trial(case: &Case, saboteur: Option<String>, bench: &Arc<Bench>, runtime: &Arc<tokio::runtime::Runtime>) -> Trial {
    let (case, bench, runtime) = (case.clone(), Arc::downgrade(bench), Arc::downgrade(runtime));
    let name = match &saboteur {
        Some(defect) => format!("{} fails under {defect}", case.id),
        None => case.id.clone(),
    };
    let named = name.clone();
    Trial::ignorable_test(named, move || {
        let (Some(bench), Some(runtime)) = (bench.upgrade(), runtime.upgrade()) else {
            return Err(Failed::from("the run has ended"));
        };
        let mut record = runtime.block_on(bench.run(&case, saboteur.as_deref()));
        record.again = cargo(&name);
        let Some(mutant) = &saboteur else {
            return match record.outcome {
                Outcome::Pass | Outcome::ExpectedFail => Ok(Completion::Completed),
                Outcome::NotApplicable => Ok(Completion::ignored_with(record.reason.unwrap_or_default())),
                Outcome::Fail | Outcome::UnexpectedPass | Outcome::Blocked => {
                    Err(Failed::from(wi_report::case_text(&record)))
                }
            };
        };
        let id = &case.id;
        match (record.outcome, noticed(&record, mutant)) {
            (Outcome::NotApplicable, _) => Ok(Completion::ignored_with(record.reason.unwrap_or_default())),
            (_, Noticed::Killed) => Ok(Completion::Completed),
            (_, Noticed::RedElsewhere(hop)) => Err(Failed::from(format!(
                "{id} must fail under {mutant} at {}, but failed at {hop}, for another reason:\n{}",
                shows_at(mutant),
                wi_report::case_text(&record)
            ))),
            (outcome, Noticed::Survived) => {
                let reason = unnoticed(&record, mutant);
                Err(Failed::from(format!("{id} must fail under {mutant}, but was: {outcome}: {reason}")))
            }
        }
    })
}
