//! What is asked, and what is answered.

use bytes::{Bytes, BytesMut};
use ports::Expect;
use serde::{Deserialize, Serialize};
use types::service::{AnswerTo, OfControlPlane, Service};
use types::subjects::STORAGE;

use crate::body::{Body, Digest};
use crate::message::{Lengths, LogMessage};

/// A log is named without its sandbox: that is in the subject of the call.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// The message's payload is the call's blob.
    Append {
        log: String,
        last: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lengths: Option<Lengths>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<Body>,
    },
    Messages {
        log: String,
        from: u64,
        limit: usize,
    },
    Last {
        log: String,
    },
    /// Drops the messages before `first`; not of conversations. No worker removes a log.
    Truncate {
        log: String,
        first: u64,
    },
    /// The names of the sandbox's bash logs.
    BashLogs,
    Piece {
        log: String,
        digest: Digest,
        index: u64,
    },
    /// The piece is the call's blob.
    PutPiece {
        log: String,
        digest: Digest,
        index: u64,
    },
    Lease,
    /// The value is the call's blob.
    PutLease(Expected),
}

impl Service for Question {
    const NAME: &'static str = STORAGE;

    fn only_reads(&self) -> bool {
        match self {
            Self::Messages { .. } | Self::Last { .. } | Self::BashLogs | Self::Piece { .. } | Self::Lease => {
                true
            }
            Self::Append { .. } | Self::Truncate { .. } | Self::PutPiece { .. } | Self::PutLease(_) => false,
        }
    }

    /// Who writes a log looks for its own records before it tries again, and a lease is renewed in a moment.
    fn is_told_once(&self) -> bool {
        false
    }
}

impl OfControlPlane for Question {}
impl AnswerTo<Question> for StorageAnswer {}

/// [`ports::Expect`], on the wire.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    Anything,
    Absent,
    Revision(u64),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StorageAnswer {
    /// The number of the message that was stored.
    Appended(u64),
    /// Their payloads are the answer's blob, end to end.
    Messages(Vec<Envelope>),
    Last(u64),
    Names(Vec<String>),
    Done,
    /// The piece is the answer's blob.
    Piece {
        found: bool,
    },
    /// The revision; the value is the answer's blob.
    Lease(Option<u64>),
    Revision(u64),
}

/// A message without its payload.
#[derive(Debug, Serialize, Deserialize)]
pub struct Envelope {
    number: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lengths: Option<Lengths>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Body>,
    payload: usize,
}

impl From<Expect> for Expected {
    fn from(expect: Expect) -> Self {
        match expect {
            Expect::Anything => Self::Anything,
            Expect::Absent => Self::Absent,
            Expect::Revision(revision) => Self::Revision(revision),
        }
    }
}

impl From<Expected> for Expect {
    fn from(expected: Expected) -> Self {
        match expected {
            Expected::Anything => Self::Anything,
            Expected::Absent => Self::Absent,
            Expected::Revision(revision) => Self::Revision(revision),
        }
    }
}

pub fn pack(messages: Vec<LogMessage>) -> (Vec<Envelope>, Bytes) {
    let mut blob = BytesMut::new();
    let envelopes = messages.into_iter().map(|message| {
        blob.extend_from_slice(&message.payload);
        let LogMessage { number, lengths, body, payload } = message;
        Envelope { number, lengths, body, payload: payload.len() }
    });
    (envelopes.collect(), blob.freeze())
}

/// `None` when the lengths do not fit the blob.
pub fn unpack(envelopes: Vec<Envelope>, mut blob: Bytes) -> Option<Vec<LogMessage>> {
    let messages = envelopes.into_iter().map(|Envelope { number, lengths, body, payload }| {
        let payload = (payload <= blob.len()).then(|| blob.split_to(payload))?;
        Some(LogMessage { number, lengths, body, payload })
    });
    messages.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back() {
        let message = |number, payload: &'static str| LogMessage {
            number,
            lengths: Lengths::parse("1,2"),
            body: Some(Body::of(b"x").unwrap()),
            payload: payload.into(),
        };
        let messages = vec![message(1, "abc"), message(2, ""), message(7, "d")];
        let (envelopes, blob) = pack(messages.clone());
        assert_eq!(unpack(envelopes, blob.clone()), Some(messages.clone()));
        let (envelopes, _) = pack(messages);
        assert_eq!(unpack(envelopes, blob.slice(1..)), None);
    }
}
