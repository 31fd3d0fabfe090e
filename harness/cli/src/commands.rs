//! The commands, one function each.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tokio_util::sync::CancellationToken;
use wi_model::plan::{self, Case, Decision};

use crate::args::{
    Cli, Command, DiffArgs, Fixture, Global, ListArgs, RunArgs, SabotageArgs, SchemaOf, SelectArgs, SuiteArgs,
    SweepArgs,
};
use crate::environment::Options;
use crate::exit::{Exit, Stop};
use crate::place::Place;
use crate::progress::Progress;
use crate::run::{self, OutFolder, Run};
use crate::sabotage::{self, Matrix};
use crate::scenarios::Suite;
use crate::{console, defects, environment, scenarios, signal, standing, sweep, targets};

/// The program: reads the command line, does what it says, and ends with a documented code.
pub fn main() -> ExitCode {
    crate::entry();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS };
        }
    };
    if let Some(filter) = &cli.global.log {
        let filter = tracing_subscriber::EnvFilter::try_new(filter);
        match filter {
            Ok(filter) => tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init(),
            Err(error) => return stopped(&Stop::new(Exit::Usage, format!("--log: {error}"))),
        }
    }
    // Programs of images run before any thread is made.
    if let Command::Fixture(fixture) = &cli.command {
        match fixture.fixture {
            Fixture::Quickstart => return crate::entry::exit_code("quickstart"),
            Fixture::Pause => return crate::entry::exit_code("pause"),
            Fixture::Azure(_) | Fixture::Webhook(_) => {}
        }
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return stopped(&Stop::new(Exit::TargetUnfit, format!("no runtime: {error}"))),
    };
    match runtime.block_on(dispatch(cli)) {
        Ok(exit) => exit.into(),
        Err(stop) => stopped(&stop),
    }
}

fn stopped(stop: &Stop) -> ExitCode {
    stop.lines.iter().for_each(|line| console::tell(format!("wi-conformance: {line}")));
    stop.exit.into()
}

async fn dispatch(cli: Cli) -> Result<Exit, Stop> {
    let global = cli.global;
    match cli.command {
        Command::Run(args) => run(args, &global).await,
        Command::Plan(args) => plan(&args, &global).await,
        Command::List(args) => list(&args),
        Command::Sabotage(args) => sabotage(args, &global).await,
        Command::Schema(args) => {
            let schema = match args.of {
                SchemaOf::Scenario => wi_model::schema::scenario(),
                SchemaOf::Target => wi_model::schema::target(),
            };
            console::say(serde_json::to_string_pretty(&schema).unwrap_or_default());
            Ok(Exit::Conformant)
        }
        Command::Sweep(args) => sweep(args, &global).await,
        Command::Up(args) => standing::up(args, &global).await,
        Command::Down(args) => standing::down(&args, &global).await,
        Command::Diff(args) => diff(&args),
        Command::Fixture(args) => fixture(args.fixture).await,
    }
}

/// Loads the suite and selects from it.
fn select(args: &SuiteArgs) -> Result<(Suite, Vec<Case>), Stop> {
    let known = defects::all();
    let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
    let suite = scenarios::load(&args.scenarios, &names)
        .map_err(|faults| Stop { exit: Exit::Usage, lines: faults.iter().map(ToString::to_string).collect() })?;
    let selected: Vec<Case> =
        suite.cases.iter().filter(|case| plan::selected(&case.id, &args.filters, args.exact)).cloned().collect();
    if selected.is_empty() {
        let what = if args.filters.is_empty() {
            format!("no scenario in {}", args.scenarios.display())
        } else {
            format!("no scenario of {} matches {}", args.scenarios.display(), args.filters.join(" or "))
        };
        return Err(Stop::new(Exit::NothingRan, format!("{what}; `wi-conformance list` shows their ids")));
    }
    Ok((suite, selected))
}

/// How many cases run at once. Real pods are started by the same processors, and not faster for being many.
fn jobs(named: Option<u16>, place: &Place) -> usize {
    let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let each = if place.opens_in_no_time() { 4 } else { 2 };
    named.map_or(processors * each, usize::from)
}

async fn run(args: RunArgs, global: &Global) -> Result<Exit, Stop> {
    let (suite, mut cases) = select(&args.select.suite)?;
    let mut defects = defects::Defects::default();
    if let Some(defect) = &args.saboteur {
        if !defects::all().iter().any(|(name, _)| name == defect) {
            return Err(Stop::new(
                Exit::Usage,
                format!("--saboteur {defect}: no such defect; `wi-conformance sabotage --list` names them"),
            ));
        }
        defects = defects::Defects::one(defect);
        for case in &mut cases {
            case.sabotage = Some(defect.clone());
            wi_model::sabotage::apply(&mut case.scenario, defect);
        }
    }
    let place = targets::place(&args.select.target, defects, &global.state_dir())?;
    let jobs = jobs(args.jobs, &place);
    let cancel = CancellationToken::new();
    let signals = signal::watch(&cancel);
    let progress = Progress::new(global.plain || global.ci.is_some(), cases.len());
    let limit = place.time_limit().map(|limit| signal::limit(&cancel, limit));
    let run = Run {
        cases,
        deviations: suite.deviations,
        place,
        out: args.out.clone(),
        state_dir: global.state_dir(),
        jobs,
        cancel,
        print_target: args.print_target,
    };
    let outcome = run.perform(&progress).await;
    progress.finish();
    signals.abort();
    if let Some(limit) = limit {
        limit.abort();
    }
    let record = outcome?;
    console::say(wi_report::text(&record));
    console::say(format!("reports: {0}/junit.xml, {0}/report.json, evidence in {0}/cases/", args.out.display()));
    Ok(run::exit(&record))
}

