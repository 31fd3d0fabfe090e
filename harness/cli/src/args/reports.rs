//! What reports and their readers are told on the command line.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Clone, Args)]
pub(crate) struct DiffArgs {
    /// Report folder of a run, or its `report.json`.
    #[arg(value_name = "RUN_A")]
    pub(crate) a: PathBuf,
    /// Report folder of another run, or its `report.json`.
    #[arg(value_name = "RUN_B")]
    pub(crate) b: PathBuf,
    /// Also compare the evidence: status codes, error codes, and the names of claims, headers and fields.
    #[arg(long)]
    pub(crate) evidence: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ReportArgs {
    /// Report folders; several are merged, and a case that ran several times has its last verdict.
    #[arg(value_name = "DIR", required = true)]
    pub(crate) folders: Vec<PathBuf>,
    /// Folder for the reports [default: the folder of the run, if there is only one]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) github: GithubArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ManArgs {
    /// The command to document [default: the program]
    pub(crate) command: Option<String>,
}

/// What GitHub Actions tells the steps of a job.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct GithubArgs {
    #[arg(long, hide = true, env = "GITHUB_ACTIONS")]
    pub(crate) github_actions: Option<String>,
    #[arg(long, hide = true, env = "GITHUB_STEP_SUMMARY")]
    pub(crate) github_step_summary: Option<PathBuf>,
    #[arg(long, hide = true, env = "GITHUB_WORKSPACE")]
    pub(crate) github_workspace: Option<PathBuf>,
}

/// What standard output is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Human-readable lines.
    Human,
    /// The events of the run as JSON lines, as in `events.jsonl`; human-readable lines go to standard error.
    Json,
}
