//! The time that the cluster, its node and Azure share: the real one, and what a scenario lets go by.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

/// A clock that can be moved forward, and tells when it was.
#[derive(Clone)]
pub(super) struct Clock {
    ahead: Arc<Mutex<Duration>>,
    moves: Arc<watch::Sender<u64>>,
}

impl Clock {
    pub(super) fn new() -> Self {
        Clock { ahead: Arc::default(), moves: Arc::new(watch::Sender::new(0)) }
    }

    /// Reads it.
    pub(super) fn read(&self) -> Arc<dyn Fn() -> SystemTime + Send + Sync> {
        let ahead = self.ahead.clone();
        Arc::new(move || SystemTime::now() + *ahead.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Moves it forward.
    pub(super) fn advance(&self) -> Arc<dyn Fn(Duration) + Send + Sync> {
        let (ahead, moves) = (self.ahead.clone(), self.moves.clone());
        Arc::new(move |by| {
            *ahead.lock().unwrap_or_else(PoisonError::into_inner) += by;
            moves.send_modify(|moves| *moves += 1);
        })
    }

    /// Hears of each move.
    pub(super) fn moves(&self) -> watch::Receiver<u64> {
        self.moves.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_clock_that_is_moved_is_ahead_and_says_so() {
        let clock = Clock::new();
        let mut moves = clock.moves();
        let before = clock.read()();
        clock.advance()(Duration::from_secs(3600));
        assert!(moves.has_changed().unwrap());
        assert_eq!(*moves.borrow_and_update(), 1);
        assert!(clock.read()() >= before + Duration::from_secs(3600));
    }
}
