//! The command line, and the one door by which the environment enters.

mod coverage;
mod images;
mod reports;
mod suite;

use std::path::PathBuf;

pub(crate) use coverage::CoverageArgs;
pub(crate) use images::ImagesArgs;
pub(crate) use reports::{CompletionsArgs, DiffArgs, Format, GithubArgs, ManArgs, ReportArgs};
pub(crate) use suite::{FromArgs, InitArgs, SuiteArgs};

use wi_conformance::shard::Part;
use wi_conformance::stand_ins::StandIn;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// An end-to-end conformance test harness for Azure Workload Identity on Kubernetes.
///
/// Exit codes: 0 conformant, 1 a case failed, was blocked or passed unexpectedly, 2 usage or invalid scenario, 3 nothing ran,
/// 4 target unfit, 5 something was left behind, 130 interrupted.
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
    /// Write a scenario for manifests of your own, and what goes with it.
    Init(InitArgs),
    /// List the scenarios.
    List(ListArgs),
    /// Show which scenarios show which requirement, and which requirements none shows; touch nothing.
    Coverage(CoverageArgs),
    /// Prove that scenarios can fail: run each under each of its saboteurs, which must turn it red.
    Sabotage(SabotageArgs),
    /// Compare two runs: print each case whose outcome, or reason for it, is not the same.
    Diff(DiffArgs),
    /// Make the reports of a run again from its log, or those of several runs as one.
    Report(ReportArgs),
    /// Print the JSON Schema of a scenario or target file, for editors.
    Schema(SchemaArgs),
    /// Remove what killed runs left behind.
    Sweep(SweepArgs),
    /// Start a cluster with webhook and emulated Azure, and keep it up.
    Up(UpArgs),
    /// Remove a cluster that `up` made.
    Down(DownArgs),
    /// Write the images that scenarios use as one archive, for the registry that a real cluster pulls from.
    Images(ImagesArgs),
    /// Run one of the parts by itself.
    Fixture(FixtureArgs),
    /// Print a script that completes commands and options in a shell.
    Completions(CompletionsArgs),
    /// Print a page of the manual.
    Man(ManArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TargetArgs {
    /// Where to run: `embedded`, `kind`, or a file: a kubeconfig, or a target file, which names a cluster and may name an
    /// Azure; `aks` is the one at `wi-conformance.d/aks.yaml`.
    #[arg(
        long,
        value_name = "TARGET",
        default_value = "embedded",
        env = "WI_CONFORMANCE_TARGET",
        help_heading = "Where"
    )]
    pub(crate) target: TargetName,
    /// The webhook under test: `reference`; `exec:PATH` for any program that takes the upstream one's flags (embedded);
    /// `release:DIR` for a release's own manifests, applied as they are (embedded: see `--image`);
    /// `manifests:DIR` for the same (real clusters), `preinstalled` for what is there (real clusters); `none`.
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
    /// The program that an image of your manifests stands for: an image of ours such as `quickstart/rust`, or the path of a
    /// program; may be repeated.
    #[arg(long = "image", value_name = "NAME=PROGRAM", help_heading = "Where")]
    pub(crate) images: Vec<StandIn>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// What only real clusters take.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Real clusters")]
