//! The events of a conversation on their way into its log: numbers them, for the log's one writer to store.
//!
//! **What it knows**, as of the last batch that is stored: how many events the log has (`next`), where it ends (the
//! writer's tail), and by what it is known again (`anchor`). All three move together, when a batch was found to be
//! stored and not before, so whoever asks is told of what is in the log and of nothing that only might be.
//!
//! ```text
//!             batch(items)                        store(&batch)
//!   at rest ───────────────▶ made, not stored ──────────────────▶ at rest, `next` and tail behind the batch
//!                              ▲      │  │ Lost
//!                              └──────┘  └──▶ over: somebody else wrote, or the log will never take it
//!                               NotNow
//! ```
//!
//! **Numbers.** An event's number is its place among the events of the log, from 0: the `seq` of the session socket.
//! Control records have none, for no client sees them. A batch has its numbers from when it is made; so the next one is
//! made only after it was stored, and a batch that is tried again is the same bytes, by which the writer finds it.
//! `last_index_after` says before the append which event a model call will be about: the model may think meanwhile.
//!
//! **Who owns what.** The actor owns the journal, and so the right to write the log within this worker; that no other
//! worker writes is for the writer to see to (`ports::log::LogWriter`: once, in order, fenced). The actor decides
//! how often a batch is tried and who is told meanwhile (`perform`); the journal only says which of the two kinds of
//! trouble it is. Bytes of a batch belong to the batch: they may be dropped once it is stored.
//!
//! **Cancel safety.** `store` may be dropped at any time. Then the batch is stored or not, as a whole, and nothing here
//! has moved; to store it again tells which, and stores nothing twice.
//!
//! **How it ends.** With its actor, which leaves `anchor` and `events` behind for the next one (`dormant`), so that it
//! reads only what has come since. After `Lost` nothing is to be asked of it but where the log was: the next actor reads
//! the log. The log itself ends only when its conversation is deleted, and not here.

use std::sync::Arc;

use agent::LogItem;
use bytes::Bytes;
use ports::log::{self, LogWriter};
use ports::{Error, EventLog};
use types::log::LogRecord;
use types::{Epoch, LogId, Seq};

use super::replay::Replay;
use super::snapshot::Anchor;

/// Records that are stored together.
pub(super) struct Batch {
    batch: log::Batch,
    records: usize,
    events: u64,
    last: Option<Bytes>,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.records
    }
}

pub(super) use log::{Loss, Trouble};

pub(super) struct Journal {
    writer: LogWriter,
    /// The index of the next event.
    next: u64,
    /// The log's last record, if it is known.
    anchor: Option<Anchor>,
}

impl Journal {
    /// A writer that goes on after what was read.
    pub(super) fn new(log: Arc<dyn EventLog>, id: LogId, epoch: Epoch, read: &Replay) -> Result<Self, Loss> {
        let writer = LogWriter::new(log, id, epoch, read.tail(), read.newest_fence)?;
        Ok(Self { writer, next: read.projection.events, anchor: read.anchor })
    }

    pub(super) fn tail(&self) -> Seq {
        self.writer.tail()
    }

    /// How many events the log holds.
    pub(super) fn events(&self) -> u64 {
        self.next
    }

    pub(super) fn newest_fence(&self) -> Option<Epoch> {
        self.writer.newest_fence()
    }

    /// By what the log is known again, as it is now.
    pub(super) fn anchor(&self) -> Option<Anchor> {
        self.anchor
    }

    /// The index of the last event.
    pub(super) fn last_index(&self) -> Option<u64> {
        self.next.checked_sub(1)
    }

    /// The index of the last event once `batch` is stored.
    pub(super) fn last_index_after(&self, batch: &Batch) -> Option<u64> {
        (self.next + batch.events).checked_sub(1)
    }

    /// Makes the records of `items`. A batch that was made must be stored before the next is made.
    pub(super) fn batch(&self, items: Vec<LogItem>) -> Result<Batch, Loss> {
        let mut records = Vec::with_capacity(items.len());
        let mut events = 0;
        for item in items {
            records.push(match item {
                LogItem::Event(event) => {
                    let record = LogRecord::event(self.next + events, &event).map_err(unwritable)?;
                    events += 1;
                    encoded(record)?
                }
                LogItem::Control(control) => encoded(LogRecord::Control(control))?,
            });
        }
        let last = records.last().cloned();
        Ok(Batch { records: records.len(), batch: self.writer.batch(records)?, events, last })
    }

    /// Appends `batch`, exactly once however often it is tried.
    ///
    /// Cancel safety: after a drop the batch may or may not be stored; storing it again tells.
    pub(super) async fn store(&mut self, batch: &Batch) -> Result<(), Trouble> {
        let before = self.writer.tail();
        let appended = self.writer.store(&batch.batch).await?;
        self.next += batch.events;
        let after = appended.seqs.iter().rev().nth(1).copied().unwrap_or(before);
        self.anchor = batch.last.as_ref().map(|last| Anchor::new(after, self.tail(), last));
        Ok(())
    }
}

fn encoded(record: LogRecord) -> Result<Bytes, Loss> {
    record.encode().map(Bytes::from).map_err(unwritable)
}

fn unwritable(error: serde_json::Error) -> Loss {
    Loss::Refused(Error::Internal(error.to_string()))
}
