//! A bucket in memory, as it was last heard of. Who waits for one key is woken by that key alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use parking_lot::{Mutex, RwLock};
use ports::retry::Backoff;
use ports::{Bucket, Kv, Update, Value, Versioned};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::{PATIENCE, Tasks, patiently};

/// Before a bucket that cannot be followed is tried again.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(2));

type Updates<T> = BoxStream<'static, Update<T>>;

/// The values of one bucket, followed in memory.
pub(super) struct Mirror<T> {
    values: RwLock<BTreeMap<String, Seen<T>>>,
    /// Of the keys that somebody waits for.
    awaited: Mutex<HashMap<String, watch::Sender<()>>>,
    /// The keys that have changed, for the one who goes through all of them; `None` while nobody does.
    changed: Mutex<Option<BTreeSet<String>>>,
    has_changed: Notify,
}

/// Somebody's wait for changes of one key.
pub(super) struct Changes<'a, T> {
    mirror: &'a Mirror<T>,
    key: String,
    told: watch::Receiver<()>,
}

#[derive(Clone)]
pub(super) struct Seen<T> {
    pub value: T,
    pub revision: u64,
    /// When it was last written, as far as is known here.
    pub at: Instant,
}

impl<T: Clone + Value + Send + Sync + 'static> Mirror<T> {
    /// Reads the bucket, as soon as that can be, and follows it in `tasks`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn start(kv: &Arc<dyn Kv>, bucket: &'static str, tasks: &Tasks) -> ports::Result<Arc<Self>> {
        let mirror = Arc::new(Self {
            values: RwLock::default(),
            awaited: Mutex::default(),
            changed: Mutex::default(),
            has_changed: Notify::new(),
        });
        let values = Bucket::new(kv.as_ref(), bucket);
        let updates = patiently(tasks, PATIENCE, || mirror.begin(&values)).await?;
        tasks.spawn_vital(bucket, mirror.clone().follow(kv.clone(), bucket, updates));
        Ok(mirror)
    }

    pub fn get(&self, key: &str) -> Option<Seen<T>> {
        self.values.read().get(key).cloned()
    }

    /// Reads all values at once. Must not block.
    pub fn read<R>(&self, read: impl FnOnce(&BTreeMap<String, Seen<T>>) -> R) -> R {
        read(&self.values.read())
    }

    /// Tells of changes of a key from now on.
    pub fn changes_of(&self, key: &str) -> Changes<'_, T> {
        let told = self.awaited.lock().entry(key.to_owned()).or_default().subscribe();
        Changes { mirror: self, key: key.to_owned(), told }
    }

    /// Has [`Mirror::changed`] tell of changes from now on.
    pub fn note_changes(&self) {
        self.changed.lock().get_or_insert_default();
    }

    /// The keys that have changed since the last time, as soon as there are any. For one who asks.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub async fn changed(&self) -> BTreeSet<String> {
        loop {
            let told = self.has_changed.notified();
            let changed = self.changed.lock().as_mut().map(std::mem::take).unwrap_or_default();
            if !changed.is_empty() {
                return changed;
            }
            told.await;
        }
    }

    /// To be called when the values are as they are then.
    fn tell(&self, key: &str) {
        if let Some(waiting) = self.awaited.lock().get(key) {
            waiting.send_replace(());
        }
        if let Some(changed) = self.changed.lock().as_mut() {
            changed.insert(key.to_owned());
            self.has_changed.notify_one();
        }
    }

    async fn begin(&self, bucket: &Bucket<'_, T>) -> ports::Result<Updates<T>> {
        let updates = bucket.watch().await?;
        let listed = bucket.list().await?;
        let gone: Vec<String> =
            self.read(|values| values.keys().filter(|key| !listed.contains_key(*key)).cloned().collect());
        gone.iter().for_each(|key| self.forget(key));
        for (key, stored) in listed {
            match stored {
                Ok(stored) => self.take(&key, stored),
                Err(error) => pass_over(&key, &error),
            }
        }
        Ok(updates)
    }

    async fn follow(self: Arc<Self>, kv: Arc<dyn Kv>, name: &'static str, mut updates: Updates<T>) {
        let bucket = Bucket::new(kv.as_ref(), name);
        loop {
            while let Some(update) = updates.next().await {
                match update {
                    Update::Put { key, stored } => self.take(&key, stored),
                    Update::Deleted { key } => self.forget(&key),
                    Update::Damaged { key, error, .. } => pass_over(&key, &error),
                    Update::Lagged => break,
                }
            }
            let mut pauses = PAUSES;
            updates = loop {
                match self.begin(&bucket).await {
                    Ok(updates) => break updates,
                    Err(error) => {
                        tracing::warn!(bucket = name, %error, "a bucket cannot be followed, trying again")
                    }
                }
                tokio::time::sleep(pauses.pause()).await;
            };
        }
    }

    fn take(&self, key: &str, Versioned { value, revision }: Versioned<T>) {
        let mut values = self.values.write();
        if values.get(key).is_some_and(|known| known.revision >= revision) {
            return;
        }
        values.insert(key.to_owned(), Seen { value, revision, at: Instant::now() });
        drop(values);
        self.tell(key);
    }

    fn forget(&self, key: &str) {
        let known = self.values.write().remove(key);
        if known.is_some() {
            self.tell(key);
        }
    }
}

