//! When a unit that failed may be started again.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// A unit that ran this long has recovered: its failures are forgotten.
const STABLE: Duration = Duration::from_secs(600);

/// One sandbox's failures: waits of 1, 2, 4 … 60 seconds between starts.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    started: Option<Instant>,
    not_before: Option<Instant>,
}

impl Backoff {
    pub fn started(&mut self, now: Instant) {
        self.started = Some(now);
        self.not_before = None;
    }

    /// Notes a failed start, or that a started unit is gone.
    pub fn failed(&mut self, now: Instant) {
        if self.started.take().is_some_and(|at| now.duration_since(at) >= STABLE) {
            self.failures = 0;
        }
        let wait = FIRST.saturating_mul(1 << self.failures.min(6)).min(LONGEST);
        self.failures += 1;
        self.not_before = Some(now + wait);
    }

    /// Whether it was started and not yet seen to fail.
    pub fn is_started(&self) -> bool {
        self.started.is_some()
    }

    /// Time until the next start is allowed; zero: now.
    pub fn wait(&self, now: Instant) -> Duration {
        self.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_start_over_after_a_stable_run() {
        let (mut backoff, start) = (Backoff::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..8 {
            backoff.failed(start);
            waits.push(backoff.wait(start).as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        backoff.started(start);
        backoff.failed(start + STABLE);
        assert_eq!(backoff.wait(start + STABLE).as_secs(), 1);
    }
}
