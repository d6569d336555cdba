//! What the supervisor remembers of one sandbox between two looks. Losing it costs patience, never safety.

use std::time::{Duration, Instant};

use types::Epoch;

use crate::course::Course;
use crate::credentials::RENEWAL;
use crate::failures::Failures;
use crate::pulse::Pulse;

#[derive(Debug, Default)]
pub struct Memory {
    pub failures: Failures,
    pub pulse: Pulse,
    pub course: Course,
    /// The newest incarnation seen alive.
    pub seen: Option<Epoch>,
    unwanted_since: Option<Instant>,
    minted: Option<(Epoch, Instant)>,
    /// After a step that could not be taken.
    pub not_before: Option<Instant>,
}

impl Memory {
    /// How long it has been there without anybody wanting it.
    pub fn unwanted_for(&mut self, is_wanted: bool, now: Instant) -> Duration {
        if is_wanted {
            self.unwanted_since = None;
            return Duration::ZERO;
        }
        now.saturating_duration_since(*self.unwanted_since.get_or_insert(now))
    }

    pub fn minted(&mut self, epoch: Epoch, now: Instant) {
        self.minted = Some((epoch, now));
    }

    /// Also for a worker that was started by another supervisor: nobody here knows how old its credentials are.
    pub fn renewal_is_due(&self, epoch: Epoch, now: Instant) -> bool {
        self.minted.is_none_or(|(of, at)| of != epoch || now.duration_since(at) >= RENEWAL)
    }
}
