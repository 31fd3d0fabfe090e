//! Two builds beside each other: the same scenarios by both, in turn, so that a machine that is busy for a while is busy for
//! both.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::copies::{Used, ended};

/// What is compared.
pub(crate) struct Builds {
    /// The build that the other one is measured by.
    pub(crate) other: PathBuf,
    /// The scenarios that both run.
    pub(crate) scenarios: PathBuf,
    /// How often.
    pub(crate) rounds: usize,
    /// Ids of scenarios; all when there are none.
    pub(crate) filter: Vec<String>,
}

/// What one run took.
struct Took {
    wall: Duration,
    used: Used,
}

/// Runs both in turn and prints what each took, and the ratio of the medians.
pub(crate) fn run(program: &Path, builds: &Builds) -> Result<()> {
    ensure!(builds.rounds > 0, "at least one round");
    println!("{:>6} {:>10} {:>10} {:>10} {:>10}", "round", "wall s", "cpu s", "wall s", "cpu s");
    let (mut own, mut other) = (Vec::new(), Vec::new());
    for round in 1..=builds.rounds {
        // Who goes second finds warm caches, so they take turns in that as well.
        let order = if round % 2 == 0 { [program, &builds.other] } else { [&builds.other, program] };
        for which in order {
            let took = once(which, builds)?;
            if which == program { own.push(took) } else { other.push(took) }
        }
        let shown = |took: &Took| (took.wall.as_secs_f64(), took.used.cpu.as_secs_f64());
        if let (Some(own), Some(other)) = (own.last().map(shown), other.last().map(shown)) {
            println!("{round:>6} {:>10.2} {:>10.2} {:>10.2} {:>10.2}", own.0, own.1, other.0, other.1);
        }
    }
    let ratio = |of: fn(&Took) -> Duration| median(&own, of).as_secs_f64() / median(&other, of).as_secs_f64();
    println!(
        "this build beside {}: {:.2} times the time, {:.2} times the processor time (medians of {} rounds)",
        builds.other.display(),
        ratio(|took| took.wall),
        ratio(|took| took.used.cpu),
        builds.rounds
    );
    Ok(())
}

fn once(program: &Path, builds: &Builds) -> Result<Took> {
    let folder = tempfile::tempdir()?;
    let began = Instant::now();
    let child = Command::new(program)
        .args(["run", "--plain", "--out", "out", "--scenarios"])
        .arg(&builds.scenarios)
        .args(&builds.filter)
        .current_dir(folder.path())
        .env("WI_CONFORMANCE_STATE_DIR", folder.path().join("state"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    let (status, used) = ended(&child)?;
    let wall = began.elapsed();
    ensure!(status.success(), "{} ended with {status}", program.display());
    Ok(Took { wall, used })
}

fn median(all: &[Took], of: fn(&Took) -> Duration) -> Duration {
    let mut all: Vec<Duration> = all.iter().map(of).collect();
    all.sort_unstable();
    all[all.len() / 2]
}
