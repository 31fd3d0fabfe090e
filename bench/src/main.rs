//! Figures of the harness as users meet it: the built program is started from outside and watched. Ratios say more than
//! times, which are this machine's.
//!
//! `cargo build --release --workspace && cargo run --release -p wi-bench`; counts of copies may be given, such as `10 100`.
//! `wi-bench beside OTHER SCENARIOS [ROUNDS [ID..]]` runs the scenarios of a folder by this build and by another one, in turn.
#![expect(clippy::print_stdout, reason = "a benchmark is there to print")]

mod builds;
mod copies;
mod tokens;

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

/// How many copies of scenarios are run where nobody says.
const COPIES: [usize; 3] = [10, 100, 1000];

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, other, scenarios, rest @ ..] = arguments.as_slice()
        && word == "beside"
    {
        let rounds = rest.first().map_or(Ok(5), |rounds| rounds.parse()).context("ROUNDS is no number")?;
        let at = |path: &str| std::path::absolute(path).with_context(|| path.to_owned());
        let filter = rest.iter().skip(1).cloned().collect();
        let builds = builds::Builds { other: at(other)?, scenarios: at(scenarios)?, rounds, filter };
        return builds::run(&program()?, &builds);
    }
    let counts: Vec<usize> = arguments.iter().map(|count| count.parse()).collect::<Result<_, _>>()?;
    let counts = if counts.is_empty() { COPIES.to_vec() } else { counts };
    let program = program()?;

    println!(
        "{:>10} {:>12} {:>14} {:>12} {:>14}",
        "scenarios", "wall s", "ms a scenario", "peak MB", "first verdict s"
    );
    let mut figures = Vec::new();
    for count in counts {
        let figure = copies::run(&program, count)?;
        println!(
            "{:>10} {:>12.2} {:>14.1} {:>12.1} {:>14.2}",
            figure.scenarios,
            figure.wall.as_secs_f64(),
            figure.per_scenario_ms(),
            figure.peak_kib as f64 / 1024.0,
            figure.first_verdict.as_secs_f64()
        );
        figures.push(figure);
    }
    for pair in figures.windows(2) {
        let (few, many) = (&pair[0], &pair[1]);
        let more = (many.scenarios - few.scenarios).max(1);
        println!(
            "{} beside {}: time a scenario {:.2} times, memory {:+.1} kB a scenario more",
            many.scenarios,
            few.scenarios,
            many.per_scenario_ms() / few.per_scenario_ms(),
            (many.peak_kib as f64 - few.peak_kib as f64) / more as f64
        );
    }
    tokens::run(&program).await
}

/// The program beside this one: built by the same command.
fn program() -> Result<PathBuf> {
    let own = std::env::current_exe().context("this program's own path")?;
    let beside = own.with_file_name("wi-conformance");
    ensure!(beside.exists(), "{} is not there; run `cargo build --release --workspace` first", beside.display());
    Ok(beside)
}
