//! How long a call was on its way, though no two machines' clocks are compared.
//!
//! A call says what its caller's clock shows, which began with the caller's process and means nothing to others. Each call of
//! one process differs by as much from the answerer's clock, and by the time that it was on its way. So the least
//! difference of the calls before tells how old another one is at least: it has lain in a queue of the bus, in the client
//! of a caller that had lost its connection, or here while this process was stopped.
//!
//! Clocks go a little apart, and one that was stopped with its machine differs by more from then on. So only the calls of
//! two periods count, and what was the rule in both is no delay. The first call of a process is taken for a young one.

use std::collections::HashMap;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::{Duration, Instant};
use types::time::millis;

/// At least so much later than this the next call of a process begins a period.
const PERIOD: Duration = Duration::from_secs(2);
/// Which part of the time that has passed two clocks may have gone apart.
const DRIFT: u64 = 1_000;
/// Processes that are known at once; those that have not called for longest are forgotten.
const MOST: usize = 4_096;

/// When a call was sent, by its caller's clock.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Sent {
    /// The process: a number of its own.
    by: u64,
    /// Since it has begun.
    ms: u64,
}

impl Sent {
    pub fn now() -> Self {
        static OWN: std::sync::LazyLock<(u64, std::time::Instant)> = std::sync::LazyLock::new(|| {
            let (number, _) = uuid::Uuid::new_v4().as_u64_pair();
            (number, std::time::Instant::now())
        });
        let (by, began) = *OWN;
        Self { by, ms: millis(began.elapsed()) }
    }
}

/// Of the processes that call this one.
pub(super) struct Ages {
    began: Instant,
    callers: Mutex<HashMap<u64, Pace>>,
}

/// The least differences, in milliseconds, of a period and of the one before.
struct Pace {
    since: Instant,
    least: i64,
    before: i64,
    /// When a call of the period before came last.
    known_at: Instant,
    came: Instant,
}

impl Default for Ages {
    fn default() -> Self {
        Self { began: Instant::now(), callers: Mutex::default() }
    }
}

impl Ages {
    /// How long a call was on its way at least.
    pub fn of(&self, sent: Sent) -> Duration {
        let now = Instant::now();
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let difference = signed(millis(now - self.began)).saturating_sub(signed(sent.ms));
        let mut callers = self.callers.lock();
        if callers.len() >= MOST && !callers.contains_key(&sent.by) {
            let oldest = callers.iter().min_by_key(|(_, pace)| pace.came).map(|(by, _)| *by);
            if let Some(by) = oldest {
                callers.remove(&by);
            }
        }
        let pace = callers.entry(sent.by).or_insert_with(|| Pace::new(difference, now));
        pace.come(difference, now);
        let apart = signed(millis(now - pace.known_at) / DRIFT);
        let usual = pace.least.min(pace.before.saturating_add(apart));
        Duration::from_millis(u64::try_from(difference.saturating_sub(usual)).unwrap_or_default())
    }
}

impl Pace {
    fn new(difference: i64, now: Instant) -> Self {
        Self { since: now, least: difference, before: difference, known_at: now, came: now }
    }

    fn come(&mut self, difference: i64, now: Instant) {
        if now - self.since >= PERIOD {
            (self.before, self.known_at) = (self.least, self.came);
            (self.since, self.least) = (now, difference);
        }
        self.least = self.least.min(difference);
        self.came = now;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn sent(seconds: u64) -> Sent {
        Sent { by: 7, ms: seconds * 1_000 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_as_old_as_it_is_later_than_others_of_its_caller_whatever_that_ones_clock_shows() {
        let ages = Ages::default();
        assert_eq!(ages.of(sent(1_000_000)), Duration::ZERO, "nothing is known of who calls first");
        advance(5 * SECOND).await;
        assert_eq!(ages.of(sent(1_000_005)), Duration::ZERO);
        // It has lain somewhere; what was sent after it has not.
        advance(60 * SECOND).await;
        let age = ages.of(sent(1_000_005));
        assert!((59 * SECOND..=60 * SECOND).contains(&age), "{age:?}");
        assert_eq!(ages.of(sent(1_000_065)), Duration::ZERO);
        assert_eq!(ages.of(Sent { by: 8, ms: 0 }), Duration::ZERO, "another caller");
    }

    #[tokio::test(start_paused = true)]
    async fn clocks_that_go_apart_make_no_call_old() {
        let ages = Ages::default();
        for day in 0..100 {
            // Four seconds a day.
            assert!(ages.of(sent(day * 86_396)) <= SECOND, "day {day}");
            advance(86_400 * SECOND).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_whose_clock_was_stopped_with_its_machine_is_believed_again_soon() {
        let ages = Ages::default();
        ages.of(sent(10));
        advance(3_600 * SECOND).await;
        assert!(ages.of(sent(10)) > 3_500 * SECOND);
        for second in 1..30 {
            advance(SECOND).await;
            let age = ages.of(sent(10 + second));
            assert!(second < 5 || age == Duration::ZERO, "{age:?} after {second} seconds");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_processes_call_only_so_many_are_known() {
        let ages = Ages::default();
        for by in 0..MOST as u64 + 10 {
            advance(Duration::from_millis(1)).await;
            ages.of(Sent { by, ms: 0 });
        }
        assert_eq!(ages.callers.lock().len(), MOST);
        assert!(ages.callers.lock().contains_key(&(MOST as u64)));
    }
}
