//! What is said of pods that do not do what they should, as real pods on the embedded target: of those that lie, and of those
//! whose set-up has one of the usual mistakes. This program is the suite of scenarios, and each liar too.

mod liars;
mod mistakes;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Set in the process that runs the scenarios: the folder where they lie.
const SUITE: &str = "WI_VERDICTS_SUITE";

/// A scenario, and what must be said of it; nothing of one that must pass.
struct Expected {
    id: String,
    told: Option<&'static str>,
}

fn main() -> ExitCode {
    wi_conformance::entry();
    if let Some(code) = liars::become_one(std::env::args().skip(1)) {
        return code;
    }
    if let Some((_, folder)) = std::env::vars_os().find(|(name, _)| name == SUITE) {
        return suite(folder.into());
    }
    let arguments = Arguments::from_args();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("verdicts");
    let expected = write_suite(&folder).expect("the folder of tests can be written");
    let output = if arguments.list {
        String::new()
    } else {
        let this = std::env::current_exe().expect("this program");
        let ran =
            Command::new(this).env(SUITE, &folder).arg("--color=never").output().expect("the suite can be started");
        format!("{}\n{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
    };
    let mut trials: Vec<Trial> = expected
        .into_iter()
        .map(|Expected { id, told }| {
            let output = output.clone();
            let title = if told.is_some() { format!("{id} fails and says why") } else { format!("{id} passes") };
            Trial::ignorable_test(title, move || verdict(&output, &id, told))
        })
        .collect();
    trials.push(Trial::ignorable_test("no two mistakes are told alike", move || mistakes::told_apart(&output)));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Writes every scenario.
fn write_suite(folder: &Path) -> std::io::Result<Vec<Expected>> {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder)?;
    std::fs::write(
        folder.join("requirements.yaml"),
        "LIE-1:\n  level: must\n  statement: What a pod says is what happened.\n  source: https://example.com\n",
    )?;
    let mut expected = Vec::new();
    for (id, text, told) in liars::scenarios().into_iter().chain(mistakes::scenarios()) {
        let file = folder.join(format!("{id}.yaml"));
        std::fs::create_dir_all(file.parent().unwrap_or(folder))?;
        std::fs::write(file, text)?;
        expected.push(Expected { id, told });
    }
    Ok(expected)
}

fn suite(folder: PathBuf) -> ExitCode {
    let evidence = folder.join("evidence");
    let suite = wi_conformance::Conformance::new(folder).evidence(evidence);
    liars::images().into_iter().fold(suite, |suite, (name, program)| suite.image(name, program)).main()
}

/// The line of a scenario in the output of the suite's own program, and what is said of it below.
fn found<'a>(output: &'a str, id: &str) -> Option<(&'a str, &'a str)> {
    let line = output.lines().find(|line| line.split_whitespace().nth(1) == Some(id) && line.starts_with("test "))?;
    let section = output.split("---- ").find(|part| part.starts_with(&format!("{id} ----"))).unwrap_or_default();
    Some((line, section))
}

fn verdict(output: &str, id: &str, told: Option<&str>) -> Result<Completion, Failed> {
    let Some((line, section)) = found(output, id) else { return Err(format!("{id} did not run: {output}").into()) };
    if line.contains("ignored") {
        return Ok(Completion::ignored_with("pods cannot run here"));
    }
    let passes = line.ends_with("ok");
    match told {
        None if passes => Ok(Completion::Completed),
        None => Err(format!("what is right is called wrong: {section}").into()),
        Some(_) if passes => Err(format!("{id} passes: a false green").into()),
        Some(told) if section.contains(told) => Ok(Completion::Completed),
        Some(told) => Err(format!("{id} fails, but not because of `{told}`: {section}").into()),
    }
}
