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
/// Exit codes: 0 conformant, 1 a case failed, was blocked or passed unexpectedly, 2 invalid usage or scenario, 3 nothing ran,
/// 4 target does not meet the prerequisites, 5 cleanup incomplete, 130 interrupted.
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
    /// Folder for ledgers and temporary files of runs.
    #[arg(long, global = true, value_name = "DIR", env = "WI_CONFORMANCE_STATE_DIR", help_heading = "Where")]
    pub(crate) state_dir: Option<PathBuf>,
    /// What to log to standard error, such as `debug` or `wi_engine=trace`.
    #[arg(long, global = true, value_name = "FILTER", env = "WI_CONFORMANCE_LOG", help_heading = "Output")]
    pub(crate) log: Option<String>,
    /// Print plain lines instead of a progress display; the default in CI and if standard error is not a terminal.
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
    /// Run scenarios and report the results.
    Run(RunArgs),
    /// Show what would run, and what cannot and why (read-only).
    Plan(SelectArgs),
    /// Write a scenario for your manifests, with `suite.yaml`, an editor schema and a workflow.
    Init(InitArgs),
    /// List the scenarios.
    List(ListArgs),
    /// Show requirement coverage (read-only).
    Coverage(CoverageArgs),
    /// Verify that scenarios can fail: run each scenario under each of its mutants.
    #[command(name = "mutants", alias = "sabotage")]
    Sabotage(SabotageArgs),
    /// Compare two runs: list cases whose outcome or failure reason differs.
    Diff(DiffArgs),
    /// Regenerate reports from an event log, or merge several runs.
    Report(ReportArgs),
    /// Print the JSON Schema of a scenario or target file, for editors.
    Schema(SchemaArgs),
    /// Remove what killed runs left behind.
    Sweep(SweepArgs),
    /// Start a cluster with webhook and emulated Azure, and keep it running.
    Up(UpArgs),
    /// Remove a cluster created by `up`.
    Down(DownArgs),
    /// Write the images that scenarios use to one archive, for the registry that a real cluster pulls from.
    Images(ImagesArgs),
    /// Run a single component (emulator, webhook, proxy, ...).
    Fixture(FixtureArgs),
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
    /// Print a manual page.
    Man(ManArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TargetArgs {
    /// Where to run: `embedded`, `kind`, a kubeconfig, or a target file, which names a cluster and optionally an Azure;
    /// `aks` is the target file `wi-conformance.d/aks.yaml`.
    #[arg(
        long,
        value_name = "TARGET",
        default_value = "embedded",
        env = "WI_CONFORMANCE_TARGET",
        help_heading = "Where"
    )]
    pub(crate) target: TargetName,
    /// The webhook under test: `reference`; `exec:PATH` for a program with the upstream flags (embedded); `release:DIR` for
    /// the unchanged manifests of a release (embedded: see `--image`); `manifests:DIR` for the same (real clusters);
    /// `preinstalled` for the installed webhook (real clusters); `none`.
    #[arg(
        long,
        value_name = "WEBHOOK",
        default_value = "reference",
        env = "WI_CONFORMANCE_WEBHOOK",
        help_heading = "Where"
    )]
    pub(crate) webhook: WebhookName,
    /// The webhook's profile, because names and paths changed in 1.6 [default: detected from the webhook's behaviour for
    /// `exec:`]
    #[arg(long, value_enum, help_heading = "Where")]
    pub(crate) profile: Option<ProfileName>,
    /// Whether an `exec:` webhook generates and rotates its own certificate; otherwise the harness provides one.
    #[arg(long, value_enum, default_value = "off", value_name = "ON|OFF", help_heading = "Where")]
    pub(crate) cert_rotation: Switch,
    /// The program to run for an image of your manifests: a built-in image such as `quickstart/rust`, or the path of a
    /// program (repeatable).
    #[arg(long = "image", value_name = "NAME=PROGRAM", help_heading = "Where")]
    pub(crate) images: Vec<StandIn>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// Options for real clusters only.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Real clusters")]
