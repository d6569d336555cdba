//! Sums in the store that many calls add to at once: what was added while one write was under way goes into the
//! next one. A write whose answer was lost is made again with its number, and the sum knows the newest number of
//! each that wrote to it, so nothing is counted twice.

use std::collections::HashMap;
use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use ports::retry::Backoff;
use ports::{Bucket, Expect, Kv};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use types::buckets::BUDGETS;
use types::stats::{MOST_COST, add_cost};
use uuid::Uuid;

/// After a write that failed.
const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));

/// The writers whose newest number is kept with a sum: more than ever write to it at the same time.
const WRITERS: usize = 32;

/// What was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
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
            calls: self.calls.saturating_add(more.calls),
            prompt_tokens: self.prompt_tokens.saturating_add(more.prompt_tokens),
            completion_tokens: self.completion_tokens.saturating_add(more.completion_tokens),
            cost: add_cost(self.cost, more.cost),
        }
    }
}

/// A value of the bucket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Value")]
struct Sum {
    #[serde(flatten)]
    spending: Spending,
    /// The newest number of each, the last to write last.
    writers: Vec<(Uuid, u64)>,
}

impl From<Value> for Sum {
    /// Whatever was stored can be read, or nobody could add to it any more. What is no amount was infinite once.
    fn from(stored: Value) -> Self {
        let count = |field: &str| stored.get(field).and_then(Value::as_u64).unwrap_or_default();
        let cost = match stored.get("cost") {
            None => 0.0,
            Some(cost) => cost.as_f64().map_or(MOST_COST, |cost| add_cost(0.0, cost)),
        };
        let spending = Spending {
            calls: count("calls"),
            prompt_tokens: count("prompt_tokens"),
            completion_tokens: count("completion_tokens"),
            cost,
        };
        let writers = stored.get("writers").cloned().and_then(|writers| serde_json::from_value(writers).ok());
        Self { spending, writers: writers.unwrap_or_default() }
    }
}

impl Sum {
    fn has(&self, writer: Uuid, number: u64) -> bool {
        self.writers.iter().any(|(known, newest)| *known == writer && *newest >= number)
    }

    fn take(&mut self, writer: Uuid, Portion { number, spending }: Portion) {
        if self.has(writer, number) {
            return;
        }
        self.spending = self.spending + spending;
        self.writers.retain(|(known, _)| *known != writer);
        self.writers.push((writer, number));
        self.writers.drain(..self.writers.len().saturating_sub(WRITERS));
    }
}

pub(super) struct Tally {
    kv: Arc<dyn Kv>,
    /// This one, among all that write to the same sums.
    writer: Uuid,
    next: AtomicU64,
    /// Of the sums that somebody is writing.
    unsaved: Mutex<HashMap<String, Unsaved>>,
}

#[derive(Clone, Copy, Default)]
struct Unsaved {
    waiting: Spending,
    under_way: Option<Portion>,
}

/// What one write adds, however often it is tried.
#[derive(Clone, Copy)]
struct Portion {
    number: u64,
    spending: Spending,
}

impl Unsaved {
    fn spending(&self) -> Spending {
        self.waiting + self.under_way.map(|portion| portion.spending).unwrap_or_default()
    }
}

impl Tally {
    pub fn new(kv: Arc<dyn Kv>) -> Self {
        Self { kv, writer: Uuid::new_v4(), next: AtomicU64::new(1), unsaved: Mutex::default() }
    }

