//! What `coverage` takes.

use clap::Args;

use super::{Format, FromArgs, TargetArgs};

#[derive(Debug, Clone, Args)]
pub(crate) struct CoverageArgs {
    #[command(flatten)]
    pub(crate) from: FromArgs,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Exit with code 1 if a requirement of any level except `may`, which the embedded target can cover, has no scenario.
    #[arg(long, help_heading = "Output")]
    pub(crate) strict: bool,
    /// Human-readable lines, or one JSON document.
    #[arg(long, value_enum, default_value = "human", help_heading = "Output", hide_possible_values = true)]
    pub(crate) format: Format,
}
