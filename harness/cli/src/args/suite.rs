//! Which scenarios.

use std::path::{Path, PathBuf};

use clap::Args;
use wi_conformance::scenarios::Source;
use wi_conformance::selection::Filter;

/// The folder that is used when none is named, where it is there.
const USUAL: &str = "scenarios";

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Selection")]
pub(crate) struct FromArgs {
    /// Folder of scenarios [default: the folder `scenarios` if it exists, else the built-in suite]
    #[arg(long, value_name = "DIR", env = "WI_CONFORMANCE_SCENARIOS")]
    pub(crate) scenarios: Option<PathBuf>,
    /// Add the built-in suite to the folder of --scenarios.
    #[arg(long, requires = "scenarios")]
    pub(crate) with_catalogue: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SuiteArgs {
    #[command(flatten)]
    pub(crate) from: FromArgs,
    /// Run only scenarios whose id contains one of these strings.
    #[arg(value_name = "FILTER")]
    pub(crate) filters: Vec<String>,
    /// Run only scenarios selected by an expression, such as `requirement(EXC-*) and not slow()`: id(..), requirement(..),
    /// level(..), hop(..), outcome(..) of the last run, slow(), alone(), combined with `and`, `or`, `not` and parentheses; `*`
    /// matches anything.
    #[arg(long = "filter", value_name = "EXPRESSION", help_heading = "Selection")]
    pub(crate) filter: Option<Filter>,
    /// Match filters against the complete id.
    #[arg(long, help_heading = "Selection")]
    pub(crate) exact: bool,
    /// Require that every scenario names requirements of a catalogue, and mutants under which it fails.
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
            Source::BuiltIn => "the built-in suite".to_owned(),
        };
        self.sources().iter().map(word).collect::<Vec<_>>().join(" and ")
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct InitArgs {
    /// Folder to write to. Existing files are not changed.
    #[arg(value_name = "DIR", default_value = ".")]
    pub(crate) folder: PathBuf,
    /// Kubernetes manifests for the scenario; several files, or repeatable.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub(crate) from: Vec<PathBuf>,
}