pub(crate) struct ClusterArgs {
    /// Name of the kind cluster [default: generated for a run, `wi-conformance` for `up`, `down` and `--reuse`]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The node image of a new kind cluster.
    #[arg(long, value_name = "IMAGE", env = "WI_CONFORMANCE_NODE_IMAGE")]
    pub(crate) node_image: Option<String>,
    /// kind configuration for a new cluster [default: `kind-config/cluster.yaml` if it exists]
    #[arg(long, value_name = "FILE")]
    pub(crate) kind_config: Option<PathBuf>,
    /// A statically linked Linux build of this program, for images; required on non-Linux hosts.
    #[arg(long, value_name = "FILE", env = "WI_CONFORMANCE_IMAGE_PROGRAM")]
    pub(crate) image_program: Option<PathBuf>,
    /// Load an image archive into the nodes, such as the image of the webhook under test (repeatable).
    #[arg(long, value_name = "ARCHIVE")]
    pub(crate) load: Vec<PathBuf>,
    /// The context of the kubeconfig [default: its current context]
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Number of reference webhook pods; use 1 if the nodes' kube-proxy cannot balance connections.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub(crate) webhook_replicas: u32,
    /// Keep the kind cluster after the run; `down` removes it.
    #[arg(long, conflicts_with = "reuse")]
    pub(crate) keep: bool,
    /// Reuse an existing kind cluster, with its webhook and emulator if created by `up`.
    #[arg(long)]
    pub(crate) reuse: bool,
    /// Allow a cluster that looks like production.
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
    /// Number of concurrent cases [default: derived from the number of processors]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Where")]
    pub(crate) jobs: Option<u16>,
    /// Run one shard of the cases, such as `2/3`; every machine computes the same split, and `report` merges the shards.
    #[arg(long, value_name = "I/N", env = "WI_CONFORMANCE_SHARD", help_heading = "Selection")]
    pub(crate) shard: Option<Part>,
    /// Report folder, or `report.json`, of a past run: shards are balanced by the durations of its cases. Pass the same
    /// file to every shard.
    #[arg(long, value_name = "PATH", requires = "shard", help_heading = "Selection")]
    pub(crate) durations: Option<PathBuf>,
    /// Rerun only cases that failed, passed unexpectedly or were blocked in the last run in the report folder.
    #[arg(long, help_heading = "Selection")]
    pub(crate) failed: bool,
    /// Format of standard output.
    #[arg(long, value_enum, default_value = "human", help_heading = "Output")]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) github: GithubArgs,
    /// Print the target as a target file before the run, without secrets.
    #[arg(long, help_heading = "Output")]
    pub(crate) print_target: bool,
    /// Number of runs; stops after the first run that is not conformant and keeps its reports.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000), help_heading = "Selection")]
    pub(crate) repeat: u32,
    /// Start no further case after a failure.
    #[arg(long, help_heading = "Selection")]
    pub(crate) fail_fast: bool,
    /// Wait after a failed case, before its resources are removed: print how to reach its cluster and its Azure, and continue
    /// on Enter.
    #[arg(long, help_heading = "Output")]
    pub(crate) pause_on_failure: bool,
    /// Rerun the cases that a changed file belongs to, until Ctrl-C; embedded target only.
    #[arg(long, conflicts_with_all = ["repeat", "shard", "failed"], help_heading = "Selection")]
    pub(crate) watch: bool,
    /// Vary each scenario: other names, counts and orders of containers, another API server version, and webhook settings
    /// that must not matter. The seed determines the variation and is in the report.
    #[arg(long, value_name = "SEED", help_heading = "Selection")]
    pub(crate) vary: Option<u64>,
    /// Run under a mutant, to see what its failure looks like; `mutants --list` lists them.
    #[arg(long = "mutant", alias = "saboteur", value_name = "MUTANT", help_heading = "Selection")]
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
    /// Folder for evidence.
    #[arg(long, value_name = "DIR", default_value = "reports/mutants", help_heading = "Output")]
    pub(crate) out: PathBuf,
    /// List all mutants instead of running scenarios.
    #[arg(long, help_heading = "Selection")]
    pub(crate) list: bool,
    /// Number of concurrent pairs [default: derived from the number of processors]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Where")]
    pub(crate) jobs: Option<u16>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct UpArgs {
    /// What to start: `embedded`, which runs until this command ends, or `kind`, which runs until `down`.
    pub(crate) target: TargetName,
    /// Where to write the kubeconfig; required for `embedded`. For `kind` it is also in the state folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Also write a target file, for `run --target FILE` (`embedded` only).
    #[arg(long, value_name = "FILE")]
    pub(crate) write_target: Option<PathBuf>,
    /// Write a shell file to source, which configures az, Terraform and the SDKs for the emulated Azure (`embedded` only)
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
    /// The webhook to install; `none` for a cluster without one.
    #[arg(long, value_name = "WEBHOOK", default_value = "reference")]
    pub(crate) webhook: WebhookName,
    /// The webhook's profile.
    #[arg(long, value_enum)]
    pub(crate) profile: Option<ProfileName>,
    /// Whether an `exec:` webhook generates and rotates its own certificate; otherwise the harness provides one.
    #[arg(long, value_enum, default_value = "off", value_name = "ON|OFF")]
    pub(crate) cert_rotation: Switch,
    /// The program to run for an image, as for `run` (`embedded` only, repeatable).
    #[arg(long = "image", value_name = "NAME=PROGRAM")]
    pub(crate) images: Vec<StandIn>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SchemaArgs {
    /// Which schema to print.
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
    /// Search this target for leftovers of runs, from any machine; without it, remove what the ledgers on this machine
    /// list.
    #[arg(long, value_name = "TARGET")]
    pub(crate) target: Option<TargetName>,
    /// Only resources older than this, such as `6h` or `30m`, because a run in progress has resources there too.
    #[arg(long, value_name = "AGE", default_value = "6h", value_parser = age, requires = "target")]
    pub(crate) older_than: std::time::Duration,
    /// Remove the leftovers; without it they are only listed.
    #[arg(long, requires = "target")]
    pub(crate) delete: bool,
    /// The context of the kubeconfig [default: its current context]
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
    /// The Azure emulator: Entra ID, Key Vault, ARM and Graph.
    Azure(Box<wi_azure_emulator::Args>),
    /// The reference webhook, with the upstream flags.
    Webhook(Box<wi_reference_webhook::Args>),
    /// The program of the quick-start pod.
    Quickstart,
    /// A program that waits until it is terminated.
    Pause,
    /// A forward proxy that tunnels CONNECT requests to the hosts in FORWARD_PROXY_HOSTS.
    ForwardProxy,
    /// An admission webhook with configurable rules, read from the folder in ADMISSION_POLICY_FOLDER.
    AdmissionPolicy,
    /// The reference proxy sidecar, with the upstream flags and environment.
    Proxy(Box<wi_reference_proxy::Args>),
    /// Stand-in for the proxy init container; exits immediately.
    ProxyInit,
}

/// The environment variables, by name: a target file may name a variable that contains a secret.
pub(crate) fn variables() -> std::collections::BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Default name of a cluster that is kept.
pub(crate) const STANDING: &str = "wi-conformance";

/// Where to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TargetName {
    /// A Kubernetes API, a node for processes and an emulated Azure, all in this program. Needs Linux.
    Embedded,
    /// A cluster created by kind, with an emulated Azure next to it. Needs Docker.
    Kind,
    /// The cluster and the Azure in `wi-conformance.d/aks.yaml`.
    Aks,
    /// The cluster of a kubeconfig, with an emulated Azure next to it; or the cluster and the Azure of a target file.
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
            _ => Err("expected `embedded`, `kind`, `aks`, or an existing regular file".to_owned()),
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
