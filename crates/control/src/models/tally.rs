//! Sums in the store that many calls add to at once: what was added while one write was under way goes into the
//! next one.

use std::collections::HashMap;
use std::ops::Add;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ports::buckets::BUDGETS;
use ports::{Expect, Kv, sums};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

/// After a write that failed.
const AGAIN: Duration = Duration::from_secs(1);

/// What was spent: a value of the bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Spending {
    pub calls: u64,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    /// US dollars.
    pub cost: f64,
}

impl Add for Spending {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            calls: self.calls + more.calls,
            prompt_tokens: self.prompt_tokens + more.prompt_tokens,
            completion_tokens: self.completion_tokens + more.completion_tokens,
            cost: self.cost + more.cost,
        }
    }
}

pub(super) struct Tally {
    kv: Arc<dyn Kv>,
    /// Of the sums that somebody is writing.
    unsaved: Mutex<HashMap<String, Unsaved>>,
}

#[derive(Clone, Copy, Default)]
struct Unsaved {
    waiting: Spending,
    under_way: Spending,
}

impl Tally {
    pub fn new(kv: Arc<dyn Kv>) -> Self {
        Self { kv, unsaved: Mutex::default() }
    }

    /// A sum with what this process has still to write. Other gateways may have some of it, too.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sum(&self, key: &str) -> ports::Result<Spending> {
        let stored = self.stored(key).await?;
        let unsaved = self.lock().get(key).copied().unwrap_or_default();
        Ok(stored + unsaved.waiting + unsaved.under_way)
    }

    /// Adds to a sum. Whoever is first writes, after `pause` and until nothing is left, and waits for a store
    /// that is away until `stop`; the others return at once.
    pub async fn add(&self, key: &str, more: Spending, pause: Duration, stop: &CancellationToken) {
        if !self.is_first(key, more) {
            return;
        }
        loop {
            tokio::time::sleep(pause).await;
            match self.save(key).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) if stop.is_cancelled() => {
                    let lost = self.lock().remove(key).unwrap_or_default();
                    let Spending { calls, cost, .. } = lost.waiting + lost.under_way;
                    tracing::error!(key, calls, cost, %error, "model calls are not counted");
                    return;
                }
                Err(error) => {
                    tracing::warn!(key, %error, "model calls are not counted yet, trying again");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// # Errors
    /// Those of the store.
    pub async fn forget(&self, key: &str) -> ports::Result<()> {
        self.lock().remove(key);
        self.kv.delete(BUDGETS, key, Expect::Anything).await
    }

    fn is_first(&self, key: &str, more: Spending) -> bool {
        let mut all = self.lock();
        let is_first = !all.contains_key(key);
        let unsaved = all.entry(key.to_owned()).or_default();
        unsaved.waiting = unsaved.waiting + more;
        is_first
    }

    /// Writes what there is; false if there is nothing.
    async fn save(&self, key: &str) -> ports::Result<bool> {
        let Some(more) = self.take(key) else { return Ok(false) };
        sums::change(self.kv.as_ref(), BUDGETS, key, |sum: &mut Spending| *sum = *sum + more).await?;
        if let Some(unsaved) = self.lock().get_mut(key) {
            unsaved.under_way = Spending::default();
        }
        Ok(true)
    }

    /// All that is to be written; without anything the sum is nobody's any more.
    fn take(&self, key: &str) -> Option<Spending> {
        let mut all = self.lock();
        let unsaved = all.get_mut(key)?;
        let more = unsaved.under_way + unsaved.waiting;
        if more == Spending::default() {
            all.remove(key);
            return None;
        }
        *unsaved = Unsaved { waiting: Spending::default(), under_way: more };
        Some(more)
    }

    async fn stored(&self, key: &str) -> ports::Result<Spending> {
        Ok(sums::value(self.kv.as_ref(), BUDGETS, key).await?.unwrap_or_default())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Unsaved>> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use async_trait::async_trait;
    use bytes::Bytes;
    use ports::{Changes, Error, KvEntry};

    use super::*;

    /// A store that can be away.
    struct Moody {
        kv: Arc<dyn Kv>,
        is_away: AtomicBool,
        refused: AtomicUsize,
    }

    #[async_trait]
    impl Kv for Moody {
        async fn get(&self, bucket: &str, key: &str) -> ports::Result<Option<KvEntry>> {
            if self.is_away.load(Ordering::SeqCst) {
                self.refused.fetch_add(1, Ordering::SeqCst);
                return Err(Error::Unavailable("away".to_owned()));
            }
            self.kv.get(bucket, key).await
        }

        async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> ports::Result<u64> {
            self.kv.put(bucket, key, value, expect).await
        }

        async fn delete(&self, bucket: &str, key: &str, expect: Expect) -> ports::Result<()> {
            self.kv.delete(bucket, key, expect).await
        }

        async fn list(&self, bucket: &str) -> ports::Result<Vec<(String, KvEntry)>> {
            self.kv.list(bucket).await
        }

        async fn watch(&self, bucket: &str) -> ports::Result<Changes> {
            self.kv.watch(bucket).await
        }
    }

    #[tokio::test]
    async fn what_a_store_that_is_away_did_not_take_is_added_when_it_is_back() {
        let folder = tempfile::tempdir().unwrap();
        let options = embedded::Options::within(folder.path(), embedded::Fsync::Interval);
        let (ports, _guard) = embedded::open(options).await.unwrap();
        let store =
            Arc::new(Moody { kv: ports.kv, is_away: AtomicBool::new(true), refused: AtomicUsize::new(0) });
        let (tally, stop) = (Tally::new(store.clone()), CancellationToken::new());
        let call = Spending { calls: 1, cost: 0.5, ..Spending::default() };
        let back = async {
            while store.refused.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            tally.add("sum", call, Duration::ZERO, &stop).await;
            store.is_away.store(false, Ordering::SeqCst);
        };
        tokio::join!(tally.add("sum", call, Duration::ZERO, &stop), back);
        let sum = tally.sum("sum").await.unwrap();
        assert_eq!(sum, Spending { calls: 2, cost: 1.0, ..Spending::default() });
        assert_eq!(tally.stored("sum").await.unwrap(), sum);
        tally.forget("sum").await.unwrap();
        assert_eq!(tally.sum("sum").await.unwrap(), Spending::default());
    }
}
