//! The events of a conversation on their way into its log: numbers them, for the log's one writer to store.

use std::sync::Arc;

use agent::LogItem;
use bytes::Bytes;
use ports::log::{self, LogWriter};
use ports::{Error, EventLog, LogId};
use serde::Deserialize;
use types::log::LogRecord;
use types::{Epoch, EventId, Seq};

/// Records that are stored together.
pub(super) struct Batch {
    batch: log::Batch,
    records: usize,
    events: u64,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.records
    }
}

pub(super) use log::{Loss, Trouble};

pub(super) struct Journal {
    log: Arc<dyn EventLog>,
    writer: LogWriter,
    /// The index of the next event.
    next: u64,
}

impl Journal {
    /// A writer after `tail`, of a log that holds `events` events and whose newest fence is `fence`.
    pub(super) fn new(
        log: Arc<dyn EventLog>,
        id: LogId,
        epoch: Epoch,
        tail: Seq,
        events: u64,
        fence: Option<Epoch>,
    ) -> Result<Self, Loss> {
        let writer = LogWriter::new(Arc::clone(&log), id, epoch, tail, fence)?;
        Ok(Self { log, writer, next: events })
    }

    pub(super) fn tail(&self) -> Seq {
        self.writer.tail()
    }

    /// Whether the log has the event `id`. Reads all of it.
    pub(super) async fn has_event(&self, id: &EventId) -> Result<bool, Error> {
        const PAGE: usize = 1_000;
        let (log, mut at) = (self.writer.id(), Seq::ZERO);
        loop {
            let page = self.log.read(log, at, PAGE).await?;
            let Some(last) = page.last() else { return Ok(false) };
            if last.seq <= at {
                return Err(Error::Internal(format!("log {log} does not advance after {}", at.0)));
            }
            at = last.seq;
            if page.iter().any(|entry| is_event(&entry.payload, id)) {
                return Ok(true);
            }
        }
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
        Ok(Batch { records: records.len(), batch: self.writer.batch(records)?, events })
    }

    /// Appends `batch`, exactly once however often it is tried.
    ///
    /// Cancel safety: after a drop the batch may or may not be stored; storing it again tells.
    pub(super) async fn store(&mut self, batch: &Batch) -> Result<(), Trouble> {
        self.writer.store(&batch.batch).await?;
        self.next += batch.events;
        Ok(())
    }
}

fn is_event(payload: &[u8], id: &EventId) -> bool {
    #[derive(Deserialize)]
    struct Named {
        id: EventId,
    }
    let Ok(LogRecord::Event { event, .. }) = LogRecord::decode(payload) else { return false };
    serde_json::from_str::<Named>(event.get()).is_ok_and(|named| named.id == *id)
}

fn encoded(record: LogRecord) -> Result<Bytes, Loss> {
    record.encode().map(Bytes::from).map_err(unwritable)
}

fn unwritable(error: serde_json::Error) -> Loss {
    Loss::Refused(Error::Internal(error.to_string()))
}
