//! Whether there are gateways that serve workers. Leases are renewed through them: only while they serve, one that is not
//! renewed says something about its worker.

use std::time::{Duration, Instant};

use ports::mutants::{self, Mutant};
use types::buckets::SERVING_EVERY;

/// Several of their notes that did not come.
const SILENCE: Duration = SERVING_EVERY.saturating_mul(3);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Service {
    Served,
    /// There was a note since the last look, which is long ago: perhaps it was the last.
    #[default]
    Unsure,
    Away,
}

/// Their note, as it was seen from look to look.
#[derive(Debug, Default)]
pub struct Deputies {
    last: Option<Note>,
    service: Service,
}

#[derive(Debug)]
struct Note {
    revision: u64,
    since: Instant,
    looked: Instant,
}

impl Deputies {
    /// Takes note of the revision that is there.
    pub fn look(&mut self, revision: Option<u64>, now: Instant) -> Service {
        if mutants::is(Mutant::LostWithoutDeputies) {
            return Service::Served;
        }
        let last = self.last.take();
        let Some(revision) = revision else {
            self.service = Service::Away;
            return self.service;
        };
        let is_same = last.as_ref().is_some_and(|last| last.revision == revision);
        let is_soon = last.as_ref().is_some_and(|last| now.duration_since(last.looked) <= SILENCE);
        let since = last.filter(|_| is_same).map_or(now, |last| last.since);
        self.service = match is_same {
            true if now.duration_since(since) >= SILENCE => Service::Away,
            true => self.service,
            false if is_soon => Service::Served,
            false => Service::Unsure,
        };
        self.last = Some(Note { revision, since, looked: now });
        self.service
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_serve_only_as_long_as_their_note_is_known_to_be_young() {
        let (mut deputies, start, second) = (Deputies::default(), Instant::now(), Duration::from_secs(1));
        let mut look = |revision, seconds: u32| deputies.look(revision, start + seconds * second);
        assert_eq!(look(Some(1), 0), Service::Unsure);
        assert_eq!(look(Some(2), 2), Service::Served);
        assert_eq!(look(Some(2), 5), Service::Served);
        assert_eq!(look(Some(2), 8), Service::Away);
        assert_eq!(look(Some(2), 60), Service::Away);
        assert_eq!(look(Some(9), 61), Service::Served);
        assert_eq!(look(Some(15), 78), Service::Unsure, "it may have been written long before this look");
        assert_eq!(look(Some(15), 79), Service::Unsure);
        assert_eq!(look(Some(16), 80), Service::Served);
        assert_eq!(look(None, 81), Service::Away);
    }
}
