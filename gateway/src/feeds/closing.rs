//! The snapshot that ends a client's wait for a run, and its repeats.
//!
//! A client listens for the snapshot only once it has read the answer to the call that started the run. After
//! a quick run the first snapshot comes too early for it, so it is sent again a little later: each time made
//! anew, and never once the conversation is driven again, for then it would end the wait for the next run.

use std::time::Duration;

use readmodel::index::ConversationState;
use tokio::time::Instant;
use types::conversation::Status;

const REPEATS: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1_500)];

/// A client that got its answer this long before the run's end listens by then.
const LISTENS_BY_THEN: Duration = Duration::from_secs(2);

/// The repeats that are still to come.
pub struct Repeats {
    ended: Instant,
    touches: u64,
    sent: usize,
}

impl Repeats {
    /// After a run that has ended just now; `None` when nobody can have missed its snapshot.
    pub fn after_run(entry: &ConversationState) -> Option<Self> {
        let listens = entry.pulse.run_answered().is_some_and(|at| at.elapsed() > LISTENS_BY_THEN);
        (!listens).then(|| Self { ended: Instant::now(), touches: entry.pulse.touches(), sent: 0 })
    }

    /// When the next one is due; `None` after the last.
    pub fn due(&self, entry: &ConversationState) -> Option<Instant> {
        let answered = entry.pulse.run_answered().map(Instant::from_std);
        let from = answered.map_or(self.ended, |answered| answered.max(self.ended));
        REPEATS.get(self.sent).map(|delay| from + *delay)
    }

    /// Whether the conversation is still as the run has left it.
    pub fn still_hold(&self, entry: &ConversationState) -> bool {
        entry.pulse.touches() == self.touches && entry.status() != Status::Running
    }

    pub fn sent(&mut self) {
        self.sent += 1;
    }
}
