//! The only clock of the engine: a claim that becomes true within a bound, by looking again and again.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wi_model::verdict::{Difference, Hop, Judgement};

/// How often the world is looked at while a claim does not hold yet. Small against what a pod needs to start, large
/// against what a look costs.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// The pause between looks grows to this.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_millis(500);

/// How long a claim may take until it holds, and for how long it must go on to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bounds {
    pub(crate) within: Duration,
    pub(crate) throughout: Duration,
}

/// How a claim came out.
#[derive(Debug)]
pub(crate) struct Settled {
    /// `None` when it holds.
    pub(crate) difference: Option<Difference>,
    /// Whether another look could have seen something else.
    pub(crate) open: bool,
    /// How often the world was looked at.
    pub(crate) looks: u32,
    /// For how long.
    pub(crate) waited: Duration,
}

/// Looks until the claim holds and has gone on to for as long as it must, cannot hold any more, or its bound is reached.
///
/// Returns `None` when cancelled.
pub(crate) async fn settled<F, Fut>(bounds: Bounds, cancel: &CancellationToken, mut look: F) -> Option<Settled>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Judgement>,
{
    let began = Instant::now();
    let mut held_since = None;
    let mut furthest: Option<Difference> = None;
    let mut looks = 0;
    let mut pause = LOOK_EVERY;
    loop {
        let judgement = tokio::select! {
            biased;
            () = cancel.cancelled() => return None,
            judgement = look() => judgement,
        };
        looks += 1;
        let now = Instant::now();
        let over = now - began >= bounds.within;
        let done = |difference, open| Some(Settled { difference, open, looks, waited: began.elapsed() });
        let lost = |difference: Difference, since: Instant| Difference {
            expected: format!("{}, continuously for {:?}", difference.expected, bounds.throughout),
            observed: format!("it held for {:?}, then: {}", now - since, difference.observed),
            ..difference
        };
        let holds = match (judgement, held_since) {
            (Judgement::Met, _) => true,
            // Who has said nothing by the end says nothing.
            (Judgement::SoFar(_), _) => over,
            (Judgement::NotYet(difference) | Judgement::Broken(difference), Some(since)) => {
                return done(Some(lost(difference, since)), false);
            }
            (Judgement::Broken(difference), None) => return done(Some(difference), false),
            (Judgement::NotYet(difference), None) => {
                // A pod that was asked again begins again: how far it came the round before tells more than that the newest
                // has only begun.
                let told = match furthest.take() {
                    Some(before) if difference.hop == Hop::Pod && before.hop > Hop::Pod => before,
                    Some(_) | None => difference,
                };
                if over {
                    return done(Some(told), true);
                }
                furthest = Some(told);
                false
            }
        };
        let left = if holds {
            let since = *held_since.get_or_insert(now);
            let left = bounds.throughout.saturating_sub(now - since);
            if left.is_zero() {
                return done(None, false);
            }
            left
        } else {
            bounds.within.saturating_sub(now - began)
        };
        if rest(pause.min(left), cancel).await.is_err() {
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

    fn difference() -> Difference {
        Difference::at(Hop::Token, "a", "b")
    }

    fn not_yet() -> Judgement {
        Judgement::NotYet(difference())
    }

    fn within(seconds: u64) -> Bounds {
        Bounds { within: Duration::from_secs(seconds), ..Bounds::default() }
    }

    /// Settles with what each look finds in turn, the last of them again and again.
    async fn settle(bounds: Bounds, looks: &[Judgement]) -> Settled {
        let count = AtomicU32::new(0);
        let look = || async {
            let index = usize::try_from(count.fetch_add(1, Ordering::SeqCst)).unwrap();
            looks.get(index).or(looks.last()).unwrap().clone()
        };
        settled(bounds, &CancellationToken::new(), look).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_that_becomes_true_is_met_with_the_number_of_looks() {
        let settled = settle(within(5), &[not_yet(), not_yet(), not_yet(), Judgement::Met]).await;
        assert!(settled.difference.is_none());
        assert_eq!(settled.looks, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_that_never_becomes_true_ends_at_the_bound_and_a_broken_one_at_once() {
        let settled = settle(within(5), &[not_yet()]).await;
        assert!(settled.difference.is_some() && settled.open && settled.waited >= Duration::from_secs(5));
        assert!(settled.waited < Duration::from_secs(6) && settled.looks > 5);
        let settled = settle(within(5), &[Judgement::Broken(difference())]).await;
        assert_eq!((settled.looks, settled.waited, settled.open), (1, Duration::ZERO, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_that_must_go_on_to_hold_is_looked_at_until_its_end() {
        let bounds = Bounds { within: Duration::from_secs(1), throughout: Duration::from_secs(5) };
        let settled = settle(bounds, &[not_yet(), Judgement::Met]).await;
        assert!(settled.difference.is_none() && settled.waited >= Duration::from_secs(5), "{settled:?}");
        for later in [not_yet(), Judgement::Broken(difference())] {
            let settled = settle(bounds, &[Judgement::Met, Judgement::Met, Judgement::Met, later]).await;
            let told = settled.difference.unwrap();
            assert!(
                settled.looks == 4 && told.observed.contains("it held for") && told.expected.contains("5s"),
                "{told:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_was_asked_again_is_told_by_how_far_it_came_and_not_by_where_it_begins_anew() {
        let at = |hop: Hop| Judgement::NotYet(Difference::at(hop, "a", format!("at {hop}")));
        let rows: [(&[Hop], Hop); 5] = [
            (&[Hop::Pod], Hop::Pod),
            (&[Hop::Exchange, Hop::Pod], Hop::Exchange),
            (&[Hop::Exchange, Hop::Pod, Hop::Token, Hop::Pod], Hop::Token),
            (&[Hop::Pod, Hop::Secret], Hop::Secret),
            // What is wrong before the pod is no new beginning.
            (&[Hop::Exchange, Hop::SetUp], Hop::SetUp),
        ];
        for (looks, told) in rows {
            let looks: Vec<Judgement> = looks.iter().map(|hop| at(*hop)).collect();
            let settled = settle(within(5), &looks).await;
            assert_eq!(settled.difference.map(|difference| difference.hop), Some(told), "{looks:?}");
        }
        let broken = settle(within(5), &[at(Hop::Exchange), at(Hop::Pod), Judgement::Broken(difference())]).await;
        assert_eq!(broken.difference, Some(difference()), "a definite answer is told as it is");
    }

    #[tokio::test(start_paused = true)]
    async fn who_may_still_speak_is_waited_for_and_counts_as_silent_at_the_bound() {
        let settled = settle(within(3), &[Judgement::SoFar(difference())]).await;
        assert!(settled.difference.is_none() && settled.waited >= Duration::from_secs(3));
        let settled = settle(within(3), &[Judgement::SoFar(difference()), Judgement::Broken(difference())]).await;
        assert!(settled.difference.is_some() && settled.looks == 2);
    }

    #[tokio::test(start_paused = true)]
    async fn cancelling_ends_the_wait() {
        let cancel = CancellationToken::new();
        let wait = settled(within(3600), &cancel, || async { not_yet() });
        let (settled, ()) = tokio::join!(wait, async { cancel.cancel() });
        assert!(settled.is_none());
    }
}
