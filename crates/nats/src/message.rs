//! How records are put into messages of a stream.
//!
//! The records of one append are one message, so that they are stored together, synced once and acknowledged
//! once. Several are laid end to end, and a header gives their lengths; large ones lie aside as a [`Body`].
//!
//! Each record has a position of its own: the last one of message `n` is at `n * FAN`, the one before it one
//! less, and so on. So a log's tail is always a multiple of `FAN`, and an append after anything else is refused
//! before the server is asked.

use std::fmt;

use async_nats::HeaderMap;
use bytes::{Bytes, BytesMut};
use ports::{Error, Record, Result};
use serde::{Deserialize, Serialize};
use types::Seq;

use crate::body::Body;
use crate::stored::{Raw, last_header};

/// The most records of one message.
pub const FAN: u64 = 4_096;
const LENGTHS: &str = "Mh-Records";
const BODY: &str = "Mh-Body";

/// How long the records of a message are, in order; at most [`FAN`] of them. As text they are parted by commas. What
/// others have written is read into this at the door, and goes on as text of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lengths(Vec<usize>);

impl Lengths {
    pub fn parse(text: &str) -> Option<Self> {
        let numbers = text.split(',').map(|length| length.parse().ok());
        let lengths: Vec<usize> = numbers.take(FAN as usize + 1).collect::<Option<_>>()?;
        (lengths.len() as u64 <= FAN).then_some(Self(lengths))
    }

    /// The records of a message with these bytes; `None` where the lengths do not fit them.
    fn split(&self, mut bytes: Bytes) -> Option<Vec<Bytes>> {
        let sum = self.0.iter().try_fold(0_usize, |sum, length| sum.checked_add(*length));
        (sum == Some(bytes.len())).then(|| self.0.iter().map(|length| bytes.split_to(*length)).collect())
    }
}

impl fmt::Display for Lengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, length) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{length}")?;
        }
        Ok(())
    }
}

impl From<Lengths> for String {
    fn from(lengths: Lengths) -> Self {
        lengths.to_string()
    }
}

impl TryFrom<String> for Lengths {
    type Error = &'static str;

    fn try_from(text: String) -> std::result::Result<Self, Self::Error> {
        Self::parse(&text).ok_or("these are no lengths of records")
    }
}

/// A message of a log, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogMessage {
    /// Its position in the stream.
    pub number: u64,
    /// `None`: it is one record.
    pub lengths: Option<Lengths>,
    /// Where its bytes are, if not in the payload.
    pub body: Option<Body>,
    pub payload: Bytes,
}

/// A message to be stored.
pub struct NewMessage {
    pub lengths: Option<Lengths>,
    pub body: Option<Body>,
    pub payload: Bytes,
}

/// What a message needs beside its bytes: subject, headers and index.
const OVERHEAD: u64 = 512;
const SMALLEST_PIECE: u64 = 64 << 10;
/// What a log is counted as beside its messages: the server keeps each in memory, so a sandbox must not have millions.
pub const LOG_WEIGHT: u64 = 16 << 10;

/// What each of several records is counted as beside its bytes: whoever reads the log takes each in its turn, and an empty
/// one takes hardly any room.
const RECORD_WEIGHT: u64 = 64;

/// What a message is counted as: about the bytes that it needs on the server's disk.
fn weight(lengths: Option<&Lengths>, payload: &[u8]) -> u64 {
    OVERHEAD + RECORD_WEIGHT * lengths.map_or(0, |lengths| lengths.0.len() as u64) + payload.len() as u64
}

/// The same of a piece of a body. Each has a subject of its own, which the server keeps in memory: so a small one counts
/// as a larger one.
pub fn piece_weight(piece: &[u8]) -> u64 {
    OVERHEAD + (piece.len() as u64).max(SMALLEST_PIECE)
}

impl NewMessage {
    pub fn weight(&self) -> u64 {
        weight(self.lengths.as_ref(), &self.payload)
    }

    /// Its records, where they are not aside.
    pub fn shown(&self) -> Vec<Bytes> {
        match self.body {
            Some(_) => Vec::new(),
            None => self.split(self.payload.clone()).unwrap_or_default(),
        }
    }

    /// Its records, where its bytes, wherever they are, are `bytes`; `None` where its lengths do not fit them.
    pub fn split(&self, bytes: Bytes) -> Option<Vec<Bytes>> {
        match &self.lengths {
            Some(lengths) => lengths.split(bytes),
            None => Some(vec![bytes]),
        }
    }
}

/// Several records as one message.
pub struct Packed {
    pub lengths: Option<Lengths>,
    pub bytes: Bytes,
}

impl LogMessage {
    pub fn of(raw: Raw) -> Self {
        Self::from_parts(raw.seq, &raw.headers, raw.payload)
    }

    pub fn from_parts(number: u64, headers: &HeaderMap, payload: Bytes) -> Self {
        let lengths = last_header(headers, LENGTHS).and_then(Lengths::parse);
        let body = last_header(headers, BODY).and_then(Body::parse);
        Self { number, lengths, body, payload }
    }

