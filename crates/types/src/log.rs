//! The records of a conversation's log: events, and control records that clients never see.

use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::brought::Brought;
use crate::content::Part;
use crate::ids::{Epoch, EventId};
use crate::stats::Usage;

/// One record. Written as one line of JSON: `{"n":0,"event":{…}}` or `{"control":{"type":…}}`.
/// `E` is what the event is read as: by default not at all.
#[derive(Debug)]
pub enum LogRecord<E = Box<RawValue>> {
    /// `n` is the event's index among the log's events, from 0: the `seq` of the session socket.
    Event {
        n: u64,
        event: E,
    },
    Control(Control),
}

/// What a worker notes for itself and for the gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Control {
    /// A new incarnation writes from here on; appends of an older one fail.
    Fence { epoch: Epoch },
    /// A run is over, whatever its outcome: sockets get their closing snapshot.
    RunEnded {},
    /// A model call was made.
    Usage(Usage),
    /// The models this conversation may call, so that `stats` names them before their first call.
    Models { usage_to_model: Vec<(String, String)> },
    /// HEAD is this event from here on, whatever was added last; without one it is before the first. What is added next hangs
    /// below it.
    Head { event: Option<EventId> },
    /// Before and behind what was copied from another conversation, which had a status, tags and a last message of its own.
    Forked {
        /// Of the one before it: when the copy was begun, in Unix milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<u64>,
        /// The same: which copying it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Uuid>,
    },
    /// In which order the parts of an answer came, where its events do not say it: of the answer whose first event this is.
    Answer { event: EventId, order: Vec<Part> },
    /// What stands before this was brought here from another server.
    Brought(Box<Brought>),
}

#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "E: Deserialize<'de>"))]
struct Line<E = Box<RawValue>> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    n: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<E>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    control: Option<Control>,
}

impl LogRecord {
    /// # Errors
    /// When `event` cannot be written as JSON.
    pub fn event<T: Serialize>(n: u64, event: &T) -> serde_json::Result<Self> {
        Ok(Self::Event { n, event: serde_json::value::to_raw_value(event)? })
    }

    /// # Errors
    /// Never for records made by this crate; the signature is that of the serializer.
    pub fn encode(self) -> serde_json::Result<Vec<u8>> {
        let line = match self {
            Self::Event { n, event } => Line { n: Some(n), event: Some(event), control: None },
            Self::Control(control) => Line { n: None, event: None, control: Some(control) },
        };
        serde_json::to_vec(&line)
    }

    /// Whether a stored record is one that no client sees: told by how we write them, without reading it.
    #[must_use]
    pub fn is_control(bytes: &[u8]) -> bool {
        bytes.starts_with(br#"{"control":"#)
    }

    /// Whether a log with this record in front is one that was begun before there was a record of its conversation: as a copy
    /// of another one, or brought from elsewhere, by a writer before all workers.
    #[must_use]
    pub fn is_claim(bytes: &[u8]) -> bool {
        let is_claim = |control: &Control| match control {
            Control::Forked { .. } => true,
            Control::Fence { epoch } => *epoch == Epoch::BEFORE_ALL_WORKERS,
            _ => false,
        };
        Self::is_control(bytes)
            && matches!(Self::decode(bytes), Ok(Self::Control(control)) if is_claim(&control))
    }

    /// # Errors
    /// When `bytes` are not a record.
    pub fn decode(bytes: &[u8]) -> serde_json::Result<Self> {
        Self::decode_as(bytes)
    }
}

impl<E> LogRecord<E> {
    /// Reads record and event in one pass. As a `&RawValue` the event stays where it is.
    ///
    /// # Errors
    /// When `bytes` are not a record whose event is an `E`.
    pub fn decode_as<'de>(bytes: &'de [u8]) -> serde_json::Result<Self>
    where
        E: Deserialize<'de>,
    {
        let line: Line<E> = serde_json::from_slice(bytes)?;
        match (line.n, line.event, line.control) {
            (Some(n), Some(event), None) => Ok(Self::Event { n, event }),
            (None, None, Some(control)) => Ok(Self::Control(control)),
            _ => Err(serde_json::Error::custom("a record is either an event with its index or a control")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back_as_they_were_written() {
        for text in [
            r#"{"n":3,"event":{"id":"x","kind":"FromTheFuture"}}"#,
            r#"{"control":{"type":"fence","epoch":2}}"#,
            r#"{"control":{"type":"run_ended"}}"#,
            r#"{"control":{"type":"head","event":"x"}}"#,
            r#"{"control":{"type":"head","event":null}}"#,
            r#"{"control":{"type":"answer","event":"x","order":[{"call":0},{"thinking":0},{"text":1}]}}"#,
            r#"{"control":{"type":"forked"}}"#,
            r#"{"control":{"type":"forked","at":1}}"#,
            r#"{"control":{"type":"forked","at":1,"by":"00000000-0000-4000-8000-000000000001"}}"#,
            concat!(
                r#"{"control":{"type":"brought","status":"paused","last_user_message_id":null,"leaf_event_id":"e","#,
                r#""stats":{"usage_to_metrics":{}},"announced":{},"meta":{"prompt":"1.0"},"state":{}}}"#
            ),
        ] {
            let record = LogRecord::decode(text.as_bytes()).unwrap();
            assert_eq!(LogRecord::is_control(text.as_bytes()), matches!(record, LogRecord::Control(_)));
            assert_eq!(String::from_utf8(record.encode().unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn a_torn_record_is_an_error() {
        assert!(LogRecord::decode(br#"{"n":3,"event":{"id":"#).is_err());
        assert!(LogRecord::decode(br#"{"n":3}"#).is_err());
    }
}
