//! A step that changes nothing, or cannot be taken, is due again at once: it is taken again, and not at once. Others, for
//! which something has changed meanwhile, wait for nothing. One that loses against somebody who writes the same record is
//! taken again at once, and one that loses again is not: against a store that is ill, every look would do that.

use std::mem::{Discriminant, discriminant};
use std::time::{Duration, Instant};

use ports::retry::Backoff;

use crate::decide::Step;

const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
const APART: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));

/// What came of the last steps of one sandbox.
#[derive(Debug)]
pub struct Repeats {
    /// Until the look that follows it. Beside it, whether it could be taken.
    last: Option<(Step, bool)>,
    pauses: Backoff,
    /// When steps of a kind may be taken again.
    not_before: Vec<(Discriminant<Step>, Instant)>,
    losses: Losses,
}

/// Steps, one after the other, that lost against somebody else.
#[derive(Debug)]
struct Losses {
    /// Since a look has followed the last of them, that too.
    known: usize,
    count: usize,
    pauses: Backoff,
    not_before: Option<Instant>,
}

impl Default for Repeats {
    fn default() -> Self {
        Self { last: None, pauses: PAUSES, not_before: Vec::new(), losses: Losses::default() }
    }
}

impl Default for Losses {
    fn default() -> Self {
        Self { known: 0, count: 0, pauses: APART, not_before: None }
    }
}

impl Repeats {
    pub fn taken(&mut self, step: Step, is_done: bool) {
        self.last = Some((step, is_done));
        self.losses = Losses::default();
    }

    /// Somebody else was faster.
    pub fn lost(&mut self) {
        self.losses.count += 1;
    }

    /// How long the step that is due has to wait, if it has. A pause begins with the look that follows a step: the time which
    /// that has taken is none.
    pub fn pause(&mut self, due: &Step, now: Instant) -> Option<Duration> {
        if let Some((last, is_done)) = self.last.take() {
            // Each refusal is the answer to another wake.
            let is_new = last != *due || matches!(due, Step::Refuse(..));
            self.not_before.retain(|(kind, _)| *kind != discriminant(&last));
            if !is_done || !is_new {
                self.not_before.push((discriminant(&last), now + self.pauses.pause()));
            } else if self.not_before.is_empty() {
                self.pauses = PAUSES;
            }
        }
        let of_its_kind = self.not_before.iter().find(|(kind, _)| *kind == discriminant(due));
        let until = of_its_kind.map(|(_, until)| *until).max(self.losses.pause(now))?;
        let left = until.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Nothing is due.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

impl Losses {
    fn pause(&mut self, now: Instant) -> Option<Instant> {
        if std::mem::replace(&mut self.known, self.count) < self.count && self.count > 1 {
            self.not_before = Some(now + self.pauses.pause());
        }
        self.not_before
    }
}

#[cfg(test)]
mod tests {
    use types::Epoch;

    use super::*;

    #[test]
    fn a_step_that_cannot_be_taken_holds_up_no_other_and_two_such_do_not_take_turns_at_once() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        repeats.taken(Step::Erase, false);
        assert_eq!(repeats.pause(&Step::Start(Epoch(2)), now), None, "it was woken meanwhile");
        assert!(repeats.pause(&Step::Erase, now).is_some());
        repeats.taken(Step::Start(Epoch(2)), false);
        assert!(repeats.pause(&Step::Erase, now).is_some());
        assert!(repeats.pause(&Step::Start(Epoch(3)), now).is_some(), "the next try of the same");
    }

    #[test]
    fn a_step_that_is_done_at_last_is_paused_no_more() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        for _ in 0..3 {
            repeats.taken(Step::Start(Epoch(1)), false);
            assert!(repeats.pause(&Step::Start(Epoch(1)), now).is_some());
        }
        repeats.taken(Step::Start(Epoch(1)), true);
        assert_eq!(repeats.pause(&Step::Erase, now), None);
        assert_eq!(repeats.pause(&Step::Start(Epoch(2)), now), None);
    }

    #[test]
    fn who_loses_once_goes_on_at_once_and_who_loses_again_and_again_waits_longer_each_time() {
        let (mut repeats, mut now, due) = (Repeats::default(), Instant::now(), Step::Start(Epoch(1)));
        repeats.lost();
        assert_eq!(repeats.pause(&due, now), None);
        let mut before = Duration::ZERO;
        for _ in 0..3 {
            repeats.lost();
            let left = repeats.pause(&due, now).unwrap();
            assert!(left > before && left <= Duration::from_secs(1), "{before:?} {left:?}");
            assert_eq!(repeats.pause(&due, now), Some(left), "another look makes it no longer");
            (before, now) = (left, now + left);
            assert_eq!(repeats.pause(&due, now), None);
        }
        repeats.taken(due, true);
        repeats.lost();
        assert_eq!(repeats.pause(&Step::Erase, now), None, "the first in a row again");
    }
}