    /// A sum with what this process has still to write. Other gateways may have some of it, too.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sum(&self, key: &str) -> ports::Result<Spending> {
        let stored = self.stored(key).await?;
        let mut unsaved = self.unsaved.lock().get(key).copied().unwrap_or_default();
        unsaved.under_way = unsaved.under_way.filter(|portion| !stored.has(self.writer, portion.number));
        Ok(stored.spending + unsaved.spending())
    }

    /// Adds to a sum. Whoever is first writes, after `pause` and until nothing is left, and waits for a store
    /// that is away until `stop`; the others return at once.
    pub async fn add(&self, key: &str, more: Spending, pause: Duration, stop: &CancellationToken) {
        if !self.is_first(key, more) {
            return;
        }
        let mut pauses = PAUSES;
        loop {
            tokio::time::sleep(pause).await;
            match self.save(key).await {
                Ok(true) => pauses.reset(),
                Ok(false) => return,
                Err(error) if stop.is_cancelled() => {
                    let lost = self.unsaved.lock().remove(key).unwrap_or_default();
                    let Spending { calls, cost, .. } = lost.spending();
                    tracing::error!(key, calls, cost, %error, "model calls are not counted");
                    return;
                }
                Err(error) => {
                    tracing::warn!(key, %error, "model calls are not counted yet, trying again");
                    tokio::time::sleep(pauses.pause()).await;
                }
            }
        }
    }

    /// # Errors
    /// Those of the store.
    pub async fn forget(&self, key: &str) -> ports::Result<()> {
        self.unsaved.lock().remove(key);
        self.sums().remove(key, Expect::Anything).await.map(drop)
    }

    fn is_first(&self, key: &str, more: Spending) -> bool {
        let mut all = self.unsaved.lock();
        let is_first = !all.contains_key(key);
        let unsaved = all.entry(key.to_owned()).or_default();
        unsaved.waiting = unsaved.waiting + more;
        is_first
    }

    /// Writes what there is; false if there is nothing.
    async fn save(&self, key: &str) -> ports::Result<bool> {
        let Some(more) = self.take(key) else { return Ok(false) };
        self.sums().modify(key, |sum| sum.take(self.writer, more)).await?;
        if let Some(unsaved) = self.unsaved.lock().get_mut(key) {
            unsaved.under_way = None;
        }
        Ok(true)
    }

    /// All that is to be written; without anything the sum is nobody's any more.
    fn take(&self, key: &str) -> Option<Portion> {
        let mut all = self.unsaved.lock();
        let unsaved = all.get_mut(key)?;
        if unsaved.under_way.is_some() {
            return unsaved.under_way;
        }
        if unsaved.waiting == Spending::default() {
            all.remove(key);
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        unsaved.under_way = Some(Portion { number, spending: std::mem::take(&mut unsaved.waiting) });
        unsaved.under_way
    }

    fn sums(&self) -> Bucket<'_, Sum> {
        Bucket::new(self.kv.as_ref(), BUDGETS)
    }

    async fn stored(&self, key: &str) -> ports::Result<Sum> {
        Ok(self.sums().get(key).await?.map(|stored| stored.value).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize};

    use async_trait::async_trait;
    use bytes::Bytes;
    use ports::doubles::KvDouble;
    use ports::{Error, KvEntry};

    use super::*;

    /// A store that can be away.
    struct Moody {
        kv: Arc<dyn Kv>,
        is_away: AtomicBool,
        refused: AtomicUsize,
        /// Takes that many values and says that it did not.
        forgetful: AtomicUsize,
    }

    impl Moody {
        async fn start() -> (Arc<Self>, tempfile::TempDir, embedded::Guard) {
            let folder = tempfile::tempdir().unwrap();
            let options = embedded::Options::within(folder.path(), embedded::Fsync::Interval);
            let (ports, guard) = embedded::open(options).await.unwrap();
            let (is_away, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
            (Arc::new(Self { kv: ports.kv, is_away, refused, forgetful: AtomicUsize::new(0) }), folder, guard)
        }
    }

    #[async_trait]
    impl KvDouble for Moody {
        fn inner(&self) -> ports::Result<&dyn Kv> {
            Ok(self.kv.as_ref())
        }

        async fn get(&self, bucket: &str, key: &str) -> ports::Result<Option<KvEntry>> {
            if self.is_away.load(Ordering::SeqCst) {
                self.refused.fetch_add(1, Ordering::SeqCst);
                return Err(Error::Unavailable("away".to_owned()));
            }
            self.kv.get(bucket, key).await
        }

        async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> ports::Result<u64> {
            let outcome = self.kv.put(bucket, key, value, expect).await;
            let forgets = |left: usize| left.checked_sub(1);
            match self.forgetful.fetch_update(Ordering::SeqCst, Ordering::SeqCst, forgets) {
                Ok(_) => Err(Error::Unavailable("no answer".to_owned())),
                Err(_) => outcome,
            }
        }
    }

    #[tokio::test]
    async fn what_a_store_that_is_away_did_not_take_is_added_when_it_is_back() {
        let (store, _folder, _guard) = Moody::start().await;
        store.is_away.store(true, Ordering::SeqCst);
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
        assert_eq!(tally.stored("sum").await.unwrap().spending, sum);
        tally.forget("sum").await.unwrap();
        assert_eq!(tally.sum("sum").await.unwrap(), Spending::default());
    }

    #[tokio::test]
    async fn a_write_whose_answer_was_lost_is_counted_once() {
        let (store, _folder, _guard) = Moody::start().await;
        let (one, other, stop) =
            (Tally::new(store.clone()), Tally::new(store.clone()), CancellationToken::new());
        let call = Spending { calls: 1, cost: 0.5, ..Spending::default() };
        store.forgetful.store(2, Ordering::SeqCst);
        one.add("sum", call, Duration::ZERO, &stop).await;
        other.add("sum", call, Duration::ZERO, &stop).await;
        one.add("sum", call, Duration::ZERO, &stop).await;
        let sum = Spending { calls: 3, cost: 1.5, ..Spending::default() };
        assert_eq!(one.stored("sum").await.unwrap().spending, sum);
    }

    #[tokio::test]
    async fn no_amount_makes_a_sum_that_cannot_be_stored_or_read() {
        let (store, _folder, _guard) = Moody::start().await;
        let (tally, stop) = (Tally::new(store.clone()), CancellationToken::new());
        for cost in [1e308, 1e308, f64::INFINITY, f64::NAN, -1e308] {
            let call = Spending { calls: u64::MAX, cost, ..Spending::default() };
            tally.add("sum", call, Duration::ZERO, &stop).await;
        }
        let sum = tally.sum("sum").await.unwrap();
        assert_eq!((sum.calls, sum.cost), (u64::MAX, MOST_COST));
        for (damaged, cost) in
            [(r#"{"calls":1,"cost":null}"#, MOST_COST), (r#"{"cost":0.5}"#, 1.0), ("[]", 0.5)]
        {
            store.kv.put(BUDGETS, "sum", damaged.into(), Expect::Anything).await.unwrap();
            tally.add("sum", Spending { cost: 0.5, ..Spending::default() }, Duration::ZERO, &stop).await;
            assert_eq!(tally.sum("sum").await.unwrap().cost, cost, "{damaged}");
        }
    }
}
