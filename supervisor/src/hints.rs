//! Changes of the records that are worth a look. Hints only: what is missed here is seen by the next look.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::select_all;
use ports::buckets::{LEASES, SANDBOXES};
use ports::{Change, Changes, Kv};

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
                // Leases are renewed all the time; their end is news.
                let ends = leases.filter(|change| {
                    let is_renewal = matches!(change, Change::Put { .. });
                    async move { !is_renewal }
                });
                self.changes = Some(ended_by_any(sandboxes, ends.boxed()));
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

/// Both, until one of them ends.
fn ended_by_any(one: Changes, other: Changes) -> Changes {
    let with_end = |changes: Changes| changes.map(Some).chain(futures_util::stream::iter([None])).boxed();
    let both = select_all([with_end(one), with_end(other)]);
    both.take_while(|change| std::future::ready(change.is_some())).filter_map(std::future::ready).boxed()
}
