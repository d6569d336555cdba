//! A bucket in memory, as it was last heard of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use ports::retry::Backoff;
use ports::{Bucket, Kv, Update, Value, Versioned};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::Tasks;

/// Before a bucket that cannot be followed is tried again.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(2));

type Updates<T> = BoxStream<'static, Update<T>>;

/// The values of one bucket, followed in memory.
pub(super) struct Mirror<T>(watch::Sender<BTreeMap<String, Seen<T>>>);

#[derive(Clone)]
pub(super) struct Seen<T> {
    pub value: T,
    pub revision: u64,
    /// When it was last written, as far as is known here.
    pub at: Instant,
}

impl<T: Clone + Value + Send + Sync + 'static> Mirror<T> {
    /// Reads the bucket, and follows it in `tasks`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn start(kv: &Arc<dyn Kv>, bucket: &'static str, tasks: &Tasks) -> ports::Result<Arc<Self>> {
        let mirror = Arc::new(Self(watch::Sender::default()));
        let updates = mirror.begin(&Bucket::new(kv.as_ref(), bucket)).await?;
        tasks.spawn_vital(bucket, mirror.clone().follow(kv.clone(), bucket, updates));
        Ok(mirror)
    }

    pub fn get(&self, key: &str) -> Option<Seen<T>> {
        self.0.borrow().get(key).cloned()
    }

    /// Reads all values at once. Must not block.
    pub fn read<R>(&self, read: impl FnOnce(&BTreeMap<String, Seen<T>>) -> R) -> R {
        read(&self.0.borrow())
    }

    /// Tells of changes from now on.
    pub fn changes(&self) -> watch::Receiver<BTreeMap<String, Seen<T>>> {
        self.0.subscribe()
    }

    async fn begin(&self, bucket: &Bucket<'_, T>) -> ports::Result<Updates<T>> {
        let updates = bucket.watch().await?;
        let listed = bucket.list().await?;
        self.0.send_modify(|values| {
            values.retain(|key, _| listed.contains_key(key));
            for (key, stored) in listed {
                match stored {
                    Ok(stored) => take(values, key, stored),
                    Err(error) => pass_over(&key, &error),
                }
            }
        });
        Ok(updates)
    }

    async fn follow(self: Arc<Self>, kv: Arc<dyn Kv>, name: &'static str, mut updates: Updates<T>) {
        let bucket = Bucket::new(kv.as_ref(), name);
        loop {
            while let Some(update) = updates.next().await {
                match update {
                    Update::Put { key, stored } => self.0.send_modify(|values| take(values, key, stored)),
                    Update::Deleted { key } => self.0.send_modify(|values| drop(values.remove(&key))),
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
}

fn take<T>(values: &mut BTreeMap<String, Seen<T>>, key: String, Versioned { value, revision }: Versioned<T>) {
    if values.get(&key).is_none_or(|known| known.revision < revision) {
        values.insert(key, Seen { value, revision, at: Instant::now() });
    }
}

/// Other kinds of records may lie beside those that are looked for.
fn pass_over(key: &str, error: &ports::Error) {
    tracing::debug!(key, %error, "a value is passed over");
}
