//! How often one sandbox failed lately, and what follows from it.

use std::time::{Duration, Instant};

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Failures older than this are forgotten.
const WINDOW: Duration = Duration::from_secs(600);
/// So many within [`WINDOW`] are enough.
const TOO_MANY: usize = 5;

#[derive(Debug, Default)]
pub struct Failures {
    times: Vec<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub count: u32,
    /// Until the next try.
    pub wait: Duration,
    pub is_enough: bool,
}

impl Failures {
    /// Counts one more.
    pub fn note(&mut self, now: Instant) -> Verdict {
        self.times.retain(|at| now.duration_since(*at) < WINDOW);
        let wait = FIRST_WAIT.saturating_mul(1 << self.times.len().min(6)).min(LONGEST_WAIT);
        self.times.push(now);
        Verdict { count: self.count(), wait, is_enough: self.times.len() >= TOO_MANY }
    }

    /// What follows from a failure that is not the sandbox's own: nothing is counted, and it is tried again soon.
    pub fn excuse(&self, wait: Duration) -> Verdict {
        Verdict { count: self.count(), wait, is_enough: false }
    }

    pub fn forget(&mut self) {
        self.times.clear();
    }

    fn count(&self) -> u32 {
        u32::try_from(self.times.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_five_failures_are_enough() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        let verdicts: Vec<_> = (0..8).map(|_| failures.note(now)).collect();
        let waits: Vec<_> = verdicts.iter().map(|verdict| verdict.wait.as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(verdicts.iter().position(|verdict| verdict.is_enough), Some(4));
    }

    #[test]
    fn what_is_ten_minutes_old_is_forgotten() {
        let (mut failures, start) = (Failures::default(), Instant::now());
        for _ in 0..4 {
            failures.note(start);
        }
        let verdict = failures.note(start + WINDOW);
        assert_eq!(verdict, Verdict { count: 1, wait: FIRST_WAIT, is_enough: false });
    }
}
