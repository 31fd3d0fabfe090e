//! The commands, one function each.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tokio_util::sync::CancellationToken;
use wi_conformance::Options;
use wi_conformance::console::ForPeople;
use wi_conformance::mutant_matrix::{self, Matrix};
use wi_conformance::progress::Progress as _;
use wi_conformance::reports::{self, OutFolder};
use wi_conformance::run::{self, Run};
use wi_conformance::scenarios::{Reading, Suite};
use wi_conformance::selection::{Filter, Known};
use wi_conformance::target_spec::Place;
use wi_conformance::{Exit, Stop};
use wi_conformance::{console, mutants, preflight, scenarios, shard, stand_ins, sweep};
use wi_model::mutant::Mutants;
use wi_model::named;
use wi_model::parse::InvalidScenario;
use wi_model::plan::{self, Case, Decision};

use crate::args::{
    Cli, Command, CompletionsArgs, DiffArgs, Fixture, Format, FromArgs, Global, ListArgs, ManArgs, RunArgs,
    SabotageArgs, SchemaOf, SelectArgs, SuiteArgs, SweepArgs,
};
use crate::progress::Progress;
use crate::{coverage, images, init, publish, signal, targets, up, watch};

/// The program: reads the command line, does what it says, and ends with a documented code.
pub(crate) fn main() -> ExitCode {
    wi_conformance::entry();
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
        match &fixture.fixture {
            Fixture::Quickstart => return wi_target_embedded::exit_code("quickstart"),
            Fixture::Pause => return wi_target_embedded::exit_code("pause"),
            Fixture::ForwardProxy => return wi_target_embedded::exit_code("forward-proxy"),
            Fixture::AdmissionPolicy => return wi_target_embedded::exit_code("admission-policy"),
            Fixture::Proxy(args) => return wi_target_embedded::exit_code_of_proxy(args),
            Fixture::ProxyInit => return wi_target_embedded::exit_code("proxy-init"),
            Fixture::Azure(_) | Fixture::Webhook(_) => {}
        }
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return stopped(&Stop::new(Exit::TargetUnfit, format!("no runtime: {error}"))),
    };
    match runtime.block_on(dispatch(cli)) {
        Ok(exit) => match console::output_fault() {
            Some(fault) if exit == Exit::Conformant => {
                stopped(&Stop::new(Exit::Usage, format!("standard output could not be written: {fault}")))
            }
            _ => exit.into(),
        },
        Err(stop) => stopped(&stop),
    }
}

fn stopped(stop: &Stop) -> ExitCode {
    stop.lines.iter().for_each(|line| console::tell(format!("wi-conformance: {line}")));
    stop.exit.into()
}

async fn dispatch(cli: Cli) -> Result<Exit, Stop> {
    let global = cli.global;
    crate::deprecated::on_the_command_line(&cli.command);
    match cli.command {
        Command::Run(args) => run(args, &global).await,
        Command::Plan(args) => plan(&args, &global).await,
        Command::Init(args) => init::init(&args),
        Command::List(args) => list(&args),
        Command::Coverage(args) => coverage::coverage(&args, &global),
        Command::Sabotage(args) => sabotage(args, &global).await,
        Command::Schema(args) => {
            let schema = match args.of {
                SchemaOf::Scenario => wi_model::schema::scenario(),
                SchemaOf::Target => wi_model::schema::target(),
            };
            console::data(serde_json::to_string_pretty(&schema).unwrap_or_default());
            Ok(Exit::Conformant)
        }
        Command::Sweep(args) => sweep(args, &global).await,
        Command::Up(args) => up::up(args, &global).await,
        Command::Down(args) => up::down(&args, &global).await,
        Command::Diff(args) => diff(&args),
        Command::Report(args) => publish::report(&args),
        Command::Completions(args) => Ok(completions(&args)),
        Command::Man(args) => man(&args),
        Command::Images(args) => images::write(&args),
        Command::Fixture(args) => fixture(args.fixture).await,
    }
}

/// Where runs leave their reports, by default.
const LAST_RUN: &str = "reports/latest";

/// Loads the scenarios that flags name.
pub(crate) fn load(from: &FromArgs, strict: bool) -> Suite {
    let known = mutants::all();
    let mutants: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
    scenarios::load(&from.sources(), Reading { mutants: &mutants, strict })
}

