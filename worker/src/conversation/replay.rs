//! A conversation's log, folded into what its agent has to know.

use agent::Past;
use ports::log::Pages;
use ports::{EventLog, Record};
use types::conversation::Projection;
use types::log::{Control, LogRecord};
use types::{Epoch, Event, LogId, Seq};

use super::snapshot::Anchor;

const PAGE: usize = 1_000;

/// The fold of a log up to `projection.seq`.
#[derive(Default)]
pub(super) struct Replay {
    pub(super) projection: Projection,
    pub(super) past: Past,
    pub(super) newest_fence: Option<Epoch>,
    /// The last record, if it is known.
    pub(super) anchor: Option<Anchor>,
    /// How many events the newest snapshot knows.
    pub(super) snapshot_at: u64,
}

impl Replay {
    /// Reads all of a log.
    pub(super) async fn of(log: &dyn EventLog, id: &LogId) -> ports::Result<Self> {
        Self::default().read_on(log, id).await
    }

    /// Reads what came after `memory`; all of it where the log is shorter than that, and so another one.
    pub(super) async fn since(log: &dyn EventLog, id: &LogId, memory: Self) -> ports::Result<Self> {
        match log.tail(id).await? {
            tail if tail == memory.tail() => Ok(memory),
            tail if tail < memory.tail() => Self::of(log, id).await,
            _ => memory.read_on(log, id).await,
        }
    }

    /// Reads what came after a snapshot; all of it where the log does not have the record that `kept` ends with.
    pub(super) async fn after(log: &dyn EventLog, id: &LogId, mut kept: Self) -> ports::Result<Self> {
        let Some(anchor) = kept.anchor else { return Self::of(log, id).await };
        let mut page = log.read(id, anchor.after, PAGE).await?;
        let Some(known) = anchor.find(&page) else {
            tracing::info!(log = %id, "a snapshot is of another log: all of it is read");
            return Self::of(log, id).await;
        };
        page.drain(..known);
        kept.take_page(id, page);
        kept.read_on(log, id).await
    }

    async fn read_on(mut self, log: &dyn EventLog, id: &LogId) -> ports::Result<Self> {
        let mut pages = Pages::new(log, id, self.tail(), PAGE);
        while let Some(page) = pages.next().await? {
            self.take_page(id, page);
        }
        Ok(self)
    }

    fn take_page(&mut self, id: &LogId, page: Vec<Record>) {
        let Some(last) = page.last() else { return };
        let before = page.iter().rev().nth(1).map_or(self.tail(), |record| record.seq);
        self.anchor = Some(Anchor::new(before, last.seq, &last.payload));
        for record in page {
            self.take(id, record.seq, &record.payload);
        }
    }

    pub(super) fn tail(&self) -> Seq {
        self.projection.seq
    }

    fn take(&mut self, id: &LogId, seq: Seq, payload: &[u8]) {
        let record = match LogRecord::<Event>::decode_as(payload) {
            Ok(record) => record,
            Err(error) => {
                tracing::warn!(log = %id, seq = seq.0, %error, "a record cannot be read");
                return self.pass_over(seq, payload);
            }
        };
        self.projection.apply_read(seq, &record);
        match record {
            LogRecord::Event { event, .. } => self.past.absorb(&event),
            LogRecord::Control(Control::Fence { epoch }) => {
                self.newest_fence = self.newest_fence.max(Some(epoch));
            }
            LogRecord::Control(Control::RunEnded {} | Control::Usage(_) | Control::Models { .. }) => {}
        }
    }

    /// One damaged event must not make a conversation unusable: it has its index, and is not looked at.
    fn pass_over(&mut self, seq: Seq, payload: &[u8]) {
        match LogRecord::decode(payload) {
            Ok(record) => self.projection.apply(seq, &record),
            Err(_) => self.projection.seq = seq,
        }
    }
}
