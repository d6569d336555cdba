//! Whether the worker of a sandbox's newest instance still holds its lease.
//!
//! A store may drop leases that are not renewed, or keep them; so a lease counts for as long as its revision
//! keeps changing, on this process' own clock. A supervisor that has just begun gives every worker the time a
//! new one gets.

use std::time::{Duration, Instant};

use types::Epoch;
use types::buckets::{LEASES, lifetime};

/// What a started worker gets to take its lease.
pub const STARTING: Duration = Duration::from_secs(20);
/// What a lease that has run out gets on top: the worker may be about to renew it.
pub const GRACE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It holds its lease; without news it counts as lost after this time.
    Leased(Duration),
    /// It has none, and may take one within this time.
    Awaited(Duration),
    /// It had time to take one, and did not.
    Late,
    /// It had one, and does not renew it.
    Lost,
}

#[derive(Debug, Default)]
pub struct Pulse {
    heard: Option<Heard>,
}

#[derive(Debug)]
struct Heard {
    epoch: Epoch,
    /// Of the newest lease seen.
    revision: Option<u64>,
    deadline: Instant,
    /// Whether the last time that it was listened for there was another lease than before.
    is_fresh: bool,
}

impl Pulse {
    /// Whether the worker has shown life since it was listened for before: a lease outlives whoever had it.
    pub fn is_fresh(&self) -> bool {
        self.heard.as_ref().is_some_and(|heard| heard.is_fresh)
    }

    /// What has not run yet has its time to start still before it.
    pub fn defer(&mut self) {
        self.heard.take_if(|heard| heard.revision.is_none());
    }

    /// Takes note of the lease of `epoch`, by its revision.
    pub fn listen(&mut self, epoch: Epoch, lease: Option<u64>, now: Instant) -> Sign {
        let unheard = Heard { epoch, revision: None, deadline: now + STARTING, is_fresh: false };
        let heard = match self.heard.take() {
            Some(heard) if heard.epoch == epoch => heard,
            _ => unheard,
        };
        let heard = match (lease, heard.revision) {
            (Some(revision), last) if last != Some(revision) => {
                Heard { revision: lease, deadline: now + longest_silence(), is_fresh: true, ..heard }
            }
            (None, Some(_)) => Heard { deadline: heard.deadline.min(now + GRACE), is_fresh: false, ..heard },
            _ => Heard { is_fresh: false, ..heard },
        };
        let left = heard.deadline.saturating_duration_since(now);
        let had_lease = heard.revision.is_some();
        self.heard = Some(heard);
        match (left.is_zero(), lease) {
            (true, _) if had_lease => Sign::Lost,
            (true, _) => Sign::Late,
            (false, Some(_)) => Sign::Leased(left),
            (false, None) => Sign::Awaited(left),
        }
    }
}

fn longest_silence() -> Duration {
    lifetime(LEASES).unwrap_or_default() + GRACE
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_lease_that_stays_the_same_is_lost_after_its_time() {
        let (mut pulse, start) = (Pulse::default(), Instant::now());
        assert_eq!(pulse.listen(Epoch(1), Some(7), start), Sign::Leased(17 * SECOND));
        assert_eq!(pulse.listen(Epoch(1), Some(8), start + 5 * SECOND), Sign::Leased(17 * SECOND));
        assert_eq!(pulse.listen(Epoch(1), Some(8), start + 21 * SECOND), Sign::Leased(SECOND));
        assert_eq!(pulse.listen(Epoch(1), Some(8), start + 22 * SECOND), Sign::Lost);
    }

    #[test]
    fn a_lease_that_vanishes_is_lost_after_the_grace() {
        let (mut pulse, start) = (Pulse::default(), Instant::now());
        pulse.listen(Epoch(1), Some(7), start);
        assert_eq!(pulse.listen(Epoch(1), None, start + SECOND), Sign::Awaited(GRACE));
        assert_eq!(pulse.listen(Epoch(1), None, start + SECOND + GRACE), Sign::Lost);
    }

    #[test]
    fn a_new_incarnation_gets_the_time_to_start() {
        let (mut pulse, start) = (Pulse::default(), Instant::now());
        assert_eq!(pulse.listen(Epoch(1), None, start), Sign::Awaited(STARTING));
        assert_eq!(pulse.listen(Epoch(1), None, start + STARTING), Sign::Late);
        assert_eq!(pulse.listen(Epoch(2), None, start + STARTING), Sign::Awaited(STARTING));
    }
}