async fn plan(args: &SelectArgs, global: &Global) -> Result<Exit, Stop> {
    let (_, cases) = select(&args.suite)?;
    let place = targets::place(&args.target, defects::Defects::default(), &global.state_dir())?;
    let capabilities = place.capabilities();
    let mut runs = 0;
    for case in &cases {
        match plan::decide(case, &capabilities) {
            Decision::Runs => {
                runs += 1;
                let alone = match (case.alone(), place.opens_in_no_time()) {
                    (true, true) => "  (in an environment of its own)",
                    (true, false) => "  (while no other case runs)",
                    (false, _) => "",
                };
                console::say(format!("          runs  {}{alone}", case.id));
            }
            Decision::NotApplicable { missing } => {
                let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
                console::say(format!("not applicable  {}  the target lacks {}", case.id, missing.join(", ")));
            }
        }
    }
    console::say(format!("{runs} of {} scenarios would run", cases.len()));
    place.preflight().await?;
    Ok(if runs == 0 { Exit::NothingRan } else { Exit::Conformant })
}

fn list(args: &ListArgs) -> Result<Exit, Stop> {
    let (_, cases) = select(&args.suite)?;
    for case in &cases {
        let requirements: Vec<&str> = case.scenario.requirements.iter().map(|id| id.value.as_str()).collect();
        console::say(format!("{}  {}  [{}]", case.id, case.scenario.title.value, requirements.join(", ")));
    }
    Ok(Exit::Conformant)
}

fn diff(args: &DiffArgs) -> Result<Exit, Stop> {
    let read = |path: &PathBuf| {
        let path = if path.is_dir() { path.join("report.json") } else { path.clone() };
        let fault = |why: String| Stop::new(Exit::Usage, format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|error| fault(error.to_string()))?;
        wi_report::read(&text).map_err(fault)
    };
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let differences = wi_report::diff(&a, &b);
    differences.lines.iter().for_each(console::say);
    console::say(&differences.summary);
    Ok(match (differences.lines.is_empty(), differences.compared) {
        (false, _) => Exit::CaseFailed,
        (true, 0) => Exit::NothingRan,
        (true, _) => Exit::Conformant,
    })
}

async fn sabotage(args: SabotageArgs, global: &Global) -> Result<Exit, Stop> {
    if args.list {
        defects::all().iter().for_each(|(name, sentence)| console::say(format!("{name}  {sentence}")));
        return Ok(Exit::Conformant);
    }
    let (_, cases) = select(&args.suite)?;
    environment::preflight().map_err(|error| Stop::from_error(Exit::TargetUnfit, &error))?;
    let _out = OutFolder::claim(&args.out)?;
    let cancel = CancellationToken::new();
    let signals = signal::watch(&cancel);
    let matrix = Matrix {
        cases,
        jobs: jobs(args.jobs, &Place::Embedded(Box::default())),
        environment: Options::default(),
        out: args.out.clone(),
        state_dir: global.state_dir(),
        cancel: cancel.clone(),
    };
    let pairs = matrix.perform(sabotage::tell).await;
    signals.abort();
    sabotage::conclude(&pairs, cancel.is_cancelled())
}

async fn sweep(args: SweepArgs, global: &Global) -> Result<Exit, Stop> {
    if let Some(target) = &args.target {
        let options = targets::to_sweep(target, args.context.as_deref())?;
        return sweep::search(&options, &global.state_dir(), args.older_than, args.delete).await;
    }
    let swept = sweep::sweep(&global.state_dir()).await;
    swept.removed.iter().for_each(|line| console::say(format!("removed {line}")));
    swept.left.iter().for_each(|line| console::tell(format!("left behind: {line}")));
    if swept.removed.is_empty() && swept.left.is_empty() {
        console::say("nothing was left behind");
    }
    Ok(if swept.left.is_empty() { Exit::Conformant } else { Exit::LeftBehind })
}

async fn fixture(fixture: Fixture) -> Result<Exit, Stop> {
    let cancel = CancellationToken::new();
    let signals = signal::watch(&cancel);
    let served = match fixture {
        Fixture::Azure(args) => {
            let served = wi_azure_emulator::serve(*args, &mut std::io::stdout(), cancel).await;
            served.map_err(|error| Stop::from_error(Exit::TargetUnfit, &error))
        }
        Fixture::Webhook(args) => wi_reference_webhook::serve(*args, cancel)
            .await
            .map_err(|error| Stop::from_error(Exit::TargetUnfit, &error)),
        // Run before any thread is made.
        Fixture::Quickstart | Fixture::Pause => Ok(()),
    };
    signals.abort();
    served.map(|()| Exit::Conformant)
}
