//! A step that changes nothing is due again at once: it is taken again, and not at once.

use std::time::{Duration, Instant};

use ports::retry::Backoff;

use crate::decide::Step;

const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));

/// What came of the last step of one sandbox.
#[derive(Debug)]
pub struct Repeats {
    /// Until the look that follows it. Beside it, whether it could be taken.
    last: Option<(Step, bool)>,
    pauses: Backoff,
    not_before: Option<Instant>,
}

impl Default for Repeats {
    fn default() -> Self {
        Self { last: None, pauses: PAUSES, not_before: None }
    }
}

impl Repeats {
    pub fn taken(&mut self, step: Step, is_done: bool) {
        self.last = Some((step, is_done));
    }

    /// How long the step that is due has to wait, if it has. A pause begins with the look that follows a step: the time which
    /// that has taken is none.
    pub fn pause(&mut self, due: &Step, now: Instant) -> Option<Duration> {
        if let Some((last, is_done)) = self.last.take() {
            // Each refusal is the answer to another wake.
            let is_new = last != *due || matches!(due, Step::Refuse(..));
            if is_done && is_new {
                *self = Self::default();
            } else {
                self.not_before = Some(now + self.pauses.pause());
            }
        }
        let left = self.not_before?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Nothing is due.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}