impl<T> Changes<'_, T> {
    /// Returns at the next change.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub async fn next(&mut self) {
        if self.told.changed().await.is_err() {
            // There is always a sender while somebody waits.
            std::future::pending().await
        }
    }
}

impl<T> Drop for Changes<'_, T> {
    fn drop(&mut self) {
        let mut awaited = self.mirror.awaited.lock();
        let is_last = awaited.get(&self.key).is_some_and(|waiting| waiting.receiver_count() <= 1);
        if is_last {
            awaited.remove(&self.key);
        }
    }
}

/// Other kinds of records may lie beside those that are looked for.
fn pass_over(key: &str, error: &ports::Error) {
    tracing::debug!(key, %error, "a value is passed over");
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::poll;
    use futures_util::stream::FuturesUnordered;
    use ports::Expect;
    use types::SandboxId;
    use types::buckets::PLACES;

    use super::*;

    #[tokio::test]
    async fn who_waits_for_one_key_is_woken_by_no_other_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let options = embedded::Options::within(folder.path(), embedded::Fsync::Interval);
        let (ports, _guard) = embedded::open(options).await.unwrap();
        let (kv, tasks) = (&ports.kv, Tasks::default());
        let mirror = Mirror::<SandboxId>::start(kv, PLACES, &tasks).await.unwrap();
        let put = async |key: &str, value: &'static str| {
            kv.put(PLACES, key, value.into(), Expect::Anything).await.unwrap();
            while mirror.get(key).is_none() {
                tokio::task::yield_now().await;
            }
        };
        put("before", "\"s\"").await;
        mirror.note_changes();
        let (mut changes, polls) = (mirror.changes_of("a"), AtomicUsize::new(0));
        {
            let mut next = pin!(changes.next());
            let counted = poll_fn(|context| {
                polls.fetch_add(1, Ordering::Relaxed);
                next.as_mut().poll(context)
            });
            // Polls only what was woken.
            let mut waiting: FuturesUnordered<_> = [counted].into_iter().collect();
            assert!(poll!(waiting.next()).is_pending());
            let others: BTreeSet<String> = (0..1_000).map(|number| format!("b{number}")).collect();
            for other in &others {
                put(other, "\"s\"").await;
            }
            assert!(poll!(waiting.next()).is_pending());
            assert_eq!(polls.load(Ordering::Relaxed), 1, "it is woken by what it does not wait for");
            let mut told = BTreeSet::new();
            while told.len() < others.len() {
                told.extend(mirror.changed().await);
            }
            assert_eq!(told, others, "nothing of before");
            put("a", "\"s\"").await;
            waiting.next().await.unwrap();
        }
        drop(changes);
        assert!(mirror.awaited.lock().is_empty());
        assert_eq!(mirror.changed().await, BTreeSet::from(["a".to_owned()]));
    }
}
