//! Events as clients see them, read from the log.
//!
//! Of each log that is asked about, only where its events are, what they hang below and what they can be filtered by is
//! kept in memory, for as long as there is room; so a branch, too, is found without reading the log again. The events
//! themselves go from the log into the answer untouched, no more of them at once than a page may have bytes.

mod branch;
mod cache;
mod fetch;
mod moment;
mod nulls;
mod offsets;
mod record;
mod search;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ports::{Error, EventLog, Result};
use tokio::time::timeout;
use types::Seq;

pub use branch::Branch;
pub use fetch::READ_RECORDS;
pub use moment::Moment;
pub use nulls::write_whole;
pub use record::{Shown, shown};
pub use search::{Filter, Order};

use crate::index::ConversationState;
use cache::Cache;
use offsets::{EventKey, KindKey, Offsets, Row};
use search::within;

/// What reading a log may take, and looking for an event in it: whoever waits for an answer gives up some time.
const READING: Duration = Duration::from_secs(30);
const LOOKING: Duration = Duration::from_secs(20);

/// Events, and their bytes, that are looked at together.
const MOST_LOOKED_AT: usize = 256;
const LOOKED_AT: usize = 4 << 20;

/// The events of all conversations.
pub struct History {
    log: Arc<dyn EventLog>,
    cache: Cache,
}

impl History {
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log, cache: Cache::default() }
    }

    /// The JSON text of one event.
    ///
    /// # Errors
    /// Those of the log; an unknown id is `None`.
    pub async fn get(&self, entry: &ConversationState, id: &str) -> Result<Option<Bytes>> {
        let (offsets, key) = (self.offsets(entry).await?, EventKey::new(id));
        let found = offsets.find(Order::Backward, None, 1, |row| row.id == key);
        let Some(row) = found.first() else { return Ok(None) };
        Ok(fetch::events(&*self.log, &entry.log, &[row.place]).await?.pop())
    }

    /// The newest event for which `choose` gives something, looking only at events of these kinds, and where there is a
    /// `branch` only at those on it.
    ///
    /// # Errors
    /// `TooLarge` where there is too much to look through. Those of the log.
    pub async fn newest<T>(
        &self,
        entry: &ConversationState,
        kinds: &[&str],
        branch: Option<&Branch>,
        choose: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>> {
        let offsets = self.offsets(entry).await?;
        let kinds: Vec<KindKey> = kinds.iter().map(|kind| KindKey::new(kind)).collect();
        let is_wanted = |row: &Row| {
            kinds.contains(&row.kind) && branch.is_none_or(|branch| branch.contains(row.place.seq))
        };
        let looking = async {
            let (mut at, mut rows_at_once) = (None, 8);
            loop {
                let mut rows = offsets.find(Order::Backward, at, rows_at_once, is_wanted);
                rows.truncate(within(&rows, LOOKED_AT));
                let Some(oldest) = rows.last() else { return Ok::<_, Error>(None) };
                at = Some(oldest.place.prev);
                let events = self.texts(entry, &rows, Order::Backward).await?;
                if let Some(found) = events.iter().find_map(|event| choose(event)) {
                    return Ok(Some(found));
                }
                // Whoever finds nothing among the last ones has many to look at.
                rows_at_once = MOST_LOOKED_AT.min(rows_at_once * 2);
            }
        };
        let found = timeout(LOOKING, looking).await;
        found.unwrap_or_else(|_| Err(Error::TooLarge("there is too much to look through".to_owned())))
    }

    /// The position of the event with index `n`, also when the index does not have it yet, because another
    /// gateway was faster to tell of it; `None` if the log has no such event.
    ///
    /// # Errors
    /// Those of the log.
    pub async fn position(&self, entry: &ConversationState, n: u64) -> Result<Option<Seq>> {
        let n = usize::try_from(n).unwrap_or(usize::MAX);
        let offsets = self.offsets_with(entry, n.saturating_add(1)).await?;
        Ok(offsets.get(n).map(|row| row.place.seq))
    }

    /// The position before the first event at or after `from`; `None` if there is none.
    ///
    /// # Errors
    /// Those of the log.
    pub async fn before_time(&self, entry: &ConversationState, from: Moment) -> Result<Option<Seq>> {
        let offsets = self.offsets(entry).await?;
        let found = offsets.find(Order::Forward, None, 1, |row| row.at >= from);
        Ok(found.first().map(|row| row.place.prev))
    }

    /// The texts of the events of `rows`, which are in `order`.
    async fn texts(&self, entry: &ConversationState, rows: &[Row], order: Order) -> Result<Vec<Bytes>> {
        let mut places: Vec<_> = rows.iter().map(|row| row.place).collect();
        if order == Order::Backward {
            places.reverse();
        }
        let mut texts = fetch::events(&*self.log, &entry.log, &places).await?;
        if order == Order::Backward {
            texts.reverse();
        }
        Ok(texts)
    }

    /// What is known of the log, brought up to where the index is.
    async fn offsets(&self, entry: &ConversationState) -> Result<Arc<Offsets>> {
        self.offsets_with(entry, 0).await
    }

    /// The same, with so many events if the log has them. What was read of it when time is over is not read again.
    async fn offsets_with(&self, entry: &ConversationState, events: usize) -> Result<Arc<Offsets>> {
        let offsets = self.cache.of(entry);
        if !offsets.is_behind(entry, events) {
            return Ok(offsets);
        }
        let read = timeout(READING, async {
            let _reading = offsets.reading.lock().await;
            while offsets.is_behind(entry, events) && offsets.read_on(&*self.log, entry).await? {
                self.cache.make_room()?;
            }
            Ok::<_, Error>(())
        });
        let too_long = "a long history is being read: what was read by now is not read again";
        read.await.unwrap_or_else(|_| Err(Error::Unavailable(too_long.to_owned())))?;
        Ok(offsets)
    }
}

#[cfg(test)]
mod tests;
