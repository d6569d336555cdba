//! How a copy begins: the mark of one copying, by which it is known from every other one.

use std::time::Duration;

use ports::Record;
use types::log::{Control, LogRecord};
use types::time::unix_ms;
use uuid::Uuid;

/// What copying may take.
pub(super) const COPYING: Duration = Duration::from_secs(5 * 60);
/// Whoever has begun a copy has looked by then whether there is a record, and has waited for him to withdraw it who sees the copy.
const LOOKED: Duration = Duration::from_secs(10);
/// A copy that was begun so long ago and has no record is one that nobody makes any more.
const LEFT: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, PartialEq)]
pub(super) struct Mark {
    /// When the copy was begun, in Unix milliseconds; of one that an earlier release has begun it is not known.
    at: Option<u64>,
    /// The same.
    by: Option<Uuid>,
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

    pub(super) fn record(&self) -> LogRecord {
        LogRecord::Control(Control::Forked { at: self.at, by: self.by })
    }

    /// Whether nobody can be making the copy any more.
    pub(super) fn is_left(&self) -> bool {
        self.age().is_some_and(|age| age >= LEFT)
    }

    /// Whether whoever has begun the copy may yet find a record, and give way to it.
    pub(super) fn is_young(&self) -> bool {
        self.age().is_some_and(|age| age < LOOKED)
    }

    /// Whether it is known when the copy was begun.
    pub(super) const fn has_age(&self) -> bool {
        self.at.is_some()
    }

    fn age(&self) -> Option<Duration> {
        self.at.map(|at| Duration::from_millis(unix_ms().saturating_sub(at)))
    }
}

#[cfg(test)]
mod tests {
    use types::Seq;

    use super::*;

    #[test]
    fn a_copy_is_left_once_nobody_can_be_making_it() {
        let begun = |at: Option<u64>| Mark { at, by: None }.is_left();
        let ago = |passed: Duration| Some(unix_ms() - u64::try_from(passed.as_millis()).unwrap());
        assert!(begun(ago(LEFT)) && !begun(ago(COPYING)) && !begun(None));
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
