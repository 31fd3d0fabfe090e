//! The workflows as `actionlint` sees them, where there is one.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::path::Path;
use std::process::Command;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() -> std::process::ExitCode {
    let trial = Trial::ignorable_test("actionlint_finds_nothing_in_the_workflows", || {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut workflows: Vec<_> = std::fs::read_dir(root.join(".github/workflows")).unwrap().flatten().collect();
        workflows.sort_by_key(std::fs::DirEntry::path);
        let paths = workflows.iter().map(std::fs::DirEntry::path);
        let Ok(output) = Command::new("actionlint").arg("-no-color").args(paths).output() else {
            return Ok(Completion::ignored_with("no actionlint on PATH"));
        };
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(Completion::Completed) } else { Err(Failed::from(said)) }
    });
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}
