//! Which conversations a webhook is to be told of, when, and how many at once. Nothing here waits or calls.
//!
//! One whose call failed waits for itself; the others go on. Where many failed and none was delivered since, the hook is
//! *away*: then one is tried at a time, with pauses, and first those that have not failed yet. So a hook that is gone for
//! days costs a call in half a minute, and a place in memory for each conversation that has something to tell.
//!
//! Where the store is the one that fails, the conversation waits as well, and the hook is not blamed for it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use ports::retry::Backoff;
use tokio::time::Instant;

/// Calls under way at one time.
const AT_ONCE: usize = 8;
/// So many that failed, with nothing delivered in between, and the hook is away.
const AWAY: usize = 8;
const PROBES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
/// Until a store that has failed is asked again.
const STALLS: Backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(60));

pub(super) struct Lane<K> {
    waiting: BTreeMap<K, Wait>,
    /// Those that have not failed, and those that have, by when they are due.
    fresh: BTreeSet<(Instant, K)>,
    tried: BTreeSet<(Instant, K)>,
    /// Those that have their turn, and whether there is more since.
    busy: BTreeMap<K, Option<Wait>>,
    /// Since something was delivered; as many as are counted.
    failed: HashSet<K>,
    probes: usize,
    next_probe: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Wait {
    due: Instant,
    flush_at: Instant,
    failures: usize,
    /// How often in a row the store has failed it.
    stalls: usize,
}

/// Who has its turn now.
pub(super) struct Turn<K> {
    pub key: K,
    /// From when on all is told, however little it is.
    pub flush_at: Instant,
    pub failures: usize,
    stalls: usize,
}

/// What came of a turn.
#[derive(Debug)]
pub(super) enum Ended {
    /// Nothing is left to tell.
    Done {
        delivered: bool,
    },
    /// Something is left.
    Again {
        delivered: bool,
        due: Instant,
        flush_at: Instant,
    },
    Failed {
        until: Instant,
    },
    /// The store has failed.
    Stalled,
    /// Something else comes first, which says nothing of how it went before.
    Waits {
        due: Instant,
    },
}

impl<K: Clone + Ord + std::hash::Hash> Lane<K> {
    pub fn new() -> Self {
        let (waiting, busy, failed) = (BTreeMap::new(), BTreeMap::new(), HashSet::new());
        let (fresh, tried) = (BTreeSet::new(), BTreeSet::new());
        Self { waiting, fresh, tried, busy, failed, probes: 0, next_probe: None }
    }

    /// There is something to tell, at `due` at the latest. What has failed waits all the same.
    pub fn touch(&mut self, key: &K, due: Instant, flush_at: Instant) {
        let new = Wait { due, flush_at, failures: 0, stalls: 0 };
        if let Some(more) = self.busy.get_mut(key) {
            *more = Some(sooner(*more, new));
            return;
        }
        let known = self.waiting.get(key).copied();
        if known.is_none_or(|known| known.is_well()) {
            self.put(key.clone(), sooner(known, new));
        }
    }

    /// There is nothing to tell any more.
    pub fn forget(&mut self, key: &K) {
        self.withdraw(key);
        if let Some(more) = self.busy.get_mut(key) {
            *more = None;
        }
    }

    /// All is told now that has not failed, and nothing else.
    pub fn hurry(&mut self, now: Instant) {
        let waiting = std::mem::take(&mut self.waiting);
        self.fresh.clear();
        self.tried.clear();
        for (key, wait) in waiting.into_iter().filter(|(_, wait)| wait.is_well()) {
            self.put(key, Wait { due: now, flush_at: now, ..wait });
        }
    }

    /// Whether there is something to tell, or being told.
    pub fn has(&self, key: &K) -> bool {
        self.waiting.contains_key(key) || self.busy.contains_key(key)
    }

    pub fn is_busy(&self, key: &K) -> bool {
        self.busy.contains_key(key)
    }

    pub fn is_away(&self) -> bool {
        self.failed.len() >= AWAY
    }

