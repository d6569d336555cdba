//! What searches look at of a stored bash event.

use std::borrow::Cow;

use memchr::memmem;
use serde::Deserialize;
use types::Seq;
use uuid::Uuid;

/// The length of `2026-11-23T00:49:08.190203Z`.
const STAMP: usize = 27;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Kind {
    BashCommand,
    BashOutput,
}

/// What comes after all that a glance wants, in records of outputs. No JSON text has these bytes inside of it.
const TEXTS: &[u8] = b",\"stdout\":";
/// Where the texts begin, at the latest.
const LONGEST_HEAD: usize = 512;

/// What searches look at of a stored bash event; the rest stays in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSummary {
    pub seq: Seq,
    /// The record before it in the log.
    pub prev: Seq,
    pub id: Uuid,
    pub kind: Kind,
    /// The command an output belongs to.
    pub command: Option<Uuid>,
    /// Of an output, from 0.
    pub order: u64,
    /// Whether an output is its command's last.
    pub last: bool,
    stamp: [u8; STAMP],
    /// Bytes of the record.
    pub len: usize,
}

#[derive(Deserialize)]
struct Glance<'a> {
    kind: Kind,
    id: Uuid,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(default)]
    command_id: Option<Uuid>,
    #[serde(default)]
    order: u64,
    #[serde(default)]
    exit_code: Option<i32>,
}

impl EventSummary {
    /// `None` for a record that is no bash event.
    pub fn of(prev: Seq, seq: Seq, record: &[u8]) -> Option<Self> {
        let mut head = [0; LONGEST_HEAD];
        let head = head_of_output(record, &mut head).and_then(|head| serde_json::from_slice(head).ok());
        // What was brought from another server has its fields in another order.
        let glance: Glance = match head {
            Some(glance) => glance,
            None => serde_json::from_slice(record).ok()?,
        };
        Some(Self {
            seq,
            prev,
            id: glance.id,
            kind: glance.kind,
            command: glance.command_id,
            order: glance.order,
            last: glance.exit_code.is_some(),
            stamp: glance.timestamp.as_bytes().try_into().ok()?,
            len: record.len(),
        })
    }

    /// The time it was stored, as UTC text.
    pub fn stamp(&self) -> &[u8] {
        &self.stamp
    }
}

/// What stands before the texts, which are long, as an object of its own.
fn head_of_output<'head>(record: &[u8], head: &'head mut [u8; LONGEST_HEAD]) -> Option<&'head [u8]> {
    let fields = record.get(..memmem::find(record.get(..LONGEST_HEAD.min(record.len()))?, TEXTS)?)?;
    let head = head.get_mut(..=fields.len())?;
    let (end, copy) = head.split_last_mut()?;
    copy.copy_from_slice(fields);
    *end = b'}';
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bash_events_have_entries() {
        let output = br#"{"kind":"BashOutput","id":"07ac6a83849c480d8f581bedf4fb69a1",
            "timestamp":"2026-11-23T00:56:05.462770Z","command_id":"5a502812f4634d7eafd6bc0b11d74ecf","order":2,
            "exit_code":0,"stdout":"x","stderr":null}"#;
        let entry = EventSummary::of(Seq(1), Seq(2), output).unwrap();
        assert!(entry.last && entry.order == 2 && entry.command.is_some());
        let of_another = br#"{"id":"07ac6a83849c480d8f581bedf4fb69a1","timestamp":"2026-11-23T00:56:05.462770Z",
            "command_id":"5a502812f4634d7eafd6bc0b11d74ecf","order":2,"exit_code":0,"stdout":"x","stderr":null,"kind":"BashOutput"}"#;
        let brought =
            EventSummary { len: output.len(), ..EventSummary::of(Seq(1), Seq(2), of_another).unwrap() };
        assert_eq!(brought, entry);
        assert_eq!(EventSummary::of(Seq(1), Seq(2), b"{}"), None);
        assert_eq!(EventSummary::of(Seq(1), Seq(2), br#"{"order":2,"stdout":"x"}"#), None);
        assert_eq!(EventSummary::of(Seq(1), Seq(2), b"{"), None);
    }
}
