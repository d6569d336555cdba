//! Snapshots: the fold of a long log as it was some time ago, so that opening its conversation costs what is new.
//!
//! They are kept in a log of their own beside that of the conversation, where the last record counts and those before
//! it are dropped. So they need nothing of a store that it does not have: in a cluster they go through the control
//! plane, count against the sandbox's quota and go with the conversation, as everything that a worker stores. No more
//! is in them than in the log, with the same secrets hidden; and they are not published, since nobody follows them.
//!
//! **When.** Once `snapshot_every` events were added since the last one, after a change was stored, never before: a
//! snapshot says only what the log says. One at a time, beside the actor, which does not wait for it but leaves only
//! after it: once a conversation is forgotten, nothing is written for it. What is larger than [`MOST`] is not kept: the
//! model could not take such a history either. One that cannot be stored is tried again with the next events.
//!
//! **What it is worth.** It saves reading, and nothing is lost with it. These are passed over, and the log is read from
//! its beginning: one that cannot be read, one of another version, one that knows a newer fence than this incarnation's,
//! and one whose last record ([`Anchor`]) is not in the log where it was. So neither a log that was cut, made anew or
//! brought back from a backup, nor a snapshot that was left behind by another conversation of that id, can be taken for
//! one with the other. Two workers do each other no harm: what a superseded one knows is still a beginning of the
//! log, and of two that write at once the store takes one.
//!
//! **What a worker can do with it.** Whoever may write a snapshot may write the log as well (a worker of the same
//! sandbox), so it can tell a worker nothing that the log could not, and nobody but workers reads it.

use std::hash::{DefaultHasher, Hasher};

use agent::Past;
use bytes::Bytes;
use ports::log::Pages;
use ports::{EventLog, Record};
use serde::{Deserialize, Serialize};
use types::conversation::Projection;
use types::{Epoch, LogId, Seq};

use super::actor::Actor;
use super::replay::Replay;

/// Of what is written. To be counted up whenever an event is folded in another way.
const VERSION: u32 = 3;

/// The most bytes of one.
const MOST: usize = 4 << 20;

/// By what a log is known again: its last record, and a position that it comes soon after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Anchor {
    pub(super) after: Seq,
    seq: Seq,
    /// Of the record. Another build may hash otherwise, and then reads the log.
    hash: u64,
}

impl Anchor {
    pub(super) fn new(after: Seq, seq: Seq, record: &[u8]) -> Self {
        Self { after, seq, hash: hash(record) }
    }

    /// How many records of a page after [`Self::after`] are known; `None` if the log is another one.
    pub(super) fn find(&self, page: &[Record]) -> Option<usize> {
        let at = page.iter().position(|record| record.seq >= self.seq)?;
        let record = page.get(at)?;
        (record.seq == self.seq && hash(&record.payload) == self.hash).then_some(at + 1)
    }
}

fn hash(record: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(record);
    hasher.finish()
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    projection: &'a Projection,
    past: &'a Past,
    newest_fence: Option<Epoch>,
    anchor: Anchor,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Deserialize)]
struct Kept {
    projection: Projection,
    past: Past,
    newest_fence: Option<Epoch>,
    anchor: Anchor,
}

/// The newest snapshot of a conversation that an incarnation may go on from, if its log has the anchor.
pub(super) async fn newest(log: &dyn EventLog, id: &LogId, epoch: Epoch) -> Option<Replay> {
    let record = match last_record(log, id).await {
        Ok(record) => record?,
        Err(error) => {
            tracing::debug!(log = %id, %error, "a snapshot cannot be read");
            return None;
        }
    };
    let kept = read(&record).inspect_err(|error| tracing::warn!(log = %id, %error, "a snapshot is damaged"));
    let Kept { projection, past, newest_fence, anchor } = kept.ok()??;
    let is_whole = anchor.seq == projection.seq && newest_fence <= Some(epoch);
    let snapshot_at = projection.events;
    is_whole.then_some(Replay { projection, past, newest_fence, anchor: Some(anchor), snapshot_at })
}

/// `None` for one of another version.
fn read(record: &[u8]) -> serde_json::Result<Option<Kept>> {
    let Version { version } = serde_json::from_slice(record)?;
    if version == VERSION { serde_json::from_slice(record).map(Some) } else { Ok(None) }
}

async fn last_record(log: &dyn EventLog, id: &LogId) -> ports::Result<Option<Bytes>> {
    let (mut last, mut pages) = (None, Pages::new(log, id, Seq::ZERO, 1));
    while let Some(mut page) = pages.next().await? {
        last = page.pop();
    }
    Ok(last.map(|record| record.payload))
}

async fn keep(log: &dyn EventLog, id: &LogId, record: Bytes) -> ports::Result<()> {
    let tail = log.tail(id).await?;
    let appended = log.append(id, tail, vec![record]).await?;
    log.truncate_before(id, appended.tail()).await
}

impl Actor {
    /// Keeps a snapshot if one is due. To be called only when all that the agent knows is stored.
    pub(super) fn snapshot_if_due(&mut self) {
        let events = self.journal.events();
        let due = self.snapshot_at.saturating_add(self.shared.config.snapshot_every);
        let Some(anchor) = self.journal.anchor().filter(|_| events >= due) else { return };
        if self.is_keeping_a_snapshot() {
            return;
        }
        self.snapshot_at = events;
        let Some(record) = self.snapshot(anchor) else { return };
        let log = self.shared.ports.log.clone();
        let id = LogId::snapshots(&self.shared.config.sandbox, self.seat.id);
        self.keeping_snapshot = Some(self.shared.tracker.spawn(async move {
            if let Err(error) = keep(log.as_ref(), &id, record).await {
                tracing::debug!(log = %id, %error, "a snapshot is not kept");
            }
        }));
    }

    pub(super) fn is_keeping_a_snapshot(&self) -> bool {
        self.keeping_snapshot.as_ref().is_some_and(|task| !task.is_finished())
    }

    /// `None` if it is too large.
    fn snapshot(&self, anchor: Anchor) -> Option<Bytes> {
        let (past, newest_fence) = (self.agent.past(), self.journal.newest_fence());
        if past.weight() > MOST {
            return None;
        }
        let projection = self.projection();
        let written = Written { version: VERSION, projection: &projection, past, newest_fence, anchor };
        let record = serde_json::to_vec(&written).ok().filter(|record| record.len() <= MOST);
        record.map(Bytes::from)
    }
}
