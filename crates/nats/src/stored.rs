//! A stored message, as the two ways of reading one tell it.
//!
//! A direct get is answered by any server that has the stream, one that lags behind included: it says the same of what it
//! does not know yet as of what is not there. The stream's leader is asked with `STREAM.MSG.GET`, and knows.

use std::str::FromStr;

use async_nats::header::{HeaderName, HeaderValue};
use async_nats::{HeaderMap, Message};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use ports::{Error, Result};
use serde::Deserialize;

pub const SEQUENCE: &str = "Nats-Sequence";
const SUBJECT: &str = "Nats-Subject";
/// The position of what comes before a message: in a batch, or, of one that is published, on its subject.
pub const BEFORE: &str = "Nats-Last-Sequence";
const STORED_AT: &str = "Nats-Time-Stamp";

/// A stored message.
#[derive(Debug)]
pub struct Raw {
    pub subject: String,
    /// Its position in the stream.
    pub seq: u64,
    pub headers: HeaderMap,
    pub payload: Bytes,
    /// By the server's clock.
    pub stored_at: String,
}

/// What a leader answers, with everything in base64.
#[derive(Deserialize)]
pub struct Told {
    subject: String,
    seq: u64,
    time: String,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
}

impl Raw {
    /// From a direct get. `None` when the answer says that there is no (further) message.
    pub fn of(answer: Message) -> Result<Option<Self>> {
        match answer.status.map(|status| status.as_u16()) {
            None => {}
            Some(204 | 404) => return Ok(None),
            Some(status) => {
                let why = answer.description.unwrap_or_default();
                return Err(Error::Unavailable(format!("a direct get was answered {status}: {why}")));
            }
        }
        let headers = answer.headers.unwrap_or_default();
        let text = |name| last_header(&headers, name).map(str::to_owned);
        match (text(SUBJECT), number(&headers, SEQUENCE), text(STORED_AT).unwrap_or_default()) {
            (Some(subject), Some(seq), stored_at) => {
                Ok(Some(Self { subject, seq, headers, payload: answer.payload, stored_at }))
            }
            _ => Err(Error::Internal("a message without its position".to_owned())),
        }
    }

    /// By the clocks of whichever servers have stored the two.
    pub fn is_older_than(&self, other: &Self) -> bool {
        // Without the letter at their end, such times are in the order of their texts, however many digits they have.
        self.stored_at.trim_end_matches('Z') < other.stored_at.trim_end_matches('Z')
    }

    /// From the stream's leader.
    pub fn told(told: Told) -> Result<Self> {
        let bytes = |text: &str| {
            let decoded = BASE64.decode(text);
            decoded.map_err(|error| Error::Internal(format!("a stored message cannot be read: {error}")))
        };
        let Told { subject, seq, time, hdrs, data } = told;
        let headers = headers(&bytes(&hdrs)?);
        Ok(Self { subject, seq, headers, payload: bytes(&data)?.into(), stored_at: time })
    }
}

/// `NATS/1.0`, then one header a line.
fn headers(block: &[u8]) -> HeaderMap {
    let text = String::from_utf8_lossy(block);
    let mut headers = HeaderMap::new();
    for (name, value) in text.split("\r\n").skip(1).filter_map(|line| line.split_once(':')) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_str(name), HeaderValue::from_str(value.trim())) {
            headers.append(name, value);
        }
    }
    headers
}

/// The server puts its own headers after those of whoever published, so only the last one is true.
pub fn last_header<'a>(headers: &'a HeaderMap, name: &'static str) -> Option<&'a str> {
    headers.get_last(name).map(|value| value.as_str())
}

pub fn number(headers: &HeaderMap, name: &'static str) -> Option<u64> {
    last_header(headers, name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_of_two_is_known_by_whatever_digits_their_times_have() {
        let at = |time: &str| Raw {
            subject: String::new(),
            seq: 1,
            headers: HeaderMap::new(),
            payload: Bytes::new(),
            stored_at: format!("2026-11-29T03:00:{time}Z"),
        };
        let times = ["09", "10", "10.000000001", "10.1", "10.12", "10.120000001", "10.2", "11"];
        for (index, time) in times.iter().enumerate() {
            for (other_index, other) in times.iter().enumerate() {
                assert_eq!(at(time).is_older_than(&at(other)), index < other_index, "{time} and {other}");
            }
        }
    }

    #[test]
    fn what_a_leader_tells_is_the_message_that_was_stored() {
        let told = |hdrs: &str| Told {
            subject: "mh.evt.0.a.b".to_owned(),
            seq: 7,
            time: "2026-11-29T03:00:00Z".to_owned(),
            hdrs: BASE64.encode(hdrs),
            data: BASE64.encode("payload"),
        };
        let raw = Raw::told(told("NATS/1.0\r\nMh-Records: 3,4\r\nTwice: 1\r\nTwice: 2\r\n\r\n")).unwrap();
        assert_eq!((raw.subject.as_str(), raw.seq, raw.payload), ("mh.evt.0.a.b", 7, "payload".into()));
        assert_eq!(last_header(&raw.headers, "Mh-Records"), Some("3,4"));
        assert_eq!(last_header(&raw.headers, "Twice"), Some("2"));
        assert!(Raw::told(told("")).unwrap().headers.is_empty());
        assert!(Raw::told(Told { data: "?".to_owned(), ..told("") }).is_err());
    }
}
