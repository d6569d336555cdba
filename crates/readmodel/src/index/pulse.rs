//! When clients drove a conversation: what the repeats of a closing snapshot depend on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
/// How long a snapshot that was sent takes, at most, to be read by a client.
const SETTLING: Duration = Duration::from_millis(25);

#[derive(Default)]
pub struct Pulse {
    touches: AtomicU64,
    times: Mutex<Times>,
}

#[derive(Default)]
struct Times {
    run_answered: Option<Instant>,
    repeated: Option<Instant>,
}

impl Pulse {
    /// A client begins to drive the conversation: repeats of older snapshots must stop.
    pub fn touch(&self) {
        self.touches.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts touches.
    #[must_use]
    pub fn touches(&self) -> u64 {
        self.touches.load(Ordering::SeqCst)
    }

    /// A call that may have started a run is being answered now.
    pub fn answered(&self) {
        self.times.lock().run_answered = Some(Instant::now());
    }

    /// When the newest such call was answered.
    #[must_use]
    pub fn run_answered(&self) -> Option<Instant> {
        self.times.lock().run_answered
    }

    /// A closing snapshot goes out once more.
    pub fn repeated(&self) {
        self.times.lock().repeated = Some(Instant::now());
    }

    /// What is left until a repeat that has gone out has surely been read. A client that gets the answer to
    /// its call earlier could take that repeat for the end of the run it has just started.
    #[must_use]
    pub fn until_settled(&self) -> Duration {
        let repeated = self.times.lock().repeated;
        repeated.map_or(Duration::ZERO, |at| SETTLING.saturating_sub(at.elapsed()))
    }
}
