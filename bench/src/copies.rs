//! Many copies of real scenarios, run by the program: how long, and how much memory at the most.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::libc;

/// Scenarios that are copied: a whole read, two refusals, and one that stops at admission. None that must be alone.
const ORIGINALS: [&str; 4] =
    ["vault/get-is-enough", "exchange/subject-mismatch", "vault/no-right", "webhook/existing-env"];

/// What a run took.
pub(crate) struct Figure {
    pub(crate) scenarios: usize,
    pub(crate) wall: Duration,
    pub(crate) first_verdict: Duration,
    /// Largest resident memory of the program or any of its pods, in KiB; the program's, since pods are small.
    pub(crate) peak_kib: i64,
}

impl Figure {
    pub(crate) fn per_scenario_ms(&self) -> f64 {
        self.wall.as_secs_f64() * 1000.0 / self.scenarios as f64
    }
}

/// Runs so many copies and measures the program from outside.
pub(crate) fn run(program: &Path, count: usize) -> Result<Figure> {
    let folder = tempfile::tempdir()?;
    let scenarios = folder.path().join("scenarios");
    copy(count, &scenarios)?;
    let began = Instant::now();
    let mut child = Command::new(program)
        .args(["run", "--plain", "--format", "json", "--scenarios"])
        .arg(&scenarios)
        .arg("--out")
        .arg(folder.path().join("out"))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("the program cannot be started")?;
    let output = child.stdout.take().context("no output")?;
    let (mut judged, mut first_verdict) = (0, None);
    for line in BufReader::new(output).lines() {
        if line?.contains("\"event\":\"case-judged\"") {
            judged += 1;
            first_verdict.get_or_insert_with(|| began.elapsed());
        }
    }
    let (status, used) = ended(&child)?;
    let wall = began.elapsed();
    ensure!(status.success(), "the run of {count} copies ended with {status}");
    ensure!(judged == count, "{judged} of {count} copies were judged");
    Ok(Figure { scenarios: count, wall, first_verdict: first_verdict.unwrap_or(wall), peak_kib: used.peak_kib })
}

/// What a program and its pods used.
pub(crate) struct Used {
    /// Time of processors.
    pub(crate) cpu: Duration,
    /// Largest resident memory of one of them, in KiB.
    pub(crate) peak_kib: i64,
}

/// Waits for a child, and gives back how it ended and what it used. What this process has waited for in all will not do:
/// `cargo run` becomes this process, and its compilers were larger than anything here.
pub(crate) fn ended(child: &Child) -> Result<(ExitStatus, Used)> {
    let id = i32::try_from(child.id())?;
    let mut status = 0;
    // SAFETY: plain numbers, for which all bits zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the child is ours and nobody else waits for it; both places live while the call lasts.
    let waited = unsafe { libc::wait4(id, &raw mut status, 0, &raw mut usage) };
    ensure!(waited == id, "the program cannot be waited for: {}", std::io::Error::last_os_error());
    let time = |time: libc::timeval| Duration::from_micros(time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64);
    let used = Used { cpu: time(usage.ru_utime) + time(usage.ru_stime), peak_kib: usage.ru_maxrss };
    Ok((ExitStatus::from_raw(status), used))
}

fn copy(count: usize, to: &Path) -> Result<()> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    std::fs::create_dir_all(to.join("copies"))?;
    for file in ["requirements.yaml", "deviations.yaml"] {
        let empty = file == "deviations.yaml";
        let text = if empty { "[]\n".to_owned() } else { std::fs::read_to_string(from.join(file))? };
        std::fs::write(to.join(file), text)?;
    }
    for index in 0..count {
        let original = ORIGINALS[index % ORIGINALS.len()];
        let text = std::fs::read(from.join(format!("{original}.yaml"))).with_context(|| original.to_owned())?;
        std::fs::write(to.join(format!("copies/{index:04}-{}.yaml", original.replace('/', "-"))), text)?;
    }
    Ok(())
}
