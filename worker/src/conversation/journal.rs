//! The one writer of a conversation's log: numbers events, fences older incarnations off, and finds out
//! what became of an append whose answer was lost.

use std::sync::Arc;
use std::time::Duration;

use agent::LogItem;
use bytes::Bytes;
use ports::{Entry, Error, EventLog, LogId};
use serde::Deserialize;
use types::log::{Control, LogRecord};
use types::{Epoch, EventId, Seq};

/// After this an append counts as unanswered.
const APPEND_DEADLINE: Duration = Duration::from_secs(30);

/// Whether stale writers write all the same: a build that tests must find fault with.
const UNFENCED: bool = cfg!(feature = "unfenced");

/// Records that are stored together.
pub(super) struct Batch {
    records: Vec<Bytes>,
    events: u64,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }
}

/// Why a batch is not stored.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The log cannot be written or read now: the same batch may be tried again.
    NotNow(Error),
    Lost(Loss),
}

/// Why this writer must stop.
#[derive(Debug)]
pub(super) enum Loss {
    /// A newer incarnation writes this log.
    Fenced,
    /// Somebody else wrote or removed the log: what this writer knows is out of date.
    Superseded,
    /// The log takes no more; a sentence for the user.
    Full(String),
    /// A record cannot be written as JSON.
    Unwritable(String),
}

pub(super) struct Journal {
    log: Arc<dyn EventLog>,
    id: LogId,
    epoch: Epoch,
    tail: Seq,
    /// The index of the next event.
    next: u64,
    /// Whether this incarnation's fence still has to be written: it goes with the first batch, so that
    /// opening a conversation writes nothing.
    unfenced: bool,
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
        if fence.is_some_and(|newest| newest > epoch) && !UNFENCED {
            return Err(Loss::Fenced);
        }
        let unfenced = fence != Some(epoch);
        Ok(Self { log, id, epoch, tail, next: events, unfenced })
    }

    pub(super) fn tail(&self) -> Seq {
        self.tail
    }

    /// Whether the log has the event `id`. Reads all of it.
    pub(super) async fn has_event(&self, id: &EventId) -> Result<bool, Error> {
        const PAGE: usize = 1_000;
        let mut at = Seq::ZERO;
        loop {
            let page = self.log.read(&self.id, at, PAGE).await?;
            let Some(last) = page.last() else { return Ok(false) };
            if last.seq <= at {
                return Err(Error::Internal(format!("log {} does not advance after {}", self.id, at.0)));
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
        let mut records = Vec::with_capacity(items.len() + 1);
        if self.unfenced {
            records.push(encoded(LogRecord::Control(Control::Fence { epoch: self.epoch }))?);
        }
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
        Ok(Batch { records, events })
    }

    /// Appends `batch`, exactly once however often it is tried.
    ///
    /// Cancel safety: after a drop the batch may or may not be stored; storing it again tells.
    pub(super) async fn store(&mut self, batch: &Batch) -> Result<(), Trouble> {
        if UNFENCED {
            self.tail = self.log.tail(&self.id).await.map_err(Trouble::NotNow)?;
        }
        let append = self.log.append(&self.id, self.tail, batch.records.clone());
        let answer = tokio::time::timeout(APPEND_DEADLINE, append).await;
        match answer.unwrap_or_else(|_| Err(Error::Unavailable("no answer from the log".to_owned()))) {
            Ok(appended) => {
                self.settle(appended.tail(), batch);
                Ok(())
            }
            Err(Error::Full(why)) => Err(Trouble::Lost(Loss::Full(why))),
            Err(error) => self.resolve(batch, error).await,
        }
    }

    fn settle(&mut self, tail: Seq, batch: &Batch) {
        self.tail = tail;
        self.next += batch.events;
        self.unfenced = false;
    }

    /// Looks at what follows the known tail: the batch itself, nothing, or somebody else's records.
    async fn resolve(&mut self, batch: &Batch, error: Error) -> Result<(), Trouble> {
        let found = self.first_after_tail(batch.records.len()).await.map_err(Trouble::NotNow)?;
        if found.is_empty() {
            return Err(match error {
                Error::Conflict { .. } => Trouble::Lost(Loss::Superseded),
                other => Trouble::NotNow(other),
            });
        }
        let ours = found.len() == batch.records.len()
            && found.iter().zip(&batch.records).all(|(entry, record)| entry.payload == *record);
        if let (true, Some(last)) = (ours, found.last()) {
            self.settle(last.seq, batch);
            return Ok(());
        }
        let newer = self.newest_fence_after_tail().await.map_err(Trouble::NotNow)?;
        let fenced = newer.is_some_and(|epoch| epoch > self.epoch);
        Err(Trouble::Lost(if fenced { Loss::Fenced } else { Loss::Superseded }))
    }

    async fn first_after_tail(&self, count: usize) -> Result<Vec<Entry>, Error> {
        let (mut found, mut at) = (Vec::new(), self.tail);
        while found.len() < count {
            let page = self.log.read(&self.id, at, count - found.len()).await?;
            let Some(last) = page.last() else { break };
            at = last.seq;
            found.extend(page);
        }
        Ok(found)
    }

    async fn newest_fence_after_tail(&self) -> Result<Option<Epoch>, Error> {
        let entries = self.log.read_all(&self.id, self.tail).await?;
        Ok(entries
            .iter()
            .filter_map(|entry| match LogRecord::decode(&entry.payload) {
                Ok(LogRecord::Control(Control::Fence { epoch })) => Some(epoch),
                _ => None,
            })
            .max())
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
    Loss::Unwritable(error.to_string())
}
