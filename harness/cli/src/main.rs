//! The program `wi-conformance`: its command line, and what it prints.

mod args;
mod commands;
mod coverage;
mod deprecated;
mod images;
mod init;
mod progress;
mod publish;
mod signal;
mod targets;
mod up;
mod watch;

fn main() -> std::process::ExitCode {
    commands::main()
}
