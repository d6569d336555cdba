//! How busy the worker is: what an idle sandbox is paused by, and whether it may be stopped now.
//!
//! Whoever has a sandbox paused knows of its worker what stood in its last lease, which may be seconds old. So the lease
//! counts the calls that have come, and before the worker is stopped it is asked to rest, with that count: it does so only
//! if no other call has come since, and takes none from then on. One place, and one lock, decide between a call and a pause.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ports::rpc::{Code, Fault};

/// Counts what is under way. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    under_way: usize,
    last: Instant,
    calls: u64,
    rests: bool,
}

/// Something under way, until it is dropped.
#[derive(Debug)]
pub struct Busy(Activity);

impl Default for Activity {
    fn default() -> Self {
        let state = State { under_way: 0, last: Instant::now(), calls: 0, rests: false };
        Self(Arc::new(Mutex::new(state)))
    }
}

impl Activity {
    #[must_use]
    pub fn begin(&self) -> Busy {
        self.0.lock().under_way += 1;
        Busy(self.clone())
    }

    /// A call has come.
    ///
    /// # Errors
    /// `Absent` once the worker rests: the next one will take it.
    pub fn call(&self) -> Result<Busy, Fault> {
        let mut state = self.0.lock();
        if state.rests {
            return Err(Fault::new(Code::Absent, "The worker is about to stop."));
        }
        state.calls += 1;
        state.under_way += 1;
        Ok(Busy(self.clone()))
    }

    /// How many calls have come.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.0.lock().calls
    }

    /// Takes no more calls, if none has come after the first `calls`. Whether it does so.
    pub fn rest_after(&self, calls: u64) -> bool {
        let mut state = self.0.lock();
        state.rests |= state.calls == calls;
        state.rests
    }

    /// Since the last thing ended; zero while one is under way.
    #[must_use]
    pub fn idle_for(&self) -> Duration {
        let state = self.0.lock();
        if state.under_way > 0 { Duration::ZERO } else { state.last.elapsed() }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
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

    #[test]
    fn a_worker_rests_only_if_no_call_has_come_that_is_not_known() {
        let activity = Activity::default();
        drop(activity.call().unwrap());
        assert!(!activity.rest_after(0));
        let busy = activity.call().unwrap();
        assert!(!activity.rest_after(1) && activity.rest_after(2), "it is known, also while it is under way");
        assert_eq!(activity.call().unwrap_err().code, Code::Absent);
        assert!(activity.rest_after(2), "whoever asks again is told the same");
        drop(busy);
        assert_eq!(activity.calls(), 2);
    }
}
