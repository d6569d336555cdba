//! Where the events of one log are, and what they can be filtered by.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ports::{EventLog, Result};
use serde::Deserialize;
use types::Seq;
use uuid::Uuid;

use super::moment::Moment;
use super::record::{Shown, shown};
use crate::index::ConversationState;

/// Records read at a time while a log is looked through.
const PAGE: usize = 1_000;

pub(super) struct Offsets {
    /// Of the record: tells a conversation from an earlier one with its id.
    pub(super) created_at: Arc<str>,
    rows: Mutex<Rows>,
}

#[derive(Default)]
pub(super) struct Rows {
    rows: Vec<Row>,
    /// The distinct kinds; rows name theirs by its place here.
    kinds: Vec<Box<str>>,
    /// The last record looked at.
    seq: Seq,
    /// Records looked at.
    records: u32,
}

#[derive(Clone)]
pub(super) struct Row {
    pub(super) place: RecordOffset,
    pub(super) id: EventKey,
    pub(super) at: Moment,
    pub(super) source: EventSource,
    kind: u16,
}

/// Where a record is.
#[derive(Clone, Copy)]
pub(super) struct RecordOffset {
    pub(super) prev: Seq,
    pub(super) seq: Seq,
    /// Its number among all records, controls included.
    pub(super) ordinal: u32,
}

/// An event's id in as little room as it needs.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum EventKey {
    /// Lower case, dashed.
    Uuid(Uuid),
    Other(Box<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EventSource {
    Agent,
    User,
    Environment,
    Hook,
    #[serde(other)]
    Other,
}

impl EventKey {
    pub(super) fn new(id: &str) -> Self {
        let mut buffer = Uuid::encode_buffer();
        match Uuid::parse_str(id) {
            Ok(uuid) if *uuid.hyphenated().encode_lower(&mut buffer) == *id => Self::Uuid(uuid),
            _ => Self::Other(id.into()),
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Uuid(uuid) => uuid.hyphenated().to_string(),
            Self::Other(text) => text.to_string(),
        }
    }
}

impl Offsets {
    pub(super) fn new(created_at: Arc<str>) -> Self {
        Self { created_at, rows: Mutex::default() }
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&Rows) -> T) -> T {
        look(&self.rows())
    }

    /// The places of all events that match, in log order.
    pub(super) fn places(&self, matches: impl Fn(&Rows, &Row) -> bool) -> Vec<RecordOffset> {
        self.read(|rows| rows.iter().filter(|row| matches(rows, row)).map(|row| row.place).collect())
    }

    /// Looks through what the log has beyond what is known, up to where the index is and to `events` events.
    /// Answers the number of new rows.
    pub(super) async fn catch_up(
        &self,
        log: &dyn EventLog,
        entry: &ConversationState,
        events: usize,
    ) -> Result<usize> {
        let mut grown = 0;
        loop {
            let (known, rows) = self.read(|rows| (rows.seq, rows.rows.len()));
            if known >= entry.seq() && rows >= events {
                return Ok(grown);
            }
            let page = log.read(&entry.log, known, PAGE).await?;
            if page.is_empty() {
                return Ok(grown);
            }
            let glances: Vec<_> =
                page.iter().map(|record| (record.seq, Glance::of(&record.payload))).collect();
            let mut rows = self.rows();
            for (seq, glance) in glances {
                grown += usize::from(rows.push(seq, glance));
            }
        }
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Row> {
        self.rows.iter()
    }

    pub(super) fn get(&self, n: usize) -> Option<&Row> {
        self.rows.get(n)
    }

    pub(super) fn kind(&self, row: &Row) -> &str {
        self.kinds.get(usize::from(row.kind)).map(AsRef::as_ref).unwrap_or_default()
    }

    /// Whether there is a new row: the record was not known and is an event.
    fn push(&mut self, seq: Seq, glance: Option<Glance>) -> bool {
        if seq <= self.seq {
            return false;
        }
        let place = RecordOffset { prev: self.seq, seq, ordinal: self.records };
        self.seq = seq;
        self.records += 1;
        let Some(glance) = glance else { return false };
        let kind = self.intern(&glance.kind);
        self.rows.push(Row { place, id: glance.id, at: glance.at, source: glance.source, kind });
        true
    }

    fn intern(&mut self, kind: &str) -> u16 {
        let at = self.kinds.iter().position(|known| **known == *kind).unwrap_or_else(|| {
            self.kinds.push(kind.into());
            self.kinds.len() - 1
        });
        u16::try_from(at).unwrap_or(u16::MAX)
    }
}

/// The few fields of an event that matter here.
struct Glance {
    id: EventKey,
    at: Moment,
    source: EventSource,
    kind: Box<str>,
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    source: EventSource,
    #[serde(borrow)]
    kind: Cow<'a, str>,
}

impl Glance {
    /// `None` for a record that is not an event.
    fn of(payload: &bytes::Bytes) -> Option<Self> {
        let Shown::Event { text, .. } = shown(payload) else { return None };
        let fields: Fields<'_> = serde_json::from_slice(&text).ok()?;
        Some(Self {
            id: EventKey::new(&fields.id),
            at: Moment::of_event(&fields.timestamp),
            source: fields.source,
            kind: fields.kind.as_ref().into(),
        })
    }
}
