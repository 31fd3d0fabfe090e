//! The reference webhook as a program of its own, with the upstream one's flags and environment: what a user would give to
//! `--webhook exec:PATH`.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use tokio_util::sync::CancellationToken;
use wi_reference_webhook::{Args, serve};

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

fn main() -> ExitCode {
    let program = Program::parse();
    if program.version {
        let told =
            serde_json::json!({ "product": "wi-conformance-reference", "buildVersion": env!("CARGO_PKG_VERSION") });
        // Nobody who does not listen need be told.
        let _ = writeln!(std::io::stdout(), "{told}");
        return ExitCode::SUCCESS;
    }
    tracing_subscriber::fmt().json().with_max_level(tracing::Level::INFO).with_writer(std::io::stderr).init();
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
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::FAILURE
}
