//! What a scenario folder from a stranger can do to the program and to whoever reads its output: nothing.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const SCENARIO: &str = "\
title: \"TITLE\"
requirements: [A-1]
mutants: [webhook/no-env]
when:
  - create-pod: { name: p, image: quickstart/pause, labels: { azure.workload.identity/use: 'true' } }
then:
  - admission: { of: p, outcome: mutated }
";

fn folder(title: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("area")).unwrap();
    std::fs::write(folder.path().join("requirements.yaml"), "A-1: { level: must, statement: s, source: u }\n").unwrap();
    std::fs::write(folder.path().join("area/good.yaml"), SCENARIO.replace("TITLE", title)).unwrap();
    folder
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wi-conformance"));
    command.args(args).current_dir(folder).env("WI_CONFORMANCE_SCENARIOS", folder);
    command.env("WI_CONFORMANCE_STATE_DIR", folder.join("state")).stdin(Stdio::null());
    command
}

/// Exit code and standard error of a command that must end by itself; one that hangs is killed and fails the test.
fn ends(mut command: Command) -> (i32, String) {
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    let (ended, end) = mpsc::channel();
    let waiting = std::thread::spawn(move || _ = ended.send(child.wait_with_output()));
    let Ok(output) = end.recv_timeout(Duration::from_secs(20)) else {
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGKILL).unwrap();
        panic!("the command hangs");
    };
    waiting.join().unwrap();
    let output = output.unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_fifo_a_device_and_a_folder_in_the_place_of_a_file_are_refused_and_not_waited_for() {
    type Put = fn(&Path);
    let fifo: Put = |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let device: Put = |path| std::os::unix::fs::symlink("/dev/zero", path).unwrap();
    for (put, found) in [(fifo, "found a FIFO"), (device, "found a device")] {
        for name in ["area/bad.yaml", "deviations.yaml", "requirements.yaml"] {
            let folder = folder("t");
            let path = folder.path().join(name);
            let _ = std::fs::remove_file(&path);
            put(&path);
            let (code, told) = ends(command(folder.path(), &["plan"]));
            assert_eq!(code, 2, "{name}: {told}");
            assert!(told.contains(name) && told.contains("expected a regular file") && told.contains(found), "{told}");
        }
        let folder = folder("t");
        let target = folder.path().join("target.yaml");
        put(&target);
        let (code, told) = ends(command(folder.path(), &["plan", "--target", "target.yaml"]));
        assert_eq!(code, 2, "{told}");
        assert!(told.contains("'target.yaml'") && told.contains("an existing regular file"), "{told}");
    }
}

#[test]
fn a_link_to_a_folder_above_is_refused_by_its_name_and_one_to_another_folder_is_followed() {
    let looping = folder("t");
    std::os::unix::fs::symlink("..", looping.path().join("area/again")).unwrap();
    let (code, told) = ends(command(looping.path(), &["plan"]));
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("area/again is a link to one of its parent folders"), "{told}");

    let (linked, other) = (folder("t"), folder("t"));
    std::os::unix::fs::symlink(other.path().join("area"), linked.path().join("other")).unwrap();
    let listed = command(linked.path(), &["list"]).output().unwrap();
    assert!(String::from_utf8(listed.stdout).unwrap().contains("other/good  t"));
}

#[test]
fn a_title_commands_neither_a_terminal_nor_a_ci_server_and_stays_exact_in_data() {
    let folder = folder("\\e[2J##vso[task.complete]\\r\\n::error::x");
    let listed = command(folder.path(), &["list"]).output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    assert!(text.contains("# #vso[task.complete]"), "{text}");
    assert!(!text.contains(['\u{1b}', '\r']) && !text.lines().any(|line| line.starts_with("::")), "{text}");
}

#[test]
fn output_that_cannot_be_written_ends_with_code_2_and_the_reason() {
    for args in [&["list"][..], &["schema"], &["plan"]] {
        let folder = folder("t");
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = command(folder.path(), args).stdout(full).stderr(Stdio::piped()).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {told}");
        assert!(told.contains("standard output could not be written"), "{args:?}: {told}");
    }
}

#[test]
fn a_reader_that_went_away_is_no_fault() {
    let folder = folder("t");
    let mut child = command(folder.path(), &["schema"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
