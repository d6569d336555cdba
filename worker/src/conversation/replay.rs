//! A conversation's log, folded into what its agent has to know.

use agent::Past;
use ports::log::Pages;
use ports::{EventLog, Record};
use types::conversation::Projection;
use types::log::{Control, LogRecord};
use types::{Epoch, Event, LogId, Seq};

use super::branch;
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
    pub(super) async fn after(log: &dyn EventLog, id: &LogId, kept: Self) -> ports::Result<Self> {
        let Some(anchor) = kept.anchor else { return Self::of(log, id).await };
        let mut page = log.read(id, anchor.after, PAGE).await?;
        let Some(known) = anchor.find(&page) else {
            tracing::info!(log = %id, "a snapshot is of another log: all of it is read");
            return Self::of(log, id).await;
        };
        page.drain(..known);
        kept.read_behind(log, id, page).await
    }

    async fn read_on(self, log: &dyn EventLog, id: &LogId) -> ports::Result<Self> {
        self.read_behind(log, id, Vec::new()).await
    }

    /// Takes in `page`, and all that comes after it.
    async fn read_behind(mut self, log: &dyn EventLog, id: &LogId, page: Vec<Record>) -> ports::Result<Self> {
        let mut head_was_moved = self.take_page(id, page);
        let mut pages = Pages::new(log, id, self.tail(), PAGE);
        while let Some(page) = pages.next().await? {
            head_was_moved |= self.take_page(id, page);
        }
        if head_was_moved {
            let head = self.projection.leaf_event_id.as_deref();
            self.past = branch::past(log, id, head, self.tail()).await?.unwrap_or_default();
        }
        Ok(self)
    }

    /// Whether HEAD was moved in it: then not all that was taken in is on its branch.
    fn take_page(&mut self, id: &LogId, page: Vec<Record>) -> bool {
        let Some(last) = page.last() else { return false };
        let before = page.iter().rev().nth(1).map_or(self.tail(), |record| record.seq);
        self.anchor = Some(Anchor::new(before, last.seq, &last.payload));
        let mut head_was_moved = false;
        for record in page {
            head_was_moved |= self.take(id, record.seq, &record.payload);
        }
        head_was_moved
    }

    pub(super) fn tail(&self) -> Seq {
        self.projection.seq
    }

    /// Whether it has moved HEAD.
    fn take(&mut self, id: &LogId, seq: Seq, payload: &[u8]) -> bool {
        let record = match LogRecord::<Event>::decode_as(payload) {
            Ok(record) => record,
            Err(error) => {
                tracing::warn!(log = %id, seq = seq.0, %error, "a record cannot be read");
                self.pass_over(seq, payload);
                return false;
            }
        };
        self.projection.apply_read(seq, &record);
        match record {
            LogRecord::Event { event, .. } => self.past.absorb(&event),
            LogRecord::Control(Control::Fence { epoch }) => {
                self.newest_fence = self.newest_fence.max(Some(epoch));
            }
            LogRecord::Control(Control::Head { .. }) => return true,
            LogRecord::Control(Control::Forked { .. }) => self.past.go_back(),
            LogRecord::Control(Control::Answer { event, order }) => self.past.set_order(&event, &order),
            LogRecord::Control(
                Control::RunEnded {} | Control::Usage(_) | Control::Models { .. } | Control::Brought(_),
            ) => {}
        }
        false
    }

    /// One damaged event must not make a conversation unusable: it has its index, and is not looked at.
    fn pass_over(&mut self, seq: Seq, payload: &[u8]) {
        match LogRecord::decode(payload) {
            Ok(record) => self.projection.apply(seq, &record),
            Err(_) => self.projection.seq = seq,
        }
    }
}
