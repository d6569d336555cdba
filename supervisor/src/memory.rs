//! What the supervisor remembers of one sandbox between two looks. Losing it costs patience, never safety.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use ports::Unchanged;
use types::{Epoch, SandboxId};

use crate::course::Course;
use crate::credentials::{AGAIN, RENEWAL};
use crate::driver::{Cause, InstanceState};
use crate::failures::Failures;
use crate::pulse::Pulse;
use crate::records::Record;
use crate::repeats::Repeats;
use crate::view::View;

#[derive(Debug, Default)]
pub struct Memory {
    pub failures: Failures,
    /// Of which it was not the cause.
    pub setbacks: Failures,
    pub pulse: Pulse,
    pub course: Course,
    /// The newest incarnation seen alive.
    pub seen: Option<Epoch>,
    /// The newest wake when it was looked at last.
    pub woken: u64,
    /// The newest incarnation that had its lease, and a wake that came before that.
    lived: Option<(Epoch, u64)>,
    /// The revision of what is wanted.
    wanted: Unchanged<Option<u64>>,
    unwanted_since: Option<Instant>,
    /// After a failure.
    retry_at: Option<Instant>,
    /// When the credentials of an incarnation are to be renewed.
    renewal: Option<(Epoch, Instant)>,
    pub repeats: Repeats,
    /// Whether nothing that goes wrong is its own fault now.
    pub is_excused: bool,
    /// The last outage that is known to it.
    outage: u64,
    /// Since when an incarnation waits for what it runs on, or, if that is true, for what it is to do.
    waiting: Option<((Epoch, bool), Instant)>,
    /// Since when an incarnation is being removed.
    leaving: Option<(Epoch, Instant)>,
    /// What might be the end of an incarnation.
    omen: Option<(Epoch, Cause)>,
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

    /// What is left of `limit` for an incarnation that waits. A new supervisor begins anew.
    pub fn patience(&mut self, view: &View, limit: Duration, now: Instant) -> Duration {
        let newest = view.newest_instance();
        let what = newest.and_then(|found| match found.state {
            InstanceState::Pending(_) => Some((found.instance.epoch, false)),
            InstanceState::Untold => Some((found.instance.epoch, true)),
            _ => None,
        });
        self.waiting.take_if(|(before, _)| Some(*before) != what);
        let Some(what) = what else { return limit };
        let (_, since) = *self.waiting.get_or_insert((what, now));
        limit.saturating_sub(now.saturating_duration_since(since))
    }

    /// How long the newest instance has been going, as far as was seen.
    pub fn leaving_for(&mut self, view: &View, now: Instant) -> Duration {
        let newest = view.newest_instance().filter(|found| found.state == InstanceState::Leaving);
        let leaving = newest.map(|found| found.instance.epoch);
        self.leaving.take_if(|(before, _)| Some(*before) != leaving);
        let Some(epoch) = leaving else { return Duration::ZERO };
        let (_, since) = *self.leaving.get_or_insert((epoch, now));
        now.saturating_duration_since(since)
    }

    /// Takes note of what may soon be the end of the newest incarnation.
    pub fn heed(&mut self, view: &View) {
        let Some(newest) = view.newest_instance() else { return };
        self.omen = match &newest.state {
            InstanceState::Doomed(cause) => Some((newest.instance.epoch, cause.clone())),
            // It goes for the reason that was known before.
            InstanceState::Leaving => self.omen.take().filter(|(epoch, _)| *epoch == newest.instance.epoch),
            _ => None,
        };
    }

    pub fn omen(&self, epoch: Epoch) -> Option<Cause> {
        self.omen.as_ref().filter(|(of, _)| *of == epoch).map(|(_, cause)| cause.clone())
    }

    /// Begins to listen anew where there was an outage since, in which nobody could renew anything.
    pub fn bear_with(&mut self, outages: u64) {
        if self.outage != outages {
            (self.outage, self.pulse) = (outages, Pulse::default());
        }
    }

    /// How long nobody has written what is wanted. One that is seen for the first time counts as just written.
    pub fn untouched_for(&mut self, view: &View, now: Instant) -> Duration {
        self.wanted.age(view.wanted.as_ref().and_then(Record::revision), now)
    }

    pub fn retry_after(&mut self, wait: Duration, now: Instant) {
        self.retry_at = Some(now + wait);
    }

    pub fn retry_in(&self, now: Instant) -> Duration {
        self.retry_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// The worker of an incarnation has shown life since it was looked at last. Whoever has woken it since then may have come later.
    pub fn lives(&mut self, epoch: Epoch) {
        self.lived = Some((epoch, self.woken));
    }

    /// The newest wake that a failure of an incarnation answers: none that may have come after it had lived.
    pub fn answered(&self, epoch: Epoch, view: &View) -> u64 {
        self.lived.filter(|(lived, _)| *lived == epoch).map_or_else(|| view.wakes(), |(_, wakes)| wakes)
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
