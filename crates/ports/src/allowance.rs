//! How often something may happen, for each of many who cause it: some times at once, and then once in a while.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Below so many keys nothing is looked through for what can be forgotten.
const FEW: usize = 64;

/// One allowance a key. Takes no more memory than there are keys that have used theirs lately.
#[derive(Debug)]
pub struct Allowance {
    every: Duration,
    /// What may be used at once, as the time it takes to come back.
    at_once: Duration,
    /// When each key has all of its allowance again.
    whole_at: HashMap<String, Instant>,
    swept: usize,
}

impl Allowance {
    /// `at_once` times in a row, and one more each `every`.
    #[must_use]
    pub fn new(at_once: u32, every: Duration) -> Self {
        Self { every, at_once: every.saturating_mul(at_once), whole_at: HashMap::new(), swept: FEW }
    }

    /// Uses one of `key`; false where none is left.
    pub fn take(&mut self, key: &str, now: Instant) -> bool {
        let whole_at = self.whole_at.get(key).copied().unwrap_or(now).max(now) + self.every;
        if whole_at - now > self.at_once {
            return false;
        }
        self.sweep(now);
        self.whole_at.insert(key.to_owned(), whole_at);
        true
    }

    /// Forgets who has all of it again, whenever there are twice as many as after the last time.
    fn sweep(&mut self, now: Instant) {
        if self.whole_at.len() < self.swept.saturating_mul(2) {
            return;
        }
        self.whole_at.retain(|_, whole_at| *whole_at > now);
        self.swept = self.whole_at.len().max(FEW);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_has_its_own_and_it_comes_back_with_time() {
        let (mut allowance, start) = (Allowance::new(2, SECOND), Instant::now());
        let taken = |allowance: &mut Allowance, key, at| allowance.take(key, start + at);
        assert!(taken(&mut allowance, "a", Duration::ZERO) && taken(&mut allowance, "a", Duration::ZERO));
        assert!(!taken(&mut allowance, "a", Duration::ZERO), "all of it is used");
        assert!(taken(&mut allowance, "b", Duration::ZERO), "the other's is not");
        assert!(!taken(&mut allowance, "a", SECOND / 2));
        assert!(taken(&mut allowance, "a", SECOND) && !taken(&mut allowance, "a", SECOND));
        assert!(taken(&mut allowance, "a", 9 * SECOND) && taken(&mut allowance, "a", 9 * SECOND));
        assert!(!taken(&mut allowance, "a", 9 * SECOND), "it does not pile up");
    }

    #[test]
    fn who_has_all_of_it_again_is_forgotten() {
        let (mut allowance, start) = (Allowance::new(1, SECOND), Instant::now());
        for round in 0..100 {
            for key in 0..FEW {
                assert!(allowance.take(&format!("{round}-{key}"), start + 2 * SECOND * round));
            }
        }
        assert!(allowance.whole_at.len() <= 3 * FEW, "{}", allowance.whole_at.len());
    }
}
