//! Other programs inside this one: a pod's sandbox, and the built-in programs that images stand for.
//!
//! Every program that starts an environment calls [`entry`] before anything else, because pods are processes made
//! from the same executable.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::process::ExitCode;

use wi_images::proxy;
use wi_reference_proxy::{Args, Proxy};

use crate::manager;

/// First argument of a process that is a built-in program of an image.
pub const MARKER: &str = "--wi-conformance-program";

/// Returns at once, unless this process was started to be a pod's sandbox or a built-in program, by its marker or as
/// `/proxy` or `/manager`; then it becomes that and never returns.
pub fn entry() {
    wi_process_node::entry();
    let mut args = std::env::args_os();
    let code = if std::env::args_os().next().as_deref() == Some(OsStr::new(manager::PROGRAM)) {
        manager::reference_webhook(args)
    } else if let Some(program) = built_in(&mut args) {
        run_program(&program.to_string_lossy(), args)
    } else {
        return;
    };
    #[expect(clippy::exit, reason = "the caller's main must not go on in a process that was started for a pod")]
    std::process::exit(i32::from(code));
}

/// The built-in program that this process was started to be.
fn built_in(args: &mut std::env::ArgsOs) -> Option<OsString> {
    if args.next().as_deref() == Some(OsStr::new(proxy::PROGRAM)) {
        Some("proxy".into())
    } else if args.next().as_deref() == Some(OsStr::new(MARKER)) {
        Some(args.next().unwrap_or_default())
    } else {
        None
    }
}

/// Runs a built-in program to its end; `words` are its arguments.
fn run_program(name: &str, words: impl Iterator<Item = OsString>) -> u8 {
    to_end(async {
        match name {
            "quickstart" => wi_quickstart::run(std::env::vars().collect(), &mut std::io::stdout()).await,
            "pause" => {
                wi_quickstart::pause().await;
                0
            }
            "forward-proxy" => {
                wi_quickstart::forward_proxy::serve(std::env::vars().collect(), wi_quickstart::pause()).await
            }
            "admission-policy" => {
                let mut variables = std::env::vars_os();
                let folder = variables.find_map(|(name, value)| (name == wi_admission_policy::FOLDER).then_some(value));
                let folder = folder.unwrap_or_default();
                match wi_admission_policy::serve(folder.into(), wi_quickstart::pause()).await {
                    Ok(()) => 0,
                    Err(error) => {
                        tell(&error.to_string());
                        1
                    }
                }
            }
            "proxy" => match Args::read(words) {
                Ok(args) => run_proxy(&args).await,
                Err(error) => {
                    tell(&error.to_string());
                    64
                }
            },
            // Redirecting the pod's requests for the node's endpoint takes rights over its network; pods ask the
            // proxy's port instead.
            "proxy-init" => 0,
            _ => 64,
        }
    })
}

fn to_end(program: impl Future<Output = u8>) -> u8 {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(program),
        Err(_) => 70,
    }
}

/// The same for the command line.
pub fn exit_code(name: &str) -> ExitCode {
    ExitCode::from(run_program(name, std::iter::empty()))
}

/// The same for the proxy, which takes arguments.
pub fn exit_code_of_proxy(args: &Args) -> ExitCode {
    ExitCode::from(to_end(run_proxy(args)))
}

/// Runs the proxy to its end, or asks whether another is ready. The exit code.
async fn run_proxy(args: &Args) -> u8 {
    // Of the proxy's own words alone: what a library logs of an exchange is not for a log that others read.
    let filter = format!("wi_reference_proxy={}", args.level());
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    let ended = if args.probe {
        wi_reference_proxy::probe(args.proxy_port).await.map_err(|error| error.to_string())
    } else {
        match Proxy::of(args) {
            Ok(proxy) => proxy.serve(args.proxy_port, wi_quickstart::pause()).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    };
    match ended {
        Ok(()) => 0,
        Err(why) => {
            tell(&why);
            1
        }
    }
}

/// A line on standard error, without characters that a terminal obeys.
pub(crate) fn tell(line: &str) {
    let shown: String = line.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    let _ = writeln!(std::io::stderr().lock(), "{shown}");
}
