//! What is asked, and what is answered.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::archive::Value;
use crate::body::{Body, Digest};
use crate::message::LogMessage;

/// A log is named without its sandbox: that is in the subject of the call.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    Partitions,
    Messages {
        log: String,
        from: u64,
        limit: usize,
    },
    Last {
        log: String,
    },
    Delete {
        log: String,
    },
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
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Partitions(u64),
    /// Their payloads are the answer's blob, end to end.
    Messages(Vec<Envelope>),
    Last(u64),
    Done,
    /// The piece is the answer's blob.
    Piece {
        found: bool,
    },
    /// The value is the answer's blob.
    Lease(Option<Revision>),
}

/// A message without its payload.
#[derive(Debug, Serialize, Deserialize)]
pub struct Envelope {
    number: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lengths: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Body>,
    payload: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Revision {
    number: u64,
    has_value: bool,
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

pub fn split(value: Option<Value>) -> (Option<Revision>, Bytes) {
    let Some(Value { revision, bytes }) = value else { return (None, Bytes::new()) };
    (Some(Revision { number: revision, has_value: bytes.is_some() }), bytes.unwrap_or_default())
}

pub fn join(revision: Option<Revision>, blob: Bytes) -> Option<Value> {
    revision
        .map(|Revision { number, has_value }| Value { revision: number, bytes: has_value.then_some(blob) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back() {
        let message = |number, payload: &'static str| LogMessage {
            number,
            lengths: Some("1,2".to_owned()),
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