    /// Who is to have a turn now.
    pub fn take(&mut self, now: Instant) -> Option<Turn<K>> {
        if self.next().is_none_or(|next| next > now) {
            return None;
        }
        let fresh = self.fresh.first().filter(|(due, _)| *due <= now);
        let first = if self.is_away() { fresh.or(self.tried.first()) } else { self.first() };
        let key = first?.1.clone();
        let wait = self.withdraw(&key)?;
        self.busy.insert(key.clone(), None);
        Some(Turn { key, flush_at: wait.flush_at, failures: wait.failures, stalls: wait.stalls })
    }

    /// When somebody is to have a turn next; `None`: not before something else happens.
    pub fn next(&self) -> Option<Instant> {
        let (first, _) = self.first()?;
        match self.is_away() {
            true if !self.busy.is_empty() => None,
            true => Some(self.next_probe.map_or(*first, |probe| probe.max(*first))),
            false => (self.busy.len() < AT_ONCE).then_some(*first),
        }
    }

    pub fn ended(&mut self, turn: Turn<K>, ended: &Ended, now: Instant) {
        let more = self.busy.remove(&turn.key).flatten();
        match *ended {
            Ended::Done { delivered } => {
                self.note(delivered);
                if let Some(more) = more {
                    self.put(turn.key, more);
                }
            }
            Ended::Again { delivered, due, flush_at } => {
                self.note(delivered);
                self.put(turn.key, sooner(more, Wait { due, flush_at, failures: 0, stalls: 0 }));
            }
            Ended::Failed { until } => {
                if !self.is_away() {
                    self.failed.insert(turn.key.clone());
                }
                if self.is_away() {
                    self.probes += 1;
                    self.next_probe = Some(now + PROBES.after(self.probes));
                }
                let failures = turn.failures.saturating_add(1);
                self.put(turn.key, Wait { due: until, flush_at: turn.flush_at, failures, stalls: 0 });
            }
            Ended::Stalled => {
                let stalls = turn.stalls.saturating_add(1);
                let due = now + STALLS.after(stalls);
                let wait = Wait { due, flush_at: turn.flush_at, failures: turn.failures, stalls };
                self.put(turn.key, wait);
            }
            Ended::Waits { due } => {
                let flush_at = more.map_or(turn.flush_at, |more| more.flush_at.min(turn.flush_at));
                let (failures, stalls) = (turn.failures, turn.stalls);
                self.put(turn.key, Wait { due, flush_at, failures, stalls });
            }
        }
    }

    fn note(&mut self, delivered: bool) {
        if delivered {
            self.failed.clear();
            (self.probes, self.next_probe) = (0, None);
        }
    }

    fn put(&mut self, key: K, wait: Wait) {
        self.withdraw(&key);
        let order = if wait.failures == 0 { &mut self.fresh } else { &mut self.tried };
        order.insert((wait.due, key.clone()));
        self.waiting.insert(key, wait);
    }

    fn withdraw(&mut self, key: &K) -> Option<Wait> {
        let (key, wait) = self.waiting.remove_entry(key)?;
        let order = if wait.failures == 0 { &mut self.fresh } else { &mut self.tried };
        order.remove(&(wait.due, key));
        Some(wait)
    }

