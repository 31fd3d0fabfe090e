//! Ctrl-C: the first ends a run in good order, the second at once.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wi_conformance::Exit;
use wi_conformance::console;

/// Cancels `cancel` at the first interrupt or termination, and ends the program at the second.
pub(crate) fn watch(cancel: &CancellationToken) -> tokio::task::JoinHandle<()> {
    let cancel = cancel.clone();
    tokio::spawn(async move {
        interrupted().await;
        console::tell(
            "interrupted: ending cases and removing what they created; press Ctrl-C again to exit immediately",
        );
        cancel.cancel();
        interrupted().await;
        console::tell("exited immediately; `wi-conformance sweep` removes what was left behind");
        #[expect(clippy::exit, reason = "the user asked twice")]
        std::process::exit(i32::from(Exit::Interrupted.code()));
    })
}

/// Cancels `cancel` when a run has taken too long.
pub(crate) fn limit(cancel: &CancellationToken, limit: Duration) -> tokio::task::JoinHandle<()> {
    let cancel = cancel.clone();
    tokio::spawn(async move {
        if tokio::time::timeout(limit, cancel.cancelled()).await.is_err() {
            console::tell(format!(
                "the target's time limit of {} s is reached: ending cases and removing what they created",
                limit.as_secs()
            ));
            cancel.cancel();
        }
    })
}

#[cfg(unix)]
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        Err(_) => _ = tokio::signal::ctrl_c().await,
    }
}

#[cfg(not(unix))]
async fn interrupted() {
    let _ = tokio::signal::ctrl_c().await;
}
