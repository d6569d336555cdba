//! What a call and its answer look like on the wire: `{v, sent_ms, sent, deadline_ms, traceparent?, body}` and
//! `{v, body}` or `{v, error}`.

use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use types::time::{millis, unix_ms};

use super::ages::Sent;
use super::{Code, Fault, Reason};
use crate::{LARGEST, Parcel};

/// Processes that speak another version do not understand each other.
pub const VERSION: u8 = 3;

#[derive(Serialize, Deserialize)]
pub(super) struct Request<T> {
    v: u8,
    /// When, in milliseconds since 1970 on the caller's clock: answerers of earlier releases look at it.
    #[serde(default)]
    sent_ms: u64,
    /// Callers of earlier releases do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Sent>,
    /// How long the caller waits.
    deadline_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    pub body: T,
}

#[derive(Serialize, Deserialize)]
struct Answer<T> {
    v: u8,
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    body: Option<T>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Version {
    v: u8,
}

impl<T: Serialize> Request<T> {
    pub fn write(body: T, traceparent: Option<String>, deadline: Duration) -> Result<Bytes, Fault> {
        let (sent_ms, sent, deadline_ms) = (unix_ms(), Some(Sent::now()), millis(deadline));
        let request = Self { v: VERSION, sent_ms, sent, deadline_ms, traceparent, body };
        serde_json::to_vec(&request).map(Bytes::from).map_err(Fault::internal)
    }
}

impl<T: DeserializeOwned> Request<T> {
    pub fn read(json: &[u8]) -> Result<Self, Fault> {
        match serde_json::from_slice::<Self>(json) {
            Ok(request) if request.v == VERSION => Ok(request),
            outcome => Err(other_release(json).unwrap_or_else(|| {
                let why = outcome.err().map_or_else(String::new, |error| error.to_string());
                Fault::new(Code::Invalid, "This is no call.").caused_by(why)
            })),
        }
    }
}

impl<T> Request<T> {
    /// How long its caller can still wait at most.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }
}

/// The answer as it is sent. What cannot be sent is a fault.
pub(super) fn answer<A: Serialize>(outcome: Result<(A, Bytes), Fault>) -> Parcel {
    let written = outcome.and_then(|(body, blob)| {
        let answer = Answer { v: VERSION, body: Some(body), error: None };
        let json = serde_json::to_vec(&answer).map_err(Fault::internal)?;
        match json.len().saturating_add(blob.len()) {
            size if size > LARGEST => Err(Reason::AnswerTooLarge.into()),
            _ => Ok(Parcel { json: json.into(), blob }),
        }
    });
    written.unwrap_or_else(|fault| refusal(&fault))
}

/// A fault as it is sent.
pub(super) fn refusal(fault: &Fault) -> Parcel {
    let answer = Answer::<()> { v: VERSION, body: None, error: Some(fault.clone()) };
    // Such a value always serializes.
    Parcel::json(serde_json::to_vec(&answer).unwrap_or_default())
}

/// What a bus answers by itself to a call it has no room for.
#[must_use]
pub fn overloaded() -> Parcel {
    refusal(&busy())
}

/// What a bus answers by itself to a call that reached somebody who had just stopped listening.
#[must_use]
pub fn departed() -> Parcel {
    refusal(&Reason::Unreachable.into())
}

pub(super) fn busy() -> Fault {
    Reason::Overloaded.into()
}

pub(super) fn read_answer<A: DeserializeOwned>(json: &[u8]) -> Result<A, Fault> {
    let envelope: Answer<A> = match serde_json::from_slice(json) {
        Ok(envelope) => envelope,
        Err(error) => return Err(other_release(json).unwrap_or_else(|| Fault::internal(error))),
    };
    match (envelope.body, envelope.error) {
        (_, Some(fault)) => Err(fault),
        _ if envelope.v != VERSION => Err(other_release(json).unwrap_or_else(busy)),
        (Some(body), None) => Ok(body),
        // `null` is a body too: that of calls which only succeed.
        (None, None) => serde_json::from_str("null").map_err(Fault::internal),
    }
}

fn other_release(json: &[u8]) -> Option<Fault> {
    let Version { v } = serde_json::from_slice(json).ok()?;
    (v != VERSION)
        .then(|| Fault::from(Reason::OtherRelease).caused_by(format_args!("version {v}, not {VERSION}")))
}
