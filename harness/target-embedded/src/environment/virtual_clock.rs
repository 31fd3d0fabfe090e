//! The time that the cluster, its node and Azure share: the real one, and what a scenario lets go by; for the cluster and its
//! node perhaps more than for Azure.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

type Read = Arc<dyn Fn() -> SystemTime + Send + Sync>;
type Advance = Arc<dyn Fn(Duration) + Send + Sync>;

/// How much is ahead of the real time.
#[derive(Default)]
struct Ahead {
    everybody: Duration,
    /// Beside that.
    cluster: Duration,
}

/// A clock that can be moved forward, and tells when it was.
#[derive(Clone)]
pub(super) struct Clock {
    ahead: Arc<Mutex<Ahead>>,
    moves: Arc<watch::Sender<u64>>,
}

impl Clock {
    pub(super) fn new() -> Self {
        Clock { ahead: Arc::default(), moves: Arc::new(watch::Sender::new(0)) }
    }

    /// Reads it as the cluster and its node do.
    pub(super) fn read(&self) -> Read {
        self.reads(|ahead| ahead.everybody + ahead.cluster)
    }

    /// Reads it as Azure does.
    pub(super) fn read_in_azure(&self) -> Read {
        self.reads(|ahead| ahead.everybody)
    }

    fn reads(&self, of: fn(&Ahead) -> Duration) -> Read {
        let ahead = self.ahead.clone();
        Arc::new(move || SystemTime::now() + of(&ahead.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Moves it forward for everybody.
    pub(super) fn advance(&self) -> Advance {
        self.moving(|ahead, by| ahead.everybody += by)
    }

    /// Moves it forward for the cluster and its node.
    pub(super) fn advance_cluster(&self) -> Advance {
        self.moving(|ahead, by| ahead.cluster += by)
    }

    fn moving(&self, change: fn(&mut Ahead, Duration)) -> Advance {
        let (ahead, moves) = (self.ahead.clone(), self.moves.clone());
        Arc::new(move |by| {
            change(&mut ahead.lock().unwrap_or_else(PoisonError::into_inner), by);
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

    #[tokio::test]
    async fn a_clock_that_is_moved_for_the_cluster_is_ahead_of_azures() {
        let clock = Clock::new();
        let before = clock.read_in_azure()();
        clock.advance_cluster()(Duration::from_secs(3600));
        clock.advance()(Duration::from_secs(60));
        let (cluster, azure) = (clock.read()(), clock.read_in_azure()());
        assert!(azure >= before + Duration::from_secs(60) && azure < before + Duration::from_secs(3600));
        assert!(cluster >= before + Duration::from_secs(3660));
    }
}
