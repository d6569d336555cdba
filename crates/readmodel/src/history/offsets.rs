//! Where the events of one log are, and what they can be filtered by.
//!
//! A row has the same few bytes for every event, whatever a worker calls it: kinds and ids that are no UUID are kept as
//! digests. So who counts rows counts memory.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hasher};
use std::num::NonZeroU64;
use std::sync::Arc;

use parking_lot::Mutex;
use ports::log::Pages;
use ports::{EventLog, Result};
use serde::Deserialize;
use serde_json::value::RawValue;
use types::Seq;
use types::event::ROOT;
use uuid::Uuid;

use super::branch::Branch;
use super::cache::Held;
use super::moment::Moment;
use super::record::{Shown, shown};
use super::search::Order;
use crate::index::ConversationState;

/// Records read at a time while a log is looked through.
const PAGE: usize = 1_000;

pub(super) struct Offsets {
    /// Of the record: tells a conversation from an earlier one with its id.
    pub(super) created_at: Arc<str>,
    /// Held by whoever reads the log: what the others wait for it reads for them, too.
    pub(super) reading: tokio::sync::Mutex<()>,
    rows: Mutex<Rows>,
    held: Arc<Held>,
}

#[derive(Default)]
struct Rows {
    rows: Vec<Row>,
    /// The last record looked at.
    seq: Seq,
    /// Records looked at.
    records: u32,
}

#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) place: RecordOffset,
    pub(super) id: EventKey,
    /// What it hangs below.
    parent: Option<NonZeroU64>,
    pub(super) at: Moment,
    pub(super) kind: KindKey,
    pub(super) source: EventSource,
}

/// Where a record is.
#[derive(Clone, Copy)]
pub(super) struct RecordOffset {
    pub(super) prev: Seq,
    pub(super) seq: Seq,
    /// Its number among all records, controls included.
    pub(super) ordinal: u32,
    /// Its bytes.
    pub(super) len: u32,
}

/// An event's id in as little room as every one has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum EventKey {
    /// Lower case, dashed.
    Uuid(Uuid),
    /// The digest of any other text.
    Other([u64; 2]),
}

/// The digest of a kind's name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct KindKey(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventSource {
    Agent,
    User,
    Environment,
    Hook,
    Other,
}

impl EventSource {
    fn of(text: &str) -> Self {
        match text {
            "agent" => Self::Agent,
            "user" => Self::User,
            "environment" => Self::Environment,
            "hook" => Self::Hook,
            _ => Self::Other,
        }
    }
}

impl EventKey {
    pub(super) fn new(id: &str) -> Self {
        let mut buffer = Uuid::encode_buffer();
        match Uuid::parse_str(id) {
            Ok(uuid) if *uuid.hyphenated().encode_lower(&mut buffer) == *id => Self::Uuid(uuid),
            _ => Self::Other([digest(0, id), digest(1, id)]),
        }
    }

    /// As others say that they hang below it.
    fn link(self) -> NonZeroU64 {
        let digest = match self {
            Self::Uuid(id) => {
                let (high, low) = id.as_u64_pair();
                high ^ low.rotate_left(32)
            }
            Self::Other([first, _]) => first,
        };
        NonZeroU64::new(digest).unwrap_or(NonZeroU64::MIN)
    }
}

impl KindKey {
    pub(super) fn new(kind: &str) -> Self {
        Self(digest(0, kind))
    }
}

/// Who makes two texts of one digest deceives nobody but himself: each log is compared with itself.
fn digest(salt: u8, text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u8(salt);
    hasher.write(text.as_bytes());
    hasher.finish()
}

impl Offsets {
    pub(super) fn new(created_at: Arc<str>, held: Arc<Held>) -> Self {
        Self { created_at, reading: tokio::sync::Mutex::default(), rows: Mutex::default(), held }
    }

    /// Whether the log may have more than is known: less than the index has, or fewer than `events` events.
    pub(super) fn is_behind(&self, entry: &ConversationState, events: usize) -> bool {
        let rows = self.rows.lock();
        rows.seq < entry.seq() || rows.rows.len() < events
    }

    /// Reads a page more. Whether there was one.
    pub(super) async fn read_on(&self, log: &dyn EventLog, entry: &ConversationState) -> Result<bool> {
        let known = self.rows.lock().seq;
        let Some(page) = Pages::new(log, &entry.log, known, PAGE).next().await? else { return Ok(false) };
        let glances: Vec<_> = page
            .iter()
            .map(|record| (record.seq, record.payload.len(), Glance::of(&record.payload)))
            .collect();
        let mut rows = self.rows.lock();
        let before = rows.rows.len();
        for (seq, len, glance) in glances {
            rows.push(seq, len, glance);
        }
        self.held.add(rows.rows.len() - before);
        Ok(true)
    }

