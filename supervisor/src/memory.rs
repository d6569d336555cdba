//! What the supervisor remembers of one sandbox between two looks. Losing it costs patience, never safety.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use types::{Epoch, SandboxId};

use crate::course::Course;
use crate::credentials::{AGAIN, RENEWAL};
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
    /// When the credentials of an incarnation are to be renewed.
    renewal: Option<(Epoch, Instant)>,
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
        self.renewal = Some((epoch, now + RENEWAL));
    }

    pub fn not_renewed(&mut self, epoch: Epoch, now: Instant) {
        self.renewal = Some((epoch, now + AGAIN));
    }

    /// For a worker that was started by another supervisor within the hour: nobody here knows how old its credentials are,
    /// and not all of a cluster are to sign in anew at once.
    pub fn renewal_is_due(&mut self, sandbox: &SandboxId, epoch: Epoch, now: Instant) -> bool {
        let (of, at) = *self.renewal.get_or_insert_with(|| (epoch, now + share(sandbox)));
        if of != epoch {
            self.renewal = Some((epoch, now + share(sandbox)));
        }
        of == epoch && now >= at
    }
}

/// Of the hour in which all workers are, one's own moment.
fn share(sandbox: &SandboxId) -> Duration {
    let mut hasher = DefaultHasher::new();
    sandbox.hash(&mut hasher);
    Duration::from_secs(hasher.finish() % AGAIN.as_secs())
}
