//! Waiting for what others make true.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often others are asked: often enough not to be noticed, seldom enough not to be a burden.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Asks until there is an answer; `None` when there is none within the bound.
pub(crate) async fn until<T, F, Fut>(bound: Duration, mut ask: F) -> Option<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let began = Instant::now();
    let mut ticks = interval(ASK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(answer) = ask().await {
            return Some(answer);
        }
        if began.elapsed() >= bound {
            return None;
        }
    }
}
