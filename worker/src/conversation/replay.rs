//! A conversation's log, folded into what its agent has to know.

use ports::{EventLog, LogId};
use types::conversation::Projection;
use types::log::{Control, LogRecord};
use types::{Epoch, Event, Seq};

const PAGE: usize = 1_000;

#[derive(Default)]
pub(super) struct Replay {
    pub(super) projection: Projection,
    pub(super) history: Vec<Event>,
    pub(super) tail: Seq,
    pub(super) newest_fence: Option<Epoch>,
}

impl Replay {
    /// Reads the whole log, page by page. Records that cannot be read are passed over with a warning:
    /// one damaged event must not make a conversation unusable.
    pub(super) async fn read(log: &dyn EventLog, id: &LogId) -> ports::Result<Self> {
        let mut replay = Self::default();
        loop {
            let page = log.read(id, replay.tail, PAGE).await?;
            let Some(last) = page.last() else { return Ok(replay) };
            if last.seq <= replay.tail {
                return Err(ports::Error::Internal(format!("log {id} does not advance")));
            }
            for entry in page {
                replay.take(id, entry.seq, &entry.payload);
            }
        }
    }

    fn take(&mut self, id: &LogId, seq: Seq, payload: &[u8]) {
        self.tail = seq;
        let record = match LogRecord::decode(payload) {
            Ok(record) => record,
            Err(error) => {
                tracing::warn!(log = %id, seq = seq.0, %error, "a record cannot be read");
                return;
            }
        };
        self.projection.apply(seq, &record);
        match record {
            LogRecord::Event { event, .. } => match serde_json::from_str(event.get()) {
                Ok(event) => self.history.push(event),
                Err(error) => tracing::warn!(log = %id, seq = seq.0, %error, "an event cannot be read"),
            },
            LogRecord::Control(Control::Fence { epoch }) => {
                self.newest_fence = self.newest_fence.max(Some(epoch));
            }
            LogRecord::Control(Control::RunEnded {} | Control::Usage(_) | Control::Models { .. }) => {}
        }
    }
}
