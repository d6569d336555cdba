//! Changes of the records that are worth a look. Hints only: what is missed here is seen by the next look.

use std::collections::HashMap;
use std::future::ready;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::select_all;
use ports::buckets::{LEASES, SANDBOXES};
use ports::{Change, Changes, Kv};
use types::Epoch;
use types::placement::Lease;

/// After watches that ended.
const WATCH_AGAIN: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Hints {
    /// `None` until the watches are made, and again when one has ended.
    changes: Option<Changes>,
}

impl Hints {
    /// Makes what watches are missing. To be called before the records are read: what changes after that is
    /// then heard of.
    pub async fn watch(&mut self, kv: &dyn Kv) {
        if self.changes.is_some() {
            return;
        }
        match (kv.watch(SANDBOXES).await, kv.watch(LEASES).await) {
            (Ok(sandboxes), Ok(leases)) => {
                let mut holders = Holders::default();
                let leases = leases.filter(move |change| ready(holders.change_by(change)));
                self.changes = Some(ended_by_any(sandboxes, leases.boxed()));
            }
            (Err(error), _) | (_, Err(error)) => tracing::debug!(%error, "no hints from the records"),
        }
    }

    /// Returns at the next hint; never, while there are no watches.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub async fn changed(&mut self) {
        let Some(changes) = &mut self.changes else { return std::future::pending().await };
        if changes.next().await.is_none() {
            self.changes = None;
            tokio::time::sleep(WATCH_AGAIN).await;
        }
    }
}

/// Who holds which lease. They are renewed all the time; that they begin and end is news.
#[derive(Default)]
struct Holders(HashMap<String, Epoch>);

impl Holders {
    fn change_by(&mut self, change: &Change) -> bool {
        match change {
            Change::Put { key, entry } => match serde_json::from_slice::<Lease>(&entry.value) {
                Ok(lease) => self.0.insert(key.clone(), lease.epoch) != Some(lease.epoch),
                Err(_) => true,
            },
            Change::Deleted { key } => {
                self.0.remove(key);
                true
            }
            Change::Lagged => true,
        }
    }
}

/// Both, until one of them ends.
fn ended_by_any(one: Changes, other: Changes) -> Changes {
    let with_end = |changes: Changes| changes.map(Some).chain(futures_util::stream::iter([None])).boxed();
    let both = select_all([with_end(one), with_end(other)]);
    both.take_while(|change| ready(change.is_some())).filter_map(ready).boxed()
}

#[cfg(test)]
mod tests {
    use ports::KvEntry;

    use super::*;

    fn lease(epoch: u64, idle_seconds: u64) -> Change {
        let lease = Lease { epoch: Epoch(epoch), since: String::new(), idle_seconds, runs: 0 };
        let value = serde_json::to_vec(&lease).unwrap().into();
        Change::Put { key: "a".to_owned(), entry: KvEntry { revision: 1, value } }
    }

    #[test]
    fn leases_that_begin_or_end_are_news_and_renewals_are_not() {
        let mut holders = Holders::default();
        let end = Change::Deleted { key: "a".to_owned() };
        let changes = [end.clone(), lease(1, 0), lease(1, 5), lease(2, 0), Change::Lagged, end, lease(2, 5)];
        let news = changes.map(|change| holders.change_by(&change));
        assert_eq!(news, [true, true, false, true, true, true, true]);
    }
}
