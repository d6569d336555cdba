use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use ports::{Change, Changes, Kv, KvEntry};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::Tasks;

/// Before a bucket that cannot be followed is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// The values of one bucket, followed in memory.
pub(super) struct Mirror<T>(watch::Sender<BTreeMap<String, Seen<T>>>);

#[derive(Clone)]
pub(super) struct Seen<T> {
    pub value: T,
    pub revision: u64,
    /// When it was last written, as far as is known here.
    pub at: Instant,
}

impl<T: Clone + DeserializeOwned + Send + Sync + 'static> Mirror<T> {
    /// Reads the bucket, and follows it in `tasks`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn start(kv: &Arc<dyn Kv>, bucket: &'static str, tasks: &Tasks) -> ports::Result<Arc<Self>> {
        let mirror = Arc::new(Self(watch::Sender::default()));
        let changes = mirror.begin(kv, bucket).await?;
        let following = mirror.clone().follow(kv.clone(), bucket, changes);
        tasks.spawn_until_drain(following);
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

    async fn begin(&self, kv: &Arc<dyn Kv>, bucket: &str) -> ports::Result<Changes> {
        let changes = kv.watch(bucket).await?;
        self.list(kv, bucket).await?;
        Ok(changes)
    }

    async fn list(&self, kv: &Arc<dyn Kv>, bucket: &str) -> ports::Result<()> {
        let listed: BTreeMap<String, KvEntry> = kv.list(bucket).await?.into_iter().collect();
        self.0.send_modify(|values| {
            values.retain(|key, _| listed.contains_key(key));
            for (key, entry) in listed {
                take(values, key, &entry);
            }
        });
        Ok(())
    }

    async fn follow(self: Arc<Self>, kv: Arc<dyn Kv>, bucket: &'static str, mut changes: Changes) {
        loop {
            while let Some(change) = changes.next().await {
                match change {
                    Change::Put { key, entry } => self.0.send_modify(|values| take(values, key, &entry)),
                    Change::Deleted { key } => self.0.send_modify(|values| drop(values.remove(&key))),
                    Change::Lagged => break,
                }
            }
            changes = loop {
                match self.begin(&kv, bucket).await {
                    Ok(changes) => break changes,
                    Err(error) => tracing::warn!(bucket, %error, "a bucket cannot be followed, trying again"),
                }
                tokio::time::sleep(AGAIN).await;
            };
        }
    }
}

fn take<T: DeserializeOwned>(values: &mut BTreeMap<String, Seen<T>>, key: String, entry: &KvEntry) {
    if values.get(&key).is_some_and(|known| known.revision >= entry.revision) {
        return;
    }
    match serde_json::from_slice(&entry.value) {
        Ok(value) => {
            values.insert(key, Seen { value, revision: entry.revision, at: Instant::now() });
        }
        // Other kinds of records may lie beside those that are looked for.
        Err(error) => tracing::debug!(key, %error, "a value is passed over"),
    }
}