pub(crate) struct ClusterArgs {
    /// Name of the kind cluster; made up for a run, `wi-conformance` for one that stays.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The node image of a new kind cluster.
    #[arg(long, value_name = "IMAGE", env = "WI_CONFORMANCE_NODE_IMAGE")]
    pub(crate) node_image: Option<String>,
    /// kind's configuration for a new cluster; `kind-config/cluster.yaml` where it is there.
    #[arg(long, value_name = "FILE")]
    pub(crate) kind_config: Option<PathBuf>,
    /// A Linux build of this program for images, statically linked; needed where this one is none, as on macOS.
    #[arg(long, value_name = "FILE", env = "WI_CONFORMANCE_IMAGE_PROGRAM")]
    pub(crate) image_program: Option<PathBuf>,
    /// Bring an archive of images to the nodes, such as the one of the webhook under test; may be repeated.
    #[arg(long, value_name = "ARCHIVE")]
    pub(crate) load: Vec<PathBuf>,
    /// The context of a kubeconfig; its current one when left out.
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// How many pods of the reference webhook, two as in the upstream release; one for nodes whose kube-proxy cannot share
    /// connections out.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub(crate) webhook_replicas: u32,
    /// Keep the kind cluster when the run has ended; `down` removes it.
    #[arg(long, conflicts_with = "reuse")]
    pub(crate) keep: bool,
    /// Use a kind cluster that is there, and its webhook and emulator if `up` made it.
    #[arg(long)]
    pub(crate) reuse: bool,
    /// Use a cluster that looks like production.
    #[arg(long)]
    pub(crate) yes: bool,
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
    /// Run one part of the cases, such as `2/3`; every machine makes the same split, and `report` merges the parts.
    #[arg(long, value_name = "I/N", env = "WI_CONFORMANCE_SHARD", help_heading = "Selection")]
    pub(crate) shard: Option<Part>,
    /// Folder of reports, or `report.json`, of a past run: parts are balanced by how long its cases took. Every machine
    /// must be given the same.
    #[arg(long, value_name = "PATH", requires = "shard", help_heading = "Selection")]
    pub(crate) durations: Option<PathBuf>,
    /// Run only what failed, passed unexpectedly or was blocked in the last run that wrote to the folder of reports.
    #[arg(long, help_heading = "Selection")]
    pub(crate) failed: bool,
    /// What to write to standard output.
    #[arg(long, value_enum, default_value = "human", help_heading = "Output")]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) github: GithubArgs,
    /// Print the target as a target file before the run; no secret is in it.
    #[arg(long, help_heading = "Output")]
    pub(crate) print_target: bool,
    /// Run the selection so often; the first run that is not conformant is the last, and its reports stay.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000), help_heading = "Selection")]
    pub(crate) repeat: u32,
    /// Begin no further case once one has failed.
    #[arg(long, help_heading = "Selection")]
    pub(crate) fail_fast: bool,
    /// Tell each scenario otherwise: other names, counts and orders of containers, another version of the API server, and
    /// settings of the webhook that decide nothing. What it is follows from the number, which the report shows.
    #[arg(long, value_name = "SEED", help_heading = "Selection")]
    pub(crate) vary: Option<u64>,
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
    /// What to start: `embedded`, which lasts as long as this command, or `kind`, which lasts until `down`.
    pub(crate) target: TargetName,
    /// Where to write the kubeconfig; needed for `embedded`, and for `kind` in the state folder too.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Write a target file too, so that `run --target FILE` uses what is started here; of `embedded` only.
    #[arg(long, value_name = "FILE")]
    pub(crate) write_target: Option<PathBuf>,
    /// The webhook to install; `none` for a cluster without one.
    #[arg(long, value_name = "WEBHOOK", default_value = "reference")]
    pub(crate) webhook: WebhookName,
    /// The webhook's profile.
    #[arg(long, value_enum)]
    pub(crate) profile: Option<ProfileName>,
    /// Whether an `exec:` webhook makes and rotates its own certificate, or is given one.
    #[arg(long, value_enum, default_value = "off", value_name = "ON|OFF")]
    pub(crate) cert_rotation: Switch,
    /// The program that an image stands for, as for `run`; of `embedded` only. May be repeated.
    #[arg(long = "image", value_name = "NAME=PROGRAM")]
    pub(crate) images: Vec<StandIn>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SchemaArgs {
    /// Of which file.
    #[arg(value_enum, default_value = "scenario")]
    pub(crate) of: SchemaOf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    Scenario,
    Target,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SweepArgs {
    /// Look through this target for what runs left there, from any machine; without it, what ledgers on this machine
    /// say is removed.
    #[arg(long, value_name = "TARGET")]
    pub(crate) target: Option<TargetName>,
    /// Only what is at least so old, such as `6h` or `30m`: a run that is under way has things there too.
    #[arg(long, value_name = "AGE", default_value = "6h", value_parser = age, requires = "target")]
    pub(crate) older_than: std::time::Duration,
    /// Remove what was found. Without it, it is only listed.
    #[arg(long, requires = "target")]
    pub(crate) delete: bool,
    /// The context of a kubeconfig; its current one when left out.
    #[arg(long, value_name = "NAME", requires = "target")]
    pub(crate) context: Option<String>,
}

/// An age such as `90s`, `30m`, `6h` or `2d`.
fn age(text: &str) -> Result<std::time::Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let each = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("expected a number and s, m, h or d, such as `6h`".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "expected a number and s, m, h or d, such as `6h`".to_owned())?;
    number.checked_mul(each).map(std::time::Duration::from_secs).ok_or_else(|| "too long ago".to_owned())
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DownArgs {
    /// What to remove: `kind`.
    pub(crate) target: TargetName,
    /// Name of the kind cluster.
    #[arg(long, value_name = "NAME", default_value = STANDING)]
    pub(crate) name: String,
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
    /// An admission webhook whose rule is data, in the folder that ADMISSION_POLICY_FOLDER names.
    AdmissionPolicy,
    /// The proxy sidecar, with the upstream one's flags and environment.
    Proxy(Box<wi_reference_proxy::Args>),
    /// What stands for the proxy's init container: it redirects nothing and ends at once, as pods ask the proxy's port.
    ProxyInit,
}

/// What the environment offers, by name: a target file may name a variable as the place of a secret.
pub(crate) fn variables() -> std::collections::BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Name of a cluster that stays, where none is given.
pub(crate) const STANDING: &str = "wi-conformance";

/// Where to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TargetName {
    /// A Kubernetes API, a node for processes and an emulated Azure, all in this program. Needs Linux.
    Embedded,
    /// A cluster made by kind, with an emulated Azure beside it. Needs Docker.
    Kind,
    /// The cluster and the Azure that `wi-conformance.d/aks.yaml` names.
    Aks,
    /// A cluster that a file names, with an emulated Azure beside it; or a cluster and an Azure that it names.
    File(PathBuf),
}

impl std::str::FromStr for TargetName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "embedded" => Ok(TargetName::Embedded),
            "kind" => Ok(TargetName::Kind),
            "aks" => Ok(TargetName::Aks),
            file if std::path::Path::new(file).is_file() => Ok(TargetName::File(file.into())),
            _ => Err("expected `embedded`, `kind`, `aks`, or a file that is there".to_owned()),
        }
    }
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
    Manifests(PathBuf),
    Release(PathBuf),
    Preinstalled,
    None,
}

impl std::str::FromStr for WebhookName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "reference" => Ok(WebhookName::Reference),
            "none" => Ok(WebhookName::None),
            "preinstalled" => Ok(WebhookName::Preinstalled),
            _ => match text.split_once(':') {
                Some(("exec", path)) if !path.is_empty() => Ok(WebhookName::Exec(path.into())),
                Some(("release", folder)) if !folder.is_empty() => Ok(WebhookName::Release(folder.into())),
                Some(("manifests", folder)) if !folder.is_empty() => Ok(WebhookName::Manifests(folder.into())),
                _ => Err("expected `reference`, `exec:PATH`, `release:DIR`, `manifests:DIR`, `preinstalled` or `none`"
                    .to_owned()),
            },
        }
    }
}
