//! The catalogue beside the suite: what `coverage` prints.

use wi_conformance::console;
use wi_conformance::{Exit, Stop};
use wi_model::mutant::Mutants;

use crate::args::{CoverageArgs, Format, Global, TargetName};
use crate::commands::load;
use crate::targets;

/// Prints which scenario shows which requirement on a target, and what none shows. Touches nothing.
pub(crate) fn coverage(args: &CoverageArgs, global: &Global) -> Result<Exit, Stop> {
    let suite = load(&args.from, false);
    if !suite.faults.is_empty() {
        let lines = suite.faults.iter().map(ToString::to_string).collect();
        return Err(Stop::lines(Exit::Usage, lines));
    }
    let place = targets::place(&args.target, &suite.images, Mutants::default(), &global.state_dir())?;
    let name = match &args.target.target {
        TargetName::Embedded => "embedded".to_owned(),
        TargetName::Kind => "kind".to_owned(),
        TargetName::Aks => "aks".to_owned(),
        TargetName::File(path) => path.display().to_string(),
    };
    let coverage = wi_report::coverage(&name, &suite.requirements, &suite.cases, &place.capabilities());
    match args.format {
        Format::Human => console::say(coverage.text()),
        Format::Json => console::data(coverage.json()),
    }
    if !args.strict || coverage.counts.holes == 0 {
        return Ok(Exit::Conformant);
    }
    let holes: Vec<&str> =
        coverage.requirements.iter().filter(|covered| covered.is_hole()).map(|covered| covered.id.as_str()).collect();
    console::tell(format!(
        "wi-conformance: --strict: no scenario covers the mandatory requirements {}",
        holes.join(", ")
    ));
    Ok(Exit::CaseFailed)
}
