//! The only clock of the engine: a claim that becomes true within a bound, by looking again and again.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wi_model::verdict::{Difference, Judgement};

/// How often the world is looked at while a claim does not hold yet. Small against what a pod needs to start, large
/// against what a look costs.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// The pause between looks grows to this.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_millis(500);

/// How a claim came out.
#[derive(Debug)]
pub(crate) struct Settled {
    /// `None` when it holds.
    pub(crate) difference: Option<Difference>,
    /// How often the world was looked at.
    pub(crate) looks: u32,
    /// For how long.
    pub(crate) waited: Duration,
}

/// Looks until the claim holds, cannot hold any more, or the bound is reached.
///
/// Returns `None` when cancelled.
pub(crate) async fn within<F, Fut>(bound: Duration, cancel: &CancellationToken, mut look: F) -> Option<Settled>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Judgement>,
{
    let began = Instant::now();
    let mut looks = 0;
    let mut pause = LOOK_EVERY;
    loop {
        let judgement = tokio::select! {
            biased;
            () = cancel.cancelled() => return None,
            judgement = look() => judgement,
        };
        looks += 1;
        let settled = |difference| Some(Settled { difference, looks, waited: began.elapsed() });
        match judgement {
            Judgement::Met => return settled(None),
            Judgement::Broken(difference) => return settled(Some(difference)),
            Judgement::NotYet(difference) if began.elapsed() >= bound => return settled(Some(difference)),
            Judgement::NotYet(_) => {}
        }
        if rest(pause.min(bound.saturating_sub(began.elapsed())), cancel).await.is_err() {
            return None;
        }
        pause = (pause * 5 / 4).min(LOOK_AT_LEAST_EVERY);
    }
}

/// Asks until there is an answer or the bound is reached: for protocols that are made to be asked again.
///
/// # Errors
/// The bound was reached or the run was cancelled.
pub(crate) async fn until<T, F, Fut>(bound: Duration, cancel: &CancellationToken, mut ask: F) -> Result<T, Unsettled>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let began = Instant::now();
    let mut pause = LOOK_EVERY;
    loop {
        if let Some(answer) = ask().await {
            return Ok(answer);
        }
        if began.elapsed() >= bound {
            return Err(Unsettled::TimedOut(bound));
        }
        rest(pause, cancel).await.map_err(|()| Unsettled::Cancelled)?;
        pause = (pause * 2).min(LOOK_AT_LEAST_EVERY);
    }
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsettled {
    /// The bound was reached.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The run was cancelled.
    #[error("interrupted")]
    Cancelled,
}

/// Waits as a server told us to, or until the run is cancelled.
pub(crate) async fn rest(pause: Duration, cancel: &CancellationToken) -> Result<(), ()> {
    cancel.run_until_cancelled(tokio::time::timeout(pause, std::future::pending::<()>())).await.map(|_| ()).ok_or(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use wi_model::verdict::Hop;

    use super::*;

    fn not_yet() -> Judgement {
        Judgement::NotYet(Difference::at(Hop::Token, "a", "b"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_that_becomes_true_is_met_with_the_number_of_looks() {
        let count = AtomicU32::new(0);
        let look = || async { if count.fetch_add(1, Ordering::SeqCst) < 3 { not_yet() } else { Judgement::Met } };
        let settled = within(Duration::from_secs(5), &CancellationToken::new(), look).await.unwrap();
        assert!(settled.difference.is_none());
        assert_eq!(settled.looks, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_that_never_becomes_true_ends_at_the_bound_and_a_broken_one_at_once() {
        let cancel = CancellationToken::new();
        let settled = within(Duration::from_secs(5), &cancel, || async { not_yet() }).await.unwrap();
        assert!(settled.difference.is_some() && settled.waited >= Duration::from_secs(5));
        assert!(settled.waited < Duration::from_secs(6) && settled.looks > 5);
        let broken = || async { Judgement::Broken(Difference::at(Hop::Token, "a", "b")) };
        let settled = within(Duration::from_secs(5), &cancel, broken).await.unwrap();
        assert_eq!((settled.looks, settled.waited), (1, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn cancelling_ends_the_wait() {
        let cancel = CancellationToken::new();
        let wait = within(Duration::from_secs(3600), &cancel, || async { not_yet() });
        let (settled, ()) = tokio::join!(wait, async { cancel.cancel() });
        assert!(settled.is_none());
    }
}
