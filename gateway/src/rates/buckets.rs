//! How often each of many may call, in a memory that does not grow with their number.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Who has rested may call as often at once as else in so long.
const BURST: Duration = Duration::from_secs(10);

/// As many who called last are remembered for certain, and at most twice as many. Who is forgotten is taken for one who has rested:
/// until then so many others have to call.
const REMEMBERED: usize = 16 * 1024;

/// One bucket a key: it is full again when nothing has been taken for [`BURST`].
pub struct Buckets<K> {
    /// From one call to the next, in the long run.
    interval: Duration,
    full_at: Mutex<Generations<K>>,
}

impl<K: Hash + Eq + Copy> Buckets<K> {
    #[must_use]
    pub fn new(calls_per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / calls_per_second.max(1);
        Self { interval, full_at: Mutex::new(Generations::default()) }
    }

    /// Takes one call of `key`.
    ///
    /// # Errors
    /// How long until the next one may be taken.
    pub fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.full_at.lock();
        let full_at = buckets.of(&key).map_or(now, |full_at| full_at.max(now));
        let full_again = full_at + self.interval;
        let too_early = full_again.duration_since(now).saturating_sub(BURST);
        // Who asks in vain is remembered as well.
        buckets.keep(key, if too_early.is_zero() { full_again } else { full_at });
        if too_early.is_zero() { Ok(()) } else { Err(too_early) }
    }
}

/// Forgets all who have not called since [`REMEMBERED`] others have.
struct Generations<K> {
    young: HashMap<K, Instant>,
    old: HashMap<K, Instant>,
}

impl<K> Default for Generations<K> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<K: Hash + Eq> Generations<K> {
    fn of(&self, key: &K) -> Option<Instant> {
        self.young.get(key).or_else(|| self.old.get(key)).copied()
    }

    fn keep(&mut self, key: K, full_at: Instant) {
        self.young.insert(key, full_at);
        if self.young.len() >= REMEMBERED {
            self.old = mem::take(&mut self.young);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_as_many_as_there_is_time_for() {
        let (buckets, begin) = (Buckets::new(2), Instant::now());
        for _ in 0..20 {
            assert_eq!(buckets.take("a", begin), Ok(()));
        }
        assert_eq!(buckets.take("a", begin), Err(Duration::from_millis(500)));
        assert_eq!(buckets.take("b", begin), Ok(()));
        let later = begin + Duration::from_secs(3);
        let taken = (0..20).filter(|_| buckets.take("a", later).is_ok()).count();
        assert_eq!(taken, 6);
        let rested = later + BURST;
        assert_eq!((0..30).filter(|_| buckets.take("a", rested).is_ok()).count(), 20);
    }

    #[test]
    fn however_many_call_only_so_many_are_remembered_and_the_latest_for_certain() {
        let (buckets, now) = (Buckets::new(1), Instant::now());
        let spend = |key: usize| (0..20).filter(|_| buckets.take(key, now).is_ok()).count();
        assert_eq!(spend(0), 10);
        for key in 1..REMEMBERED - 1 {
            assert_eq!(buckets.take(key, now), Ok(()));
        }
        assert_eq!(spend(0), 0, "forgotten too early");
        for key in REMEMBERED..5 * REMEMBERED {
            assert_eq!(buckets.take(key, now), Ok(()));
        }
        let kept = buckets.full_at.lock();
        assert!(kept.young.len() + kept.old.len() <= 2 * REMEMBERED);
    }
}
