//! Which scenarios.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::scenarios::Source;

/// The folder that is used when none is named, where it is there.
const USUAL: &str = "scenarios";

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Selection")]
pub(crate) struct FromArgs {
    /// Folder of scenarios. When left out: the folder `scenarios` where it is there, else the suite that is in this program.
    #[arg(long, value_name = "DIR", env = "WI_CONFORMANCE_SCENARIOS")]
    pub(crate) scenarios: Option<PathBuf>,
    /// Add the suite that is in this program to the folder of --scenarios.
    #[arg(long, requires = "scenarios")]
    pub(crate) with_catalogue: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SuiteArgs {
    #[command(flatten)]
    pub(crate) from: FromArgs,
    /// Run only scenarios whose id holds one of these.
    #[arg(value_name = "FILTER")]
    pub(crate) filters: Vec<String>,
    /// Filters are whole ids.
    #[arg(long, help_heading = "Selection")]
    pub(crate) exact: bool,
    /// Demand of every scenario that it names requirements of a catalogue, and mutants that turn it red.
    #[arg(long, help_heading = "Selection")]
    pub(crate) strict: bool,
}

impl FromArgs {
    /// Where the scenarios are.
    pub(crate) fn sources(&self) -> Vec<Source> {
        let mut sources = match &self.scenarios {
            Some(folder) => vec![Source::Folder(folder.clone())],
            None if Path::new(USUAL).is_dir() => vec![Source::Folder(USUAL.into())],
            None => vec![Source::BuiltIn],
        };
        if self.with_catalogue {
            sources.push(Source::BuiltIn);
        }
        sources
    }

    /// The same in words.
    pub(crate) fn shown(&self) -> String {
        let word = |source: &Source| match source {
            Source::Folder(folder) => folder.display().to_string(),
            Source::BuiltIn => "the suite in this program".to_owned(),
        };
        self.sources().iter().map(word).collect::<Vec<_>>().join(" and ")
    }
}
