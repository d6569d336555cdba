//! Whose the records of a log are, as far as they tell.

use serde::{Deserialize, Serialize};

use crate::ids::Epoch;
use crate::log::{Control, LogRecord};

/// Whether what is in the log of a conversation may be of another one: see `control/conversations/copy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Nobody has said: the log tells, to whoever reads it.
    #[default]
    Unknown,
    /// It was begun to be brought from another server.
    Begun,
    /// All of it is its own: a worker has begun it, or it was brought as a whole.
    Own,
}

impl Origin {
    /// After one more record.
    #[must_use]
    pub(super) fn after<E>(self, record: &LogRecord<E>, is_first: bool) -> Self {
        match (self, record) {
            (_, LogRecord::Control(Control::Fence { epoch }))
                if *epoch == Epoch::BEFORE_ALL_WORKERS && is_first =>
            {
                Self::Begun
            }
            (_, LogRecord::Control(Control::Forked { .. })) if is_first => Self::Unknown,
            (_, _) if is_first => Self::Own,
            (Self::Begun, LogRecord::Control(Control::Brought(_))) => Self::Own,
            // A worker has written before all was brought.
            (Self::Begun, LogRecord::Control(Control::Fence { .. })) => Self::Unknown,
            (known, _) => known,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(records: &[&str]) -> Origin {
        let read = records.iter().map(|record| LogRecord::decode(record.as_bytes()).unwrap());
        read.enumerate().fold(Origin::default(), |origin, (at, record)| origin.after(&record, at == 0))
    }

    #[test]
    fn what_a_worker_has_begun_or_was_brought_as_a_whole_is_its_own_and_all_else_is_to_be_read() {
        let [worker, begun] =
            [1, 0].map(|epoch| format!(r#"{{"control":{{"type":"fence","epoch":{epoch}}}}}"#));
        let (worker, begun) = (worker.as_str(), begun.as_str());
        let (event, copied) = (r#"{"n":0,"event":{}}"#, r#"{"control":{"type":"forked"}}"#);
        let whole = r#"{"control":{"type":"brought"}}"#;
        assert_eq!(of(&[worker, event, copied]), Origin::Own);
        assert_eq!(of(&[begun, event]), Origin::Begun);
        assert_eq!(of(&[begun, event, whole, worker]), Origin::Own);
        assert_eq!(of(&[begun, event, worker, whole]), Origin::Unknown);
        assert_eq!(of(&[copied, event, whole, copied, worker]), Origin::Unknown);
    }
}
