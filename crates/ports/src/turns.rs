//! One at a time of each key: whoever has its turn keeps the others of that key waiting, and nobody else.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

/// Takes no more memory than there are keys somebody has or waits for.
pub struct Turns<K>(Mutex<HashMap<K, Arc<Lock<()>>>>);

/// The only one of its key for as long as it is there.
#[must_use]
pub struct Turn {
    _held: OwnedMutexGuard<()>,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Turns<K> {
    /// `None`: somebody else has it.
    pub fn take(&self, key: K) -> Option<Turn> {
        self.of(key).try_lock_owned().ok().map(|held| Turn { _held: held })
    }

    /// Waits for whoever has it.
    pub async fn wait(&self, key: K) -> Turn {
        Turn { _held: self.of(key).lock_owned().await }
    }

    fn of(&self, key: K) -> Arc<Lock<()>> {
        let mut all = self.0.lock();
        all.retain(|_, lock| Arc::strong_count(lock) > 1);
        all.entry(key).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn of_a_key_one_has_its_turn_and_others_wait_for_none_of_it() {
        let turns = Turns::default();
        let first = turns.wait("greedy").now_or_never().unwrap();
        let mut second = Box::pin(turns.wait("greedy"));
        assert!(second.as_mut().now_or_never().is_none() && turns.take("greedy").is_none());
        drop(turns.wait("other").now_or_never().unwrap());
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        drop(second.now_or_never().unwrap());
        drop(turns.take("other").unwrap());
        assert_eq!(turns.0.lock().len(), 1, "nothing is kept of who had its turn");
    }
}
