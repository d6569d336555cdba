//! How busy the worker is: what an idle sandbox is paused by.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Counts what is under way. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    under_way: usize,
    last: Instant,
}

/// Something under way, until it is dropped.
#[derive(Debug)]
pub struct Busy(Activity);

impl Default for Activity {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { under_way: 0, last: Instant::now() })))
    }
}

impl Activity {
    #[must_use]
    pub fn begin(&self) -> Busy {
        self.state().under_way += 1;
        Busy(self.clone())
    }

    /// Since the last thing ended; zero while one is under way.
    #[must_use]
    pub fn idle_for(&self) -> Duration {
        let state = self.state();
        if state.under_way > 0 { Duration::ZERO } else { state.last.elapsed() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.under_way -= 1;
        state.last = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_idle_from_the_end_of_the_last_thing_under_way() {
        let activity = Activity::default();
        let (one, two) = (activity.begin(), activity.begin());
        drop(one);
        assert_eq!(activity.idle_for(), Duration::ZERO);
        drop(two);
        let first = activity.idle_for();
        assert!(activity.idle_for() >= first);
        assert!(first < Duration::from_secs(5));
    }
}