/// Loads the suite and selects from it. Files that cannot be used are told, and left out.
fn select(args: &SuiteArgs, out: &Path) -> Result<(Suite, Vec<Case>), Stop> {
    let suite = load(&args.from, args.strict);
    let asks = args.filter.as_ref().is_some_and(Filter::asks_about_the_past);
    let past = asks.then(|| reports::read(out)).transpose();
    let past = past.map_err(|stop| {
        Stop::new(stop.exit, format!("--filter: {}; outcome() and slow() need a run before", stop.lines.join("; ")))
    })?;
    let known = Known { requirements: &suite.requirements, past: past.as_ref() };
    let meant = |case: &&Case| {
        plan::selected(&case.id, &args.filters, args.exact)
            && args.filter.as_ref().is_none_or(|filter| filter.selects(case, &known))
    };
    let selected: Vec<Case> = suite.cases.iter().filter(meant).cloned().collect();
    if selected.is_empty() && !suite.faults.is_empty() {
        return Err(Stop::lines(Exit::Usage, suite.faults.iter().map(ToString::to_string).collect()));
    }
    if selected.is_empty() {
        let from = args.from.shown();
        let what = if args.filter.is_some() {
            format!("no scenario of {from} is selected by --filter")
        } else if args.filters.is_empty() {
            format!("no scenario in {from}")
        } else {
            format!("no scenario of {from} matches {}", args.filters.join(" or "))
        };
        return Err(Stop::new(Exit::NothingRan, format!("{what}; `wi-conformance list` shows their ids")));
    }
    crate::deprecated::in_files(&suite.notices);
    suite.faults.iter().for_each(|fault| console::tell(format!("wi-conformance: {fault}")));
    Ok((suite, selected))
}

/// How a command ends whose suite has files that cannot be used: what they would have shown is not known.
fn unless_faulty(exit: Exit, faults: &[InvalidScenario]) -> Exit {
    let files: BTreeSet<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
    if files.is_empty() || matches!(exit, Exit::Interrupted | Exit::TargetUnfit) {
        return exit;
    }
    let named: Vec<&str> = files.into_iter().collect();
    console::tell(format!("wi-conformance: skipped invalid files: {}", named.join(", ")));
    Exit::Usage
}

/// How many cases run at once. Real pods are started by the same processors, and not faster for being many.
fn jobs(named: Option<u16>, place: &Place) -> usize {
    let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let each = if place.opens_in_no_time() { 4 } else { 2 };
    named.map_or(processors * each, usize::from)
}

async fn run(args: RunArgs, global: &Global) -> Result<Exit, Stop> {
    if args.watch {
        return watch::watch(args, global).await;
    }
    run_selected(args, global, &|_| true).await
}

/// Runs the selected cases of which this says that they are meant.
pub(crate) async fn run_selected(
    args: RunArgs,
    global: &Global,
    meant: &(dyn Fn(&Case) -> bool + Sync),
) -> Result<Exit, Stop> {
    let (suite, mut cases) = select(&args.select.suite, &args.out)?;
    cases.retain(|case| meant(case));
    if cases.is_empty() {
        return Ok(unless_faulty(Exit::NothingRan, &suite.faults));
    }
    let mut mutants = Mutants::default();
    if let Some(defect) = &args.saboteur {
        if !mutants::all().iter().any(|(name, _)| name == defect) {
            return Err(Stop::new(
                Exit::Usage,
                format!("--mutant {defect}: unknown mutant; `wi-conformance mutants --list` lists them"),
            ));
        }
        mutants = mutants::only(defect);
        for case in &mut cases {
            case.sabotage = Some(defect.clone());
            wi_model::sabotage::apply(&mut case.scenario, defect);
        }
    }
    let varied = args.vary.map(wi_model::variation::shared);
    if let Some(seed) = args.vary {
        cases.iter_mut().for_each(|case| _ = wi_model::variation::vary(case, seed));
    }
    if args.failed {
        cases = failed(cases, &args.out)?;
    }
    let mut part = None;
    if let Some(wanted) = args.shard {
        let past = args.durations.as_deref().map(reports::read).transpose()?;
        let past = past.as_ref().map(shard::durations).unwrap_or_default();
        let selected = shard::select(cases, wanted, &past);
        let (mine, shard) = selected.map_err(|why| Stop::new(Exit::Usage, format!("--shard: {why}")))?;
        (cases, part) = (mine, Some(shard));
    }
    let people = if args.format == Format::Json { ForPeople::Error } else { ForPeople::Output };
    let mut place = targets::place(&args.select.target, &suite.images, mutants, &global.state_dir())?;
    if let Some(varied) = &varied {
        place.vary(varied);
    }
    let jobs = jobs(args.jobs, &place);
    let cancel = CancellationToken::new();
    let signals = signal::watch(&cancel);
    let limit = place.time_limit().map(|limit| signal::limit(&cancel, limit));
    let mut ended = Ok(Exit::NothingRan);
    for round in 1..=args.repeat {
        let progress = Progress::new(global.plain || global.ci.is_some(), cases.len(), people);
        let run = Run {
            cases: cases.clone(),
            requirements: suite.requirements.clone(),
            shard: part.clone(),
            spoken: args.format == Format::Json,
            deviations: suite.deviations.clone(),
            place: place.clone(),
            out: args.out.clone(),
            state_dir: global.state_dir(),
            jobs,
            cancel: cancel.clone(),
            print_target: args.print_target,
            fail_fast: args.fail_fast,
            pause_on_failure: args.pause_on_failure,
            again: wi_conformance::rerun::base(std::env::args().skip(1)),
            vary: args.vary.zip(varied.clone()),
        };
        let outcome = run.perform(&progress).await;
        progress.finish();
        let told = outcome.and_then(|record| {
            publish::tell(&record, &args.out, people, &args.github)?;
            Ok(run::exit(&record))
        });
        if args.repeat > 1 {
            people.line(format!("round {round} of {}", args.repeat));
        }
        let goes_on = matches!(told, Ok(Exit::Conformant));
        ended = told;
        if !goes_on {
            break;
        }
    }
    signals.abort();
    if let Some(limit) = limit {
        limit.abort();
    }
    Ok(unless_faulty(ended?, &suite.faults))
}

