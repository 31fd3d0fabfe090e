//! The command line, and the one door by which the environment enters.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// An end-to-end conformance test harness for Azure Workload Identity on Kubernetes.
///
/// Exit codes: 0 conformant, 1 a case failed, 2 usage or invalid scenario, 3 nothing ran, 4 target unfit,
/// 5 something was left behind, 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "wi-conformance", version, propagate_version = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: Global,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Folder for ledgers and for what runs need on disk while they last.
    #[arg(long, global = true, value_name = "DIR", env = "WI_CONFORMANCE_STATE_DIR", help_heading = "Where")]
    pub(crate) state_dir: Option<PathBuf>,
    /// What to log to standard error, such as `debug` or `wi_engine=trace`.
    #[arg(long, global = true, value_name = "FILTER", env = "WI_CONFORMANCE_LOG", help_heading = "Output")]
    pub(crate) log: Option<String>,
    /// Plain lines instead of a moving display; the default where standard error is no terminal, or under CI.
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) plain: bool,
    #[arg(long, global = true, hide = true, env = "XDG_STATE_HOME")]
    xdg_state_home: Option<PathBuf>,
    #[arg(long, global = true, hide = true, env = "CI")]
    pub(crate) ci: Option<String>,
}

impl Global {
    /// The state folder: named, else `$XDG_STATE_HOME/wi-conformance`, else `~/.local/state/wi-conformance`.
    pub(crate) fn state_dir(&self) -> PathBuf {
        if let Some(named) = &self.state_dir {
            return named.clone();
        }
        let absolute = self.xdg_state_home.clone().filter(|path| path.is_absolute());
        let base = absolute.or_else(|| std::env::home_dir().map(|home| home.join(".local/state")));
        base.unwrap_or_else(std::env::temp_dir).join("wi-conformance")
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run scenarios and judge what happens.
    Run(RunArgs),
    /// Show what would run, and what cannot and why; touch nothing.
    Plan(SelectArgs),
    /// List the scenarios.
    List(ListArgs),
    /// Prove that scenarios can fail: run each under each of its saboteurs, which must turn it red.
    Sabotage(SabotageArgs),
    /// Print the JSON Schema of a scenario file, for editors.
    Schema,
    /// Remove what killed runs left behind.
    Sweep,
    /// Start an environment and keep it up.
    Up(UpArgs),
    /// Run one of the parts by itself.
    Fixture(FixtureArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SuiteArgs {
    /// Folder of scenarios.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "scenarios",
        env = "WI_CONFORMANCE_SCENARIOS",
        help_heading = "Selection"
    )]
    pub(crate) scenarios: PathBuf,
    /// Run only scenarios whose id holds one of these.
    #[arg(value_name = "FILTER")]
    pub(crate) filters: Vec<String>,
    /// Filters are whole ids.
    #[arg(long, help_heading = "Selection")]
    pub(crate) exact: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TargetArgs {
    /// Where to run.
    #[arg(
        long,
        value_name = "TARGET",
        default_value = "embedded",
        env = "WI_CONFORMANCE_TARGET",
        help_heading = "Where"
    )]
    pub(crate) target: TargetName,
    /// The webhook under test: `reference`, or `exec:PATH` for any program that takes the upstream one's flags.
    #[arg(
        long,
        value_name = "WEBHOOK",
        default_value = "reference",
        env = "WI_CONFORMANCE_WEBHOOK",
        help_heading = "Where"
    )]
    pub(crate) webhook: WebhookName,
    /// The webhook's profile: its names and paths changed with 1.6. Recognised from what a webhook does when left out
    /// for `exec:`.
    #[arg(long, value_enum, help_heading = "Where")]
    pub(crate) profile: Option<ProfileName>,
    /// Whether an `exec:` webhook makes and rotates its own certificate, or is given one.
    #[arg(long, value_enum, default_value = "off", value_name = "ON|OFF", help_heading = "Where")]
    pub(crate) cert_rotation: Switch,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SelectArgs {
    #[command(flatten)]
    pub(crate) suite: SuiteArgs,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) select: SelectArgs,
    /// Folder for reports and evidence.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "reports/latest",
        env = "WI_CONFORMANCE_OUT",
        help_heading = "Output"
    )]
    pub(crate) out: PathBuf,
    /// How many cases run at once; by the number of processors when left out.
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Where")]
    pub(crate) jobs: Option<u16>,
    /// Run under a defect, to see what a failure looks like; `sabotage --list` names them.
    #[arg(long, value_name = "DEFECT", help_heading = "Selection")]
    pub(crate) saboteur: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) suite: SuiteArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SabotageArgs {
    #[command(flatten)]
    pub(crate) suite: SuiteArgs,
    /// Folder for evidence of survivors.
    #[arg(long, value_name = "DIR", default_value = "reports/sabotage", help_heading = "Output")]
    pub(crate) out: PathBuf,
    /// List the defects instead of running anything.
    #[arg(long, help_heading = "Selection")]
    pub(crate) list: bool,
    /// How many pairs run at once; by the number of processors when left out.
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Where")]
    pub(crate) jobs: Option<u16>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct UpArgs {
    /// What to start.
    pub(crate) target: TargetName,
    /// Where to write the kubeconfig.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: PathBuf,
    /// The webhook to install; `none` for a cluster without one.
    #[arg(long, value_name = "WEBHOOK", default_value = "reference")]
    pub(crate) webhook: WebhookName,
    /// The webhook's profile.
    #[arg(long, value_enum)]
    pub(crate) profile: Option<ProfileName>,
    /// Whether an `exec:` webhook makes and rotates its own certificate, or is given one.
    #[arg(long, value_enum, default_value = "off", value_name = "ON|OFF")]
    pub(crate) cert_rotation: Switch,
}

#[derive(Debug, Args)]
pub(crate) struct FixtureArgs {
    #[command(subcommand)]
    pub(crate) fixture: Fixture,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Fixture {
    /// Entra, Key Vault, ARM and Graph, standing alone.
    Azure(Box<wi_azure_emulator::Args>),
    /// The reference webhook, with the upstream one's flags.
    Webhook(Box<wi_reference_webhook::Args>),
    /// The quick-start pod's program.
    Quickstart,
    /// A program that waits to be ended.
    Pause,
}

/// Where to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TargetName {
    /// A Kubernetes API, a node for processes and an emulated Azure, all in this program. Needs Linux.
    Embedded,
}

/// A webhook's names and paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileName {
    /// Up to 1.5.1.
    #[value(name = "1.5")]
    V1_5,
    /// From 1.6.0.
    #[value(name = "1.6")]
    V1_6,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

/// The webhook under test, as named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WebhookName {
    Reference,
    Exec(PathBuf),
    None,
}

impl std::str::FromStr for WebhookName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "reference" => Ok(WebhookName::Reference),
            "none" => Ok(WebhookName::None),
            _ => match text.strip_prefix("exec:") {
                Some(path) if !path.is_empty() => Ok(WebhookName::Exec(path.into())),
                _ => Err("expected `reference` or `exec:PATH`".to_owned()),
            },
        }
    }
}