    pub fn weight(&self) -> u64 {
        weight(self.lengths.as_ref(), &self.payload)
    }

    pub fn headers(lengths: Option<&Lengths>, body: Option<&Body>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(lengths) = lengths {
            headers.insert(LENGTHS, lengths.to_string());
        }
        if let Some(body) = body {
            headers.insert(BODY, body.to_string());
        }
        headers
    }

    /// The records of a message whose bytes, wherever they were, are `bytes`. Lengths that do not fit them are
    /// not believed: a worker wrote them.
    pub fn records(&self, bytes: Bytes) -> Vec<Record> {
        let records = self.lengths.as_ref().and_then(|lengths| lengths.split(bytes.clone()));
        let records = records.unwrap_or_else(|| vec![bytes]);
        let seqs = positions(self.number, records.len());
        seqs.zip(records).map(|(seq, payload)| Record { seq, payload }).collect()
    }
}

/// # Errors
/// `Internal` for more records than fit.
pub fn pack(records: &[Bytes]) -> Result<Packed> {
    if let [only] = records {
        return Ok(Packed { lengths: None, bytes: only.clone() });
    }
    if records.len() as u64 > FAN {
        return Err(Error::Internal(format!("{} records in one append", records.len())));
    }
    let mut bytes = BytesMut::with_capacity(records.iter().map(Bytes::len).sum());
    records.iter().for_each(|record| bytes.extend_from_slice(record));
    let lengths = Lengths(records.iter().map(Bytes::len).collect());
    Ok(Packed { lengths: Some(lengths), bytes: bytes.freeze() })
}

/// Of the `count` records of message `number`, in order.
pub fn positions(number: u64, count: usize) -> impl Iterator<Item = Seq> {
    let last = number.saturating_mul(FAN);
    (0..count as u64).rev().map(move |after| Seq(last.saturating_sub(after)))
}

/// The position of message `number`'s last record.
pub fn end_of(number: u64) -> Seq {
    Seq(number.saturating_mul(FAN))
}

/// The message that ends at `seq`; `None` where none can.
pub fn ending_at(seq: Seq) -> Option<u64> {
    seq.0.is_multiple_of(FAN).then_some(seq.0 / FAN)
}

/// The message whose record may be at `seq`; 0 for none.
pub fn holding(seq: Seq) -> u64 {
    seq.0.div_ceil(FAN)
}

/// The first message that may have a record after `seq`.
pub fn first_after(seq: Seq) -> u64 {
    seq.0 / FAN + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u64, lengths: Option<&str>) -> LogMessage {
        LogMessage { number, lengths: lengths.and_then(Lengths::parse), body: None, payload: Bytes::new() }
    }

    #[test]
    fn records_come_back_at_their_positions() {
        let texts = ["a", "", "ccc"];
        let records: Vec<Bytes> = texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect();
        let packed = pack(&records).unwrap();
        let entries = LogMessage { lengths: packed.lengths, ..message(2, None) }.records(packed.bytes);
        let seqs: Vec<u64> = entries.iter().map(|entry| entry.seq.0).collect();
        assert_eq!(seqs, [2 * FAN - 2, 2 * FAN - 1, 2 * FAN]);
        assert_eq!(entries.into_iter().map(|entry| entry.payload).collect::<Vec<_>>(), records);
    }

    #[test]
    fn positions_of_two_messages_do_not_meet() {
        let full = positions(2, FAN as usize).next().unwrap();
        assert!(full > end_of(1), "{full:?}");
        for (seq, message) in [(0, 1), (1, 1), (FAN - 1, 1), (FAN, 2), (FAN + 1, 2), (2 * FAN, 3)] {
            assert_eq!(first_after(Seq(seq)), message, "{seq}");
        }
        for (seq, message) in [(0, 0), (1, 1), (FAN, 1), (FAN + 1, 2), (2 * FAN, 2)] {
            assert_eq!(holding(Seq(seq)), message, "{seq}");
        }
        assert_eq!(ending_at(Seq(3 * FAN)), Some(3));
        assert_eq!(ending_at(Seq(3 * FAN - 1)), None);
    }

    #[test]
    fn lengths_that_do_not_fit_are_not_believed() {
        for lengths in ["", "1", "1,1", "2,2", "x", "-1,4", "18446744073709551615,4"] {
            let entries = message(1, Some(lengths)).records("abc".into());
            assert_eq!(entries, [Record { seq: Seq(FAN), payload: "abc".into() }], "{lengths}");
        }
    }

    #[test]
    fn lengths_of_others_become_few_numbers_and_a_text_of_ours() {
        for text in [
            "",
            "1\r\nNats-Rollup: all",
            "1, 2",
            "1,,2",
            &"1,".repeat(1 << 20),
            &"0,".repeat(FAN as usize + 1),
        ] {
            assert_eq!(Lengths::parse(text), None, "{text:.40}");
        }
        let many = "7,".repeat(FAN as usize - 1) + "7";
        assert_eq!(Lengths::parse(&many).unwrap().to_string(), many);
        assert_eq!(Lengths::parse("+0001,002").unwrap().to_string(), "1,2");
    }
}