/// The selected cases that failed in the last run.
fn failed(cases: Vec<Case>, out: &Path) -> Result<Vec<Case>, Stop> {
    let last = reports::read(out)
        .map_err(|stop| Stop::new(stop.exit, format!("--failed: {}; it needs a run before", stop.lines.join("; "))))?;
    let red: BTreeSet<&str> =
        last.cases.iter().filter(|case| case.outcome.is_red()).map(|case| case.id.as_str()).collect();
    let again: Vec<Case> = cases.into_iter().filter(|case| red.contains(case.id.as_str())).collect();
    if again.is_empty() {
        let what =
            format!("--failed: none of the {} cases of the last run in {} failed", last.cases.len(), out.display());
        return Err(Stop::new(Exit::NothingRan, what));
    }
    Ok(again)
}

fn completions(args: &CompletionsArgs) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "wi-conformance", &mut script);
    console::data(String::from_utf8_lossy(&script).trim_end());
    Exit::Conformant
}

/// A page in the manual for the program, or for one of its commands.
fn man(args: &ManArgs) -> Result<Exit, Stop> {
    let mut program = Cli::command();
    program.build();
    let described = match &args.command {
        None => Some(&program),
        Some(name) => program.find_subcommand(name),
    };
    let described = described.ok_or_else(|| {
        let name = args.command.as_deref().unwrap_or_default();
        Stop::new(Exit::Usage, format!("man {name}: unknown command; `wi-conformance --help` lists the commands"))
    })?;
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(described.clone()).render(&mut page);
    rendered.map_err(|error| Stop::from_error(Exit::Usage, &error))?;
    console::data(String::from_utf8_lossy(&page).trim_end());
    Ok(Exit::Conformant)
}

