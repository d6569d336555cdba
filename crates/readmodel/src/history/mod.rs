//! Events as clients see them, read from the log.
//!
//! Of each log that is asked about, only where its events are and what they can be filtered by is kept in
//! memory, for as long as there is room. The events themselves go from the log into the answer untouched.

mod cache;
mod fetch;
mod moment;
mod offsets;
mod record;
mod search;

use std::sync::Arc;

use bytes::Bytes;
use ports::{EventLog, Result};
use types::Seq;

pub use fetch::READ_RECORDS;
pub use moment::Moment;
pub use record::{Shown, shown};
pub use search::{Filter, Order};

use crate::index::ConversationState;
use cache::Cache;
use offsets::{EventKey, Offsets};

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
        let offsets = self.offsets(entry).await?;
        let key = EventKey::new(id);
        let Some(place) =
            offsets.read(|rows| rows.iter().rev().find(|row| row.id == key).map(|row| row.place))
        else {
            return Ok(None);
        };
        Ok(fetch::events(&*self.log, &entry.log, &[place]).await?.pop())
    }

    /// The newest event for which `choose` gives something, looking only at events of these kinds.
    ///
    /// # Errors
    /// Those of the log.
    pub async fn newest<T>(
        &self,
        entry: &ConversationState,
        kinds: &[&str],
        choose: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>> {
        const AT_ONCE: usize = 8;
        let offsets = self.offsets(entry).await?;
        let mut places = offsets.places(|rows, row| kinds.contains(&rows.kind(row)));
        while !places.is_empty() {
            let newest = places.split_off(places.len().saturating_sub(AT_ONCE));
            let events = fetch::events(&*self.log, &entry.log, &newest).await?;
            if let Some(found) = events.iter().rev().find_map(|event| choose(event)) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The position of the event with index `n`, also when the index does not have it yet, because another
    /// gateway was faster to tell of it; `None` if the log has no such event.
    ///
    /// # Errors
    /// Those of the log.
    pub async fn position(&self, entry: &ConversationState, n: u64) -> Result<Option<Seq>> {
        let n = usize::try_from(n).unwrap_or(usize::MAX);
        let offsets = self.offsets_with(entry, n.saturating_add(1)).await?;
        Ok(offsets.read(|rows| rows.get(n).map(|row| row.place.seq)))
    }

    /// The position before the first event at or after `from`; `None` if there is none.
    ///
    /// # Errors
    /// Those of the log.
    pub async fn before_time(&self, entry: &ConversationState, from: Moment) -> Result<Option<Seq>> {
        let offsets = self.offsets(entry).await?;
        Ok(offsets.read(|rows| rows.iter().find(|row| row.at >= from).map(|row| row.place.prev)))
    }

    /// What is known of the log, brought up to where the index is.
    async fn offsets(&self, entry: &ConversationState) -> Result<Arc<Offsets>> {
        self.offsets_with(entry, 0).await
    }

    /// The same, with so many events if the log has them.
    async fn offsets_with(&self, entry: &ConversationState, events: usize) -> Result<Arc<Offsets>> {
        let offsets = self.cache.of(entry);
        let grown = offsets.catch_up(&*self.log, entry, events).await?;
        self.cache.grown(grown);
        Ok(offsets)
    }
}