    /// Whoever is due first, failed or not.
    fn first(&self) -> Option<&(Instant, K)> {
        self.fresh.first().into_iter().chain(self.tried.first()).min()
    }
}

impl Wait {
    const fn is_well(&self) -> bool {
        self.failures == 0 && self.stalls == 0
    }
}

fn sooner(known: Option<Wait>, new: Wait) -> Wait {
    let Some(known) = known else { return new };
    Wait { due: known.due.min(new.due), flush_at: known.flush_at.min(new.flush_at), ..known }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn fail(lane: &mut Lane<u32>, now: Instant) -> Option<u32> {
        let turn = lane.take(now)?;
        let key = turn.key;
        lane.ended(turn, &Ended::Failed { until: now + SECOND }, now);
        Some(key)
    }

    #[tokio::test]
    async fn what_is_touched_again_keeps_its_time_and_what_is_full_goes_at_once() {
        let (mut lane, now) = (Lane::new(), Instant::now());
        lane.touch(&1, now + 30 * SECOND, now + 30 * SECOND);
        lane.touch(&1, now + 60 * SECOND, now + 60 * SECOND);
        assert_eq!(lane.next(), Some(now + 30 * SECOND));
        assert!(lane.take(now).is_none());
        lane.touch(&1, now, now + 60 * SECOND);
        let turn = lane.take(now).unwrap();
        assert_eq!((turn.key, turn.flush_at), (1, now + 30 * SECOND));
        assert!(lane.take(now + 60 * SECOND).is_none(), "it has its turn");
        lane.touch(&1, now, now);
        lane.ended(turn, &Ended::Done { delivered: true }, now);
        assert_eq!(lane.take(now).unwrap().key, 1, "there was more meanwhile");
    }

    #[tokio::test]
    async fn one_that_fails_waits_for_itself_and_holds_up_no_other() {
        let (mut lane, now) = (Lane::new(), Instant::now());
        lane.touch(&1, now, now);
        assert_eq!(fail(&mut lane, now), Some(1));
        lane.touch(&1, now, now);
        lane.touch(&2, now, now);
        assert_eq!(lane.take(now).unwrap().key, 2);
        assert!(lane.take(now).is_none());
        let turn = lane.take(now + SECOND).unwrap();
        assert_eq!((turn.key, turn.failures), (1, 1));
    }

    #[tokio::test]
    async fn a_hook_that_is_away_is_tried_now_and_then_and_first_with_what_has_not_failed() {
        let (mut lane, mut now) = (Lane::new(), Instant::now());
        (0..1_000).for_each(|key| lane.touch(&key, now, now));
        // All of them, those that are tried while it is away as well.
        while (0..1_000).any(|key| lane.waiting[&key].failures == 0) {
            now = lane.next().unwrap().max(now);
            fail(&mut lane, now).unwrap();
        }
        assert!(lane.is_away());
        let mut tries = 0;
        let begun = now;
        while now < begun + 3_600 * SECOND {
            now = lane.next().unwrap().max(now);
            tries += usize::from(fail(&mut lane, now).is_some());
        }
        assert!((100..300).contains(&tries), "{tries} in an hour");
        lane.touch(&5_000, now, now);
        let turn = lane.take(lane.next().unwrap().max(now)).unwrap();
        assert_eq!((turn.key, turn.failures), (5_000, 0));
        assert!(lane.next().is_none(), "one at a time");
        lane.ended(turn, &Ended::Done { delivered: true }, now);
        let at_once = std::iter::from_fn(|| lane.take(now + 3_600 * SECOND)).count();
        assert_eq!(at_once, AT_ONCE, "it is back");
    }

    #[tokio::test]
    async fn who_waits_for_something_else_has_failed_as_often_as_before() {
        let (mut lane, now) = (Lane::new(), Instant::now());
        lane.touch(&1, now, now);
        fail(&mut lane, now);
        let turn = lane.take(now + SECOND).unwrap();
        lane.ended(turn, &Ended::Stalled, now);
        let now = lane.next().unwrap();
        let turn = lane.take(now).unwrap();
        lane.ended(turn, &Ended::Waits { due: now + SECOND }, now);
        assert!(lane.take(now).is_none());
        let turn = lane.take(now + SECOND).unwrap();
        assert_eq!((turn.failures, turn.stalls), (1, 1));
    }

    #[tokio::test]
    async fn what_the_store_fails_waits_longer_each_time_whatever_happens_and_blames_no_hook() {
        let (mut lane, begun) = (Lane::new(), Instant::now());
        let mut now = begun;
        lane.touch(&1, now, now);
        let mut turns = 0;
        while now < begun + 3_600 * SECOND {
            let turn = lane.take(now).unwrap();
            assert_eq!((turn.failures, turn.flush_at), (0, begun));
            turns += 1;
            lane.touch(&1, now, now);
            lane.ended(turn, &Ended::Stalled, now);
            lane.touch(&1, now, now);
            assert!(lane.take(now).is_none());
            now = lane.next().unwrap();
        }
        assert!((50..150).contains(&turns), "{turns} in an hour");
        assert!(!lane.is_away());
    }
}
