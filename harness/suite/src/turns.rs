//! Names that one case has at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// Who has which name now.
#[derive(Default)]
pub(crate) struct Turns {
    names: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Turns {
    /// Waits until each of these names is free, and has them as long as what is given back lives. Everybody takes names in
    /// their order, so nobody waits for somebody who waits for them.
    pub(crate) async fn take(&self, names: BTreeSet<String>) -> Vec<OwnedMutexGuard<()>> {
        let mut taken = Vec::new();
        for name in names {
            let turn = self.names.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default().clone();
            taken.push(turn.lock_owned().await);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn those_who_name_the_same_go_one_by_one_in_whatever_order_they_ask() {
        let (turns, there, most) = (Turns::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        let names = [["a", "b"], ["b", "a"], ["b", "c"], ["c", "b"]];
        let one = |names: [&'static str; 2]| {
            let (turns, there, most) = (&turns, &there, &most);
            async move {
                let _turn = turns.take(names.map(str::to_owned).into()).await;
                most.fetch_max(there.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                there.fetch_sub(1, Ordering::SeqCst);
            }
        };
        futures::future::join_all(names.map(one)).await;
        assert_eq!(most.into_inner(), 1);
    }

    #[tokio::test]
    async fn those_who_name_nothing_in_common_do_not_wait() {
        let turns = Turns::default();
        let _one = turns.take(["a".to_owned()].into()).await;
        let _other = turns.take(["b".to_owned()].into()).await;
        let _nothing = turns.take([].into()).await;
    }
}
