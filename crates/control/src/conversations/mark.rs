//! How a copy begins: the mark of one copying, by which it is known from every other one, and for how long it was seen here.
//!
//! Whether somebody makes the copy yet is told by how long its mark has been there on the clock of who looks, as whoever copies gives
//! up in time. When it was begun says nothing: that is by another machine's clock.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ports::{Record, Unchanged};
use types::LogId;
use types::log::{Control, LogRecord};
use types::time::unix_ms;
use uuid::Uuid;

/// What copying may take.
pub(super) const COPYING: Duration = Duration::from_secs(5 * 60);
/// A copy that was seen for so long and has no record is one that nobody makes any more.
pub const LEFT: Duration = Duration::from_secs(15 * 60);
/// Of that time, the part in which whoever has begun a copy looks whether there is a record, and waits for him to withdraw it who sees
/// the copy.
const LOOKING: u32 = 90;
/// Logs of which it is known since when they begin with their mark.
const MOST: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mark {
    /// In Unix milliseconds, for releases that go by it.
    at: Option<u64>,
    /// Of one that an earlier release has begun it is not known.
    by: Option<Uuid>,
}

/// The copies that were seen here.
pub(crate) struct Marks {
    left: Duration,
    seen: Mutex<HashMap<LogId, Unchanged<Mark>>>,
    own: Mutex<Vec<Mark>>,
}

/// For as long as this process makes a copy.
pub(super) struct Making<'a> {
    marks: &'a Marks,
    mark: Mark,
}

/// Who else may make copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Others {
    None,
    Some,
}

impl Mark {
    /// One that nothing has yet.
    pub(super) fn fresh() -> Self {
        Self { at: Some(unix_ms()), by: Some(Uuid::new_v4()) }
    }

    /// Of a log with this record in front, if it is a copy.
    pub(super) fn of(first: &Record) -> Option<Self> {
        match LogRecord::decode(&first.payload) {
            Ok(LogRecord::Control(Control::Forked { at, by })) => Some(Self { at, by }),
            _ => None,
        }
    }

    pub(super) fn record(self) -> LogRecord {
        LogRecord::Control(Control::Forked { at: self.at, by: self.by })
    }
}

impl Marks {
    /// A copy is left by whoever has begun it once it was seen for so long.
    pub(crate) fn new(left: Duration) -> Self {
        Self { left, seen: Mutex::default(), own: Mutex::default() }
    }

    pub(super) fn making(&self, mark: Mark) -> Making<'_> {
        self.own.lock().push(mark);
        Making { marks: self, mark }
    }

    /// Whether nobody can be making the copy any more.
    pub(super) fn is_left(&self, log: &LogId, mark: Mark, others: Others, now: Instant) -> bool {
        !self.is_own(mark) && (others == Others::None || self.age(log, mark, now) >= self.left)
    }

    /// Whether whoever has begun the copy may yet find a record, and give way to it.
    pub(super) fn is_young(&self, log: &LogId, mark: Mark, others: Others, now: Instant) -> bool {
        self.is_own(mark) || others == Others::Some && self.age(log, mark, now) < self.left / LOOKING
    }

    fn is_own(&self, mark: Mark) -> bool {
        self.own.lock().contains(&mark)
    }

    fn age(&self, log: &LogId, mark: Mark, now: Instant) -> Duration {
        let mut seen = self.seen.lock();
        if seen.len() >= MOST && !seen.contains_key(log) {
            // Those who wait for them wait anew.
            seen.clear();
        }
        seen.entry(log.clone()).or_default().age(mark, now)
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        let mut own = self.marks.own.lock();
        if let Some(index) = own.iter().position(|mark| *mark == self.mark) {
            own.swap_remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use types::{ConversationId, SandboxId, Seq};

    use super::*;

    fn log() -> LogId {
        LogId::conversation(&SandboxId::shared(), ConversationId::random())
    }

    #[test]
    fn a_copy_is_left_once_it_was_seen_for_long_whatever_the_clock_of_its_maker_said() {
        let (log, hour, start) = (log(), 3_600_000, Instant::now());
        for at in [None, Some(1), Some(unix_ms() - hour), Some(unix_ms() + hour)] {
            let (marks, mark) = (Marks::new(LEFT), Mark { at, by: None });
            let told = |passed| {
                let now = start + passed;
                let told = marks.is_left(&log, mark, Others::Some, now);
                (told, marks.is_young(&log, mark, Others::Some, now))
            };
            assert_eq!(told(Duration::ZERO), (false, true), "{at:?}");
            assert_eq!(told(LEFT / LOOKING), (false, false), "{at:?}");
            assert_eq!(told(COPYING), (false, false), "{at:?}");
            assert_eq!(told(LEFT), (true, false), "{at:?}");
            let another = Mark::fresh();
            assert!(!marks.is_left(&log, another, Others::Some, start + LEFT), "it has been begun since");
        }
    }

    #[test]
    fn what_is_made_here_is_not_left_and_what_nobody_else_can_make_is() {
        let (marks, log, mark, now) = (Marks::new(Duration::ZERO), log(), Mark::fresh(), Instant::now());
        let making = marks.making(mark);
        for others in [Others::None, Others::Some] {
            assert!(!marks.is_left(&log, mark, others, now) && marks.is_young(&log, mark, others, now));
        }
        drop(making);
        let marks = Marks::new(LEFT);
        assert!(
            marks.is_left(&log, mark, Others::None, now) && !marks.is_young(&log, mark, Others::None, now)
        );
    }

    #[test]
    fn what_was_seen_is_bounded() {
        let (marks, mark) = (Marks::new(LEFT), Mark::fresh());
        for _ in 0..=MOST {
            marks.age(&log(), mark, Instant::now());
        }
        assert!(marks.seen.lock().len() <= MOST);
    }

    #[test]
    fn a_mark_is_known_again_and_from_every_other_one() {
        let [one, other] = [Mark::fresh(), Mark::fresh()];
        let stored = Record { seq: Seq(1), payload: one.record().encode().unwrap().into() };
        assert_eq!(Mark::of(&stored), Some(one));
        assert_ne!(Mark::of(&stored), Some(other));
        assert_eq!(Mark::of(&Record { payload: "{}".into(), ..stored }), None);
    }
}
