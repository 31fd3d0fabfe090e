//! Other programs inside this one: a pod's sandbox, and the built-in programs that images stand for.
//!
//! Every program that starts an environment calls [`entry`] before anything else, because pods are processes made
//! from the same executable.

use std::ffi::OsStr;
use std::process::ExitCode;

/// First argument of a process that is a built-in program of an image.
pub(crate) const MARKER: &str = "--wi-conformance-program";

/// Returns at once, unless this process was started to be a pod's sandbox or a built-in program; then it becomes that
/// and never returns.
pub fn entry() {
    wi_process_node::entry();
    let mut args = std::env::args_os().skip(1);
    if args.next().as_deref() != Some(OsStr::new(MARKER)) {
        return;
    }
    let program = args.next().unwrap_or_default();
    let code = run_program(&program.to_string_lossy());
    #[expect(clippy::exit, reason = "the caller's main must not go on in a process that was started for a pod")]
    std::process::exit(i32::from(code));
}

/// Runs a built-in program to its end.
pub(crate) fn run_program(name: &str) -> u8 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(_) => return 70,
    };
    runtime.block_on(async {
        match name {
            "quickstart" => wi_quickstart::run(std::env::vars().collect(), &mut std::io::stdout()).await,
            "pause" => {
                wi_quickstart::pause().await;
                0
            }
            "admission-policy" => {
                let mut variables = std::env::vars_os();
                let folder = variables.find_map(|(name, value)| (name == wi_admission_policy::FOLDER).then_some(value));
                let folder = folder.unwrap_or_default();
                match wi_admission_policy::serve(folder.into(), wi_quickstart::pause()).await {
                    Ok(()) => 0,
                    Err(error) => {
                        crate::console::tell(error.to_string());
                        1
                    }
                }
            }
            _ => 64,
        }
    })
}

/// The same for the command line.
pub(crate) fn exit_code(name: &str) -> ExitCode {
    ExitCode::from(run_program(name))
}
