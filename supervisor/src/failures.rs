//! How often one sandbox failed lately, and what follows from it.

use std::time::{Duration, Instant};

use types::Epoch;

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Failures older than this are forgotten.
const WINDOW: Duration = Duration::from_secs(600);
/// So many within [`WINDOW`] are enough.
const TOO_MANY: usize = 5;

#[derive(Debug, Default)]
pub struct Failures {
    times: Vec<Instant>,
    last: Option<Epoch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub count: u32,
    /// Until the next try.
    pub wait: Duration,
    pub is_enough: bool,
}

impl Failures {
    /// Counts one more, and each incarnation once however often its end is noted.
    pub fn note(&mut self, epoch: Epoch, now: Instant) -> Verdict {
        self.times.retain(|at| now.duration_since(*at) < WINDOW);
        if self.last.replace(epoch) != Some(epoch) {
            self.times.push(now);
        }
        let doublings = self.times.len().saturating_sub(1).min(6);
        let wait = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
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
        let verdicts: Vec<_> = (0..8).map(|epoch| failures.note(Epoch(epoch), now)).collect();
        let waits: Vec<_> = verdicts.iter().map(|verdict| verdict.wait.as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(verdicts.iter().position(|verdict| verdict.is_enough), Some(4));
    }

    #[test]
    fn an_end_that_is_noted_twice_counts_once() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        assert_eq!(failures.note(Epoch(1), now), failures.note(Epoch(1), now));
        assert_eq!(failures.note(Epoch(2), now).count, 2);
    }

    #[test]
    fn what_is_ten_minutes_old_is_forgotten() {
        let (mut failures, start) = (Failures::default(), Instant::now());
        for epoch in 0..4 {
            failures.note(Epoch(epoch), start);
        }
        let verdict = failures.note(Epoch(4), start + WINDOW);
        assert_eq!(verdict, Verdict { count: 1, wait: FIRST_WAIT, is_enough: false });
    }
}
