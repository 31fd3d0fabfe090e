//! What `coverage` takes.

use clap::Args;

use super::{Format, FromArgs, TargetArgs};

#[derive(Debug, Clone, Args)]
pub(crate) struct CoverageArgs {
    #[command(flatten)]
    pub(crate) from: FromArgs,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// End with code 1 when a requirement that the embedded rung can show has no scenario, and is essential, a must or a
    /// must not.
    #[arg(long, help_heading = "Output")]
    pub(crate) strict: bool,
    /// Lines for people, or one JSON document.
    #[arg(long, value_enum, default_value = "human", help_heading = "Output", hide_possible_values = true)]
    pub(crate) format: Format,
}
