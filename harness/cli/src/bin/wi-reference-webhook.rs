//! The reference webhook as a program of its own, with the upstream one's flags and environment: what a user would give to
//! `--webhook exec:PATH`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(wi_target_embedded::reference_webhook(std::env::args_os()))
}
