//! The commands, one function each.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tokio_util::sync::CancellationToken;
use wi_model::plan::{self, Case, Decision};

use crate::args::{
    Cli, Command, Fixture, Global, ListArgs, ProfileName, RunArgs, SabotageArgs, SelectArgs, SuiteArgs, Switch, UpArgs,
    WebhookName,
};
use crate::environment::{Environment, Options, Profile, Webhook};
use crate::exit::{Exit, Stop};
use crate::progress::Progress;
use crate::run::{self, OutFolder, Run};
use crate::sabotage::{self, Matrix};
use crate::scenarios::Suite;
use crate::{console, defects, environment, scenarios, signal, sweep};

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
        Command::Plan(args) => plan(&args),
        Command::List(args) => list(&args),
        Command::Sabotage(args) => sabotage(args, &global).await,
        Command::Schema => {
            console::say(serde_json::to_string_pretty(&wi_model::schema::scenario()).unwrap_or_default());
            Ok(Exit::Conformant)
        }
        Command::Sweep => sweep(&global).await,
        Command::Up(args) => up(args, &global).await,
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

/// The webhook under test, as an environment starts it.
fn webhook(name: &WebhookName, profile: Option<ProfileName>, rotation: Switch) -> Result<Webhook, Stop> {
    let profile = profile.map(|profile| match profile {
        ProfileName::V1_5 => Profile::V1_5,
        ProfileName::V1_6 => Profile::V1_6,
    });
    Ok(match name {
        WebhookName::Reference => Webhook::Reference { profile: profile.unwrap_or(Profile::V1_6) },
        WebhookName::None => Webhook::None,
        WebhookName::Exec(path) => {
            let fault = |why: String| Stop::new(Exit::Usage, format!("--webhook exec:{}: {why}", path.display()));
            let program = path.canonicalize().map_err(|error| fault(error.to_string()))?;
            if !is_program(&program) {
                return Err(fault("not a program that can be executed".to_owned()));
            }
            Webhook::Exec { program, profile, cert_rotation: rotation == Switch::On }
        }
    })
}

fn is_program(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn jobs(named: Option<u16>) -> usize {
    let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    named.map_or(processors * 4, usize::from)
}

async fn run(args: RunArgs, global: &Global) -> Result<Exit, Stop> {
    let (suite, mut cases) = select(&args.select.suite)?;
    let target = &args.select.target;
    let webhook = webhook(&target.webhook, target.profile, target.cert_rotation)?;
    let mut environment = Options { webhook, ..Options::default() };
    if let Some(defect) = &args.saboteur {
        if !defects::all().iter().any(|(name, _)| name == defect) {
            return Err(Stop::new(
                Exit::Usage,
                format!("--saboteur {defect}: no such defect; `wi-conformance sabotage --list` names them"),
            ));
        }
        environment.defects = defects::Defects::one(defect);
        for case in &mut cases {
            case.sabotage = Some(defect.clone());
            wi_model::sabotage::apply(&mut case.scenario, defect);
        }
    }
    let cancel = CancellationToken::new();
    let signals = signal::watch(&cancel);
    let progress = Progress::new(global.plain || global.ci.is_some(), cases.len());
    let run = Run {
        cases,
        deviations: suite.deviations,
        environment,
        out: args.out.clone(),
        state_dir: global.state_dir(),
        jobs: jobs(args.jobs),
        cancel,
    };
    let outcome = run.perform(&progress).await;
    signals.abort();
    let record = outcome?;
    console::say(wi_report::text(&record));
    console::say(format!("reports: {0}/junit.xml, {0}/report.json, evidence in {0}/cases/", args.out.display()));
    Ok(run::exit(&record))
}

fn plan(args: &SelectArgs) -> Result<Exit, Stop> {
    let (_, cases) = select(&args.suite)?;
    let webhook = webhook(&args.target.webhook, args.target.profile, args.target.cert_rotation)?;
    let capabilities = environment::capabilities(&webhook);
    let mut runs = 0;
    for case in &cases {
        match plan::decide(case, &capabilities) {
            Decision::Runs => {
                runs += 1;
                let alone = if case.alone() { "  (in an environment of its own)" } else { "" };
                console::say(format!("          runs  {}{alone}", case.id));
            }
            Decision::NotApplicable { missing } => {
                let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
                console::say(format!("not applicable  {}  the target lacks {}", case.id, missing.join(", ")));
            }
        }
    }
    console::say(format!("{runs} of {} scenarios would run", cases.len()));
    match environment::preflight() {
        Ok(()) => Ok(if runs == 0 { Exit::NothingRan } else { Exit::Conformant }),
        Err(error) => Err(Stop::from_error(Exit::TargetUnfit, &error)),
    }
}

fn list(args: &ListArgs) -> Result<Exit, Stop> {
    let (_, cases) = select(&args.suite)?;
    for case in &cases {
        let requirements: Vec<&str> = case.scenario.requirements.iter().map(|id| id.value.as_str()).collect();
        console::say(format!("{}  {}  [{}]", case.id, case.scenario.title.value, requirements.join(", ")));
    }
    Ok(Exit::Conformant)
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
        environment: Options::default(),
        out: args.out.clone(),
        state_dir: global.state_dir(),
        jobs: jobs(args.jobs),
        cancel: cancel.clone(),
    };
    let pairs = matrix.perform(sabotage::tell).await;
    signals.abort();
    sabotage::conclude(&pairs, cancel.is_cancelled())
}

async fn sweep(global: &Global) -> Result<Exit, Stop> {
    let swept = sweep::sweep(&global.state_dir()).await;
    swept.removed.iter().for_each(|line| console::say(format!("removed {line}")));
    swept.left.iter().for_each(|line| console::tell(format!("left behind: {line}")));
    if swept.removed.is_empty() && swept.left.is_empty() {
        console::say("nothing was left behind");
    }
    Ok(if swept.left.is_empty() { Exit::Conformant } else { Exit::LeftBehind })
}

async fn up(args: UpArgs, global: &Global) -> Result<Exit, Stop> {
    let webhook = webhook(&args.webhook, args.profile, args.cert_rotation)?;
    let cancel = CancellationToken::new();
    let signals = signal::watch(&cancel);
    let options = Options { webhook, state_dir: Some(global.state_dir()), ..Options::default() };
    let environment = Environment::start(options).await.map_err(|error| Stop::from_error(Exit::TargetUnfit, &error))?;
    if let Err(error) = write_private(&args.kubeconfig, &environment.kubeconfig()) {
        let _ = environment.stop().await;
        return Err(Stop::new(Exit::Usage, format!("{}: cannot be written: {error}", args.kubeconfig.display())));
    }
    let azure = environment.azure();
    console::say(format!("cluster   kubectl --kubeconfig {} get pods -A", args.kubeconfig.display()));
    console::say(format!("issuer    {}", environment.issuer()));
    console::say(format!(
        "azure     https://{} for every Azure name; tenant {}, operator {}",
        azure.address(),
        azure.tenant_id(),
        azure.operator().client_id
    ));
    console::say(format!("journal   {}/journal", azure.control_url()));
    console::say("up; Ctrl-C ends it");
    cancel.cancelled().await;
    signals.abort();
    let _ = std::fs::remove_file(&args.kubeconfig);
    environment.stop().await.map_err(|left| Stop::new(Exit::LeftBehind, left))?;
    Ok(Exit::Interrupted)
}

/// A kubeconfig is a credential: only its owner may read it.
fn write_private(path: &PathBuf, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
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