async fn plan(args: &SelectArgs, global: &Global) -> Result<Exit, Stop> {
    let (suite, cases) = select(&args.suite, Path::new(LAST_RUN))?;
    let place = targets::place(&args.target, &suite.images, Mutants::default(), &global.state_dir())?;
    let offer = place.offer();
    // Where a run would not begin, nothing would run.
    let fit = place.preflight().await;
    let (mut runs, mut blocked) = (0, 0);
    let shares =
        |case: &&Case| plan::foresee(case, &offer) == Decision::Runs && !(case.alone() && place.opens_in_no_time());
    let turns = named::turns(cases.iter().filter(shares));
    for case in &cases {
        let (word, what) = match plan::foresee(case, &offer) {
            Decision::Runs => {
                runs += 1;
                let alone = match (case.alone(), place.opens_in_no_time()) {
                    (true, true) => "  (in its own environment)",
                    (true, false) => "  (while no other case runs)",
                    (false, _) => "",
                };
                let turn = turns.get(case.id.as_str());
                let turn = turn.map(|(other, what)| format!("  (not at the same time as {other}: both name {what})"));
                (if fit.is_ok() { "runs" } else { "applicable" }, format!("{alone}{}", turn.unwrap_or_default()))
            }
            Decision::NotApplicable { missing } => {
                let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
                ("not applicable", format!("  the target lacks {}", missing.join(", ")))
            }
            Decision::Unsuited { why } => ("not applicable", format!("  {why}")),
            Decision::Blocked { why } => {
                blocked += 1;
                ("blocked", format!("  {why}"))
            }
        };
        console::say(format!("{word:>14}  {}{what}", case.id));
    }
    if let Err(stop) = fit {
        console::say(format!("0 of {} scenarios would run: the target does not meet the prerequisites", cases.len()));
        return Err(stop);
    }
    let more = if blocked > 0 { format!(", {blocked} would be blocked") } else { String::new() };
    console::say(format!("{runs} of {} scenarios would run{more}", cases.len()));
    let running = cases.iter().filter(|case| plan::foresee(case, &offer) == Decision::Runs).cloned();
    for there in place.there_already(&running.collect::<Vec<_>>()).await? {
        let then = if there.said {
            "it is changed for the case and restored"
        } else {
            "the case would be blocked, and the object left unchanged"
        };
        console::say(format!(" exists already  {}  {}: {then}", there.case, there.what));
    }
    let exit = if blocked > 0 {
        Exit::CaseFailed
    } else if runs == 0 {
        Exit::NothingRan
    } else {
        Exit::Conformant
    };
    Ok(unless_faulty(exit, &suite.faults))
}

fn list(args: &ListArgs) -> Result<Exit, Stop> {
    let (suite, cases) = select(&args.suite, Path::new(LAST_RUN))?;
    for case in &cases {
        let requirements: Vec<&str> = case.scenario.requirements.iter().map(|id| id.value.as_str()).collect();
        let named = if requirements.is_empty() { String::new() } else { format!("  [{}]", requirements.join(", ")) };
        console::say(format!("{}  {}{named}", case.id, case.scenario.title.value));
    }
    Ok(unless_faulty(Exit::Conformant, &suite.faults))
}

fn diff(args: &DiffArgs) -> Result<Exit, Stop> {
    let (a, b) = (reports::read(&args.a)?, reports::read(&args.b)?);
    let differences = wi_report::diff(&a, &b);
    differences.lines.iter().for_each(console::say);
    let mut same = differences.lines.is_empty();
    if args.evidence {
        let shapes = wi_report::shape_differences(&reports::shapes(&args.a, &a)?, &reports::shapes(&args.b, &b)?);
        shapes.iter().for_each(console::say);
        console::say(format!("{} differences in the evidence", shapes.len()));
        same &= shapes.is_empty();
    }
    console::say(&differences.summary);
    Ok(match (same, differences.compared) {
        (false, _) => Exit::CaseFailed,
        (true, 0) => Exit::NothingRan,
        (true, _) => Exit::Conformant,
    })
}

async fn sabotage(args: SabotageArgs, global: &Global) -> Result<Exit, Stop> {
    if args.list {
        mutants::all().iter().for_each(|(name, sentence)| console::say(format!("{name}  {sentence}")));
        return Ok(Exit::Conformant);
    }
    let (suite, cases) = select(&args.suite, Path::new(LAST_RUN))?;
    preflight().map_err(|error| Stop::from_error(Exit::TargetUnfit, &error))?;
    let _out = OutFolder::claim(&args.out)?;
    let cancel = CancellationToken::new();
    let signals = signal::watch(&cancel);
    let matrix = Matrix {
        cases,
        jobs: jobs(args.jobs, &Place::Embedded(Box::default())),
        environment: Options {
            images: stand_ins::programs(&stand_ins::all(&[], &suite.images))?,
            ..Options::default()
        },
        out: args.out.clone(),
        state_dir: global.state_dir(),
        cancel: cancel.clone(),
    };
    let pairs = matrix.perform(mutant_matrix::tell).await;
    signals.abort();
    Ok(unless_faulty(mutant_matrix::conclude(&pairs, cancel.is_cancelled())?, &suite.faults))
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
        Fixture::Quickstart
        | Fixture::Pause
        | Fixture::ForwardProxy
        | Fixture::AdmissionPolicy
        | Fixture::Proxy(_)
        | Fixture::ProxyInit => Ok(()),
    };
    signals.abort();
    served.map(|()| Exit::Conformant)
}
