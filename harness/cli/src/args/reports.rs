//! What reports and their readers are told on the command line.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Clone, Args)]
pub(crate) struct DiffArgs {
    /// Folder of a run's reports, or its `report.json`.
    #[arg(value_name = "RUN_A")]
    pub(crate) a: PathBuf,
    /// The same of another run.
    #[arg(value_name = "RUN_B")]
    pub(crate) b: PathBuf,
    /// Compare the shape of the evidence too: status codes, error codes, and the names of claims, headers and fields.
    #[arg(long)]
    pub(crate) evidence: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ReportArgs {
    /// Folders of reports; more than one are merged, and a case that ran more than once has its last verdict.
    #[arg(value_name = "DIR", required = true)]
    pub(crate) folders: Vec<PathBuf>,
    /// Folder for the reports; for one run the folder itself when left out.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) github: GithubArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell.
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ManArgs {
    /// The command that the page is about; the program when left out.
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
    /// Lines for people.
    Human,
    /// The events of the run as JSON lines, as in `events.jsonl`; lines for people go to standard error.
    Json,
}