    /// Up to `enough` of the rows that are `wanted`, from the position `at` on (from the first, without one).
    pub(super) fn find(
        &self,
        order: Order,
        at: Option<Seq>,
        enough: usize,
        wanted: impl Fn(&Row) -> bool,
    ) -> Vec<Row> {
        let rows = self.rows.lock();
        let wanted = |row: &&Row| wanted(row);
        match order {
            Order::Forward => {
                let from = at.map_or(0, |at| rows.rows.partition_point(|row| row.place.seq < at));
                rows.rows.iter().skip(from).filter(wanted).take(enough).copied().collect()
            }
            Order::Backward => {
                let until = |at: Seq| rows.rows.partition_point(|row| row.place.seq <= at);
                let until = at.map_or(rows.rows.len(), until);
                rows.rows.iter().take(until).rev().filter(wanted).take(enough).copied().collect()
            }
        }
    }

    pub(super) fn count(&self, wanted: impl Fn(&Row) -> bool) -> usize {
        self.rows.lock().rows.iter().filter(|row| wanted(row)).count()
    }

    /// The events from the one called `head` up to the first of its branch; `None` if no event is called so.
    pub(super) fn branch(&self, head: &str) -> Option<Branch> {
        let rows = self.rows.lock();
        let (mut branch, mut next) = (Branch::default(), Some(EventKey::new(head).link()));
        let mut is_next_to_last = false;
        for row in rows.rows.iter().rev() {
            let is_on_it = next == Some(row.id.link());
            if is_on_it {
                branch.add_before(row.place.seq, is_next_to_last);
                next = row.parent;
                if next.is_none() {
                    break;
                }
            }
            is_next_to_last = is_on_it;
        }
        (!branch.is_empty()).then(|| branch.in_order())
    }

    pub(super) fn get(&self, n: usize) -> Option<Row> {
        self.rows.lock().rows.get(n).copied()
    }
}

impl Drop for Offsets {
    fn drop(&mut self) {
        self.held.remove(self.rows.lock().rows.len());
    }
}

impl Rows {
    /// Takes a record that was not known.
    fn push(&mut self, seq: Seq, len: usize, glance: Option<Glance>) {
        if seq <= self.seq {
            return;
        }
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let place = RecordOffset { prev: self.seq, seq, ordinal: self.records, len };
        self.seq = seq;
        self.records = self.records.saturating_add(1);
        if let Some(Glance { id, parent, at, kind, source }) = glance {
            // One that names no parent hangs below the event before it, as all did before there were branches.
            let parent = match parent {
                Parent::Root => None,
                Parent::Named(parent) => Some(parent.link()),
                Parent::Unnamed => self.rows.last().map(|last| last.id.link()),
            };
            self.rows.push(Row { place, id, parent, at, kind, source });
        }
    }
}

/// As [`types::event::Head`], and what the event hangs below.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow, default)]
    source: Cow<'a, str>,
    #[serde(borrow, default)]
    parent_id: Option<&'a RawValue>,
}

enum Parent {
    Root,
    Named(EventKey),
    Unnamed,
}

impl Parent {
    fn of(text: &RawValue) -> Self {
        match serde_json::from_str::<Cow<'_, str>>(text.get()) {
            Ok(id) if id == ROOT => Self::Root,
            Ok(id) => Self::Named(EventKey::new(&id)),
            Err(_) => Self::Unnamed,
        }
    }
}

/// The few fields of an event that matter here.
struct Glance {
    id: EventKey,
    parent: Parent,
    at: Moment,
    kind: KindKey,
    source: EventSource,
}

impl Glance {
    /// `None` for a record that is not an event.
    fn of(payload: &bytes::Bytes) -> Option<Self> {
        let Shown::Event { text, .. } = shown(payload) else { return None };
        let head: Head<'_> = serde_json::from_slice(&text).ok()?;
        Some(Self {
            id: EventKey::new(&head.id),
            parent: head.parent_id.map_or(Parent::Unnamed, Parent::of),
            at: Moment::of_event(&head.timestamp),
            kind: KindKey::new(&head.kind),
            source: EventSource::of(&head.source),
        })
    }
}
