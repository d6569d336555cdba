//! Changes of the records that are worth a look. Hints only: what is missed here is seen by the next look.

use std::collections::HashMap;
use std::future::ready;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::select_all;
use ports::retry::Backoff;
use ports::{Allowance, Change, Changes, Kv, KvEntry};
use types::buckets::{LEASES, SANDBOXES};
use types::placement::Lease;
use types::{Epoch, SandboxId};

use crate::scope::Scope;

/// After watches that ended.
const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
/// How often the lease of one sandbox is news: sooner than its worker can be replaced.
const NEWS_AT_ONCE: u32 = 6;
const NEWS_EVERY: Duration = Duration::from_secs(5);

pub struct Hints {
    /// `None` until the watches are made, and again when one has ended.
    changes: Option<Changes>,
    pauses: Backoff,
}

impl Default for Hints {
    fn default() -> Self {
        Self { changes: None, pauses: PAUSES }
    }
}

impl Hints {
    /// Makes what watches are missing, and answers what may have changed unheard of. To be called before the records are
    /// read: what changes after that is then heard of.
    pub async fn watch(&mut self, kv: &dyn Kv) -> Scope {
        if self.changes.is_some() {
            return Scope::default();
        }
        match (kv.watch(SANDBOXES).await, kv.watch(LEASES).await) {
            (Ok(sandboxes), Ok(leases)) => {
                let mut holders = Holders::default();
                let leases = leases.filter(move |change| ready(holders.change_by(change, Instant::now())));
                self.changes = Some(ended_by_any(sandboxes, leases.boxed()));
            }
            (Err(error), _) | (_, Err(error)) => tracing::debug!(%error, "no hints from the records"),
        }
        Scope::All
    }

    /// Returns at the next hint, with what it is about; never, while there are no watches.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub async fn changed(&mut self) -> Scope {
        let Some(changes) = &mut self.changes else { return std::future::pending().await };
        if let Some(change) = changes.next().await {
            self.pauses.reset();
            return concerned(&change);
        }
        self.changes = None;
        tokio::time::sleep(self.pauses.pause()).await;
        Scope::All
    }
}

/// Notes of others than sandboxes are read at each look.
fn concerned(change: &Change) -> Scope {
    match change {
        Change::Put { key, .. } | Change::Deleted { key } => SandboxId::parse(key).into_iter().collect(),
        Change::Lagged => Scope::All,
    }
}

/// Who holds which lease. They are renewed all the time; that they begin and end is news, but not how often a worker can
/// bring that about.
struct Holders {
    epochs: HashMap<String, Epoch>,
    news: Allowance,
}

impl Default for Holders {
    fn default() -> Self {
        Self { epochs: HashMap::new(), news: Allowance::new(NEWS_AT_ONCE, NEWS_EVERY) }
    }
}

impl Holders {
    fn change_by(&mut self, change: &Change, now: Instant) -> bool {
        let (key, holder) = match change {
            Change::Put { key, entry } => (key, holder(entry)),
            Change::Deleted { key } => (key, None),
            Change::Lagged => return true,
        };
        let before = match holder {
            Some(epoch) => self.epochs.insert(key.clone(), epoch),
            None => self.epochs.remove(key),
        };
        let is_news = before != holder || matches!(change, Change::Deleted { .. });
        is_news && self.news.take(key, now)
    }
}

/// `None` where the lease cannot be read: then nobody holds it.
fn holder(lease: &KvEntry) -> Option<Epoch> {
    serde_json::from_slice::<Lease>(&lease.value).ok().map(|lease| lease.epoch)
}

/// Both, until one of them ends.
fn ended_by_any(one: Changes, other: Changes) -> Changes {
    let with_end = |changes: Changes| changes.map(Some).chain(futures_util::stream::iter([None])).boxed();
    let both = select_all([with_end(one), with_end(other)]);
    both.take_while(|change| ready(change.is_some())).filter_map(ready).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(value: Vec<u8>) -> Change {
        Change::Put { key: "a".to_owned(), entry: KvEntry { revision: 1, value: value.into() } }
    }

    fn lease(epoch: u64, idle_seconds: u64) -> Change {
        let lease = Lease { epoch: Epoch(epoch), since: String::new(), idle_seconds, runs: 0, calls: 0 };
        put(serde_json::to_vec(&lease).unwrap())
    }

    fn ended() -> Change {
        Change::Deleted { key: "a".to_owned() }
    }

    #[test]
    fn leases_that_begin_or_end_are_news_and_renewals_are_not() {
        let (mut holders, now) = (Holders::default(), Instant::now());
        let changes = [ended(), lease(1, 0), lease(1, 5), lease(2, 0), Change::Lagged, ended(), lease(2, 5)];
        let news = changes.map(|change| holders.change_by(&change, now));
        assert_eq!(news, [true, true, false, true, true, true, true]);
    }

    #[test]
    fn a_worker_that_changes_its_lease_all_the_time_is_no_news_for_long() {
        let (mut holders, now) = (Holders::default(), Instant::now());
        let flicker =
            |round: u64| [lease(round % 2, 0), ended(), put(b"x".to_vec()), lease(3, 0), put(Vec::new())];
        let flood = (0..1_000).flat_map(flicker);
        let news = flood.filter(|change| holders.change_by(change, now)).count();
        assert_eq!(news, NEWS_AT_ONCE as usize);
        assert!(holders.change_by(&lease(4, 0), now + NEWS_EVERY), "a replacement is heard of");
    }
}
