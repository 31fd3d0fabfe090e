//! The reference webhook as a program of its own, with the upstream one's flags and environment.

use std::ffi::OsString;
use std::io::Write as _;

use clap::Parser;
use tokio_util::sync::CancellationToken;
use wi_reference_webhook::{Args, serve};

use crate::entry::tell;

/// Where upstream's image holds its program, and by which name this program is it.
pub(crate) const PROGRAM: &str = "/manager";

/// A known-good mutating webhook for Azure Workload Identity.
#[derive(Debug, Parser)]
#[command(name = "wi-reference-webhook", disable_version_flag = true)]
struct Program {
    /// Print what this is, as JSON.
    #[arg(long)]
    version: bool,
    #[command(flatten)]
    args: Args,
}

/// Serves until it is told to end, and gives its exit code. `words` begin with the program's name.
pub fn reference_webhook(words: impl Iterator<Item = OsString>) -> u8 {
    let program = match Program::try_parse_from(words) {
        Ok(program) => program,
        Err(error) => {
            // Nobody who does not listen need be told.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    if program.version {
        let told =
            serde_json::json!({ "product": "wi-conformance-reference", "buildVersion": env!("CARGO_PKG_VERSION") });
        let _ = writeln!(std::io::stdout(), "{told}");
        return 0;
    }
    let log = tracing_subscriber::fmt().json().with_max_level(tracing::Level::INFO).with_writer(std::io::stderr);
    // A log that somebody has begun already goes on.
    let _ = log.try_init();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let cancel = CancellationToken::new();
    let served = runtime.block_on(async {
        let ended = cancel.clone();
        let signals = tokio::spawn(async move {
            use tokio::signal::unix::{SignalKind, signal};
            if let Ok(mut term) = signal(SignalKind::terminate()) {
                term.recv().await;
                ended.cancel();
            }
        });
        let served = serve(program.args, cancel).await;
        signals.abort();
        served
    });
    served.map_or_else(|error| failed(&error), |()| 0)
}

fn failed(error: &dyn std::error::Error) -> u8 {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    tell(&text);
    1
}
