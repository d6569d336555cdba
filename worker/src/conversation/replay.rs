//! A conversation's log, folded into what its agent has to know.

use agent::Past;
use ports::{EventLog, LogId};
use types::conversation::Projection;
use types::log::{Control, LogRecord};
use types::{Epoch, Event, Seq};

const PAGE: usize = 1_000;

/// The fold of a log up to `projection.seq`.
#[derive(Default)]
pub(super) struct Replay {
    pub(super) projection: Projection,
    pub(super) past: Past,
    pub(super) newest_fence: Option<Epoch>,
}

impl Replay {
    /// Reads what came after `known`, page by page; all of it where the log is shorter than that, and so another one.
    pub(super) async fn read(log: &dyn EventLog, id: &LogId, known: Option<Self>) -> ports::Result<Self> {
        let mut replay = match known {
            None => Self::default(),
            Some(known) => match log.tail(id).await? {
                tail if tail == known.tail() => return Ok(known),
                tail if tail < known.tail() => Self::default(),
                _ => known,
            },
        };
        loop {
            let page = log.read(id, replay.tail(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(replay) };
            if last.seq <= replay.tail() {
                return Err(ports::Error::Internal(format!("log {id} does not advance")));
            }
            for entry in page {
                replay.take(id, entry.seq, &entry.payload);
            }
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
