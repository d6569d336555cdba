//! The pieces of a streamed answer, on their way to whoever listens. Never stored; what nobody takes in
//! time is dropped.

use std::sync::Arc;

use llm::{StreamEvent, StreamSink};
use parking_lot::Mutex;
use ports::{Bus, Parcel};
use tokio::sync::mpsc;
use types::EventId;
use types::calls::{DeltaKind, Live};

use super::mask::{Holdback, Masker};

/// Pieces that may wait for the bus.
const QUEUE: usize = 256;
/// Models are asked for one answer.
const FIRST_CHOICE: u32 = 0;

pub(super) struct Feed {
    queue: mpsc::Sender<Live>,
    item_id: String,
    anchor: Option<u64>,
    masker: Masker,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    text: Holdback,
    reasoning: Holdback,
    attempt: u32,
    next_order: u64,
}

/// A feed for one answer, and the queue that [`publish`] empties.
pub(super) fn feed(item_id: EventId, anchor: Option<u64>, masker: Masker) -> (Feed, mpsc::Receiver<Live>) {
    let (queue, pieces) = mpsc::channel(QUEUE);
    (Feed { queue, item_id: item_id.0, anchor, masker, state: Mutex::default() }, pieces)
}

/// Publishes pieces until the feed is dropped. A task of its own, so that the end of a cancelled answer is
/// published too.
pub(super) async fn publish(mut pieces: mpsc::Receiver<Live>, bus: Arc<dyn Bus>, subject: String) {
    while let Some(piece) = pieces.recv().await {
        let Ok(json) = serde_json::to_vec(&piece) else { continue };
        if let Err(error) = bus.publish(&subject, Parcel::json(json)).await {
            tracing::debug!(subject, %error, "a piece of an answer is not published");
        }
    }
}

impl Feed {
    /// Publishes what was held back: the answer is complete.
    pub(super) fn finish(self) {
        let mut state = self.state.into_inner();
        for kind in [DeltaKind::Reasoning, DeltaKind::Text] {
            let content = state.holdback(kind).finish(&self.masker);
            if content.is_empty() {
                continue;
            }
            let order = state.next_order;
            state.next_order += 1;
            let (item_id, attempt) = (self.item_id.clone(), state.attempt);
            let rest =
                Live::Delta { item_id, attempt, order, kind, content, chunk_id: None, choice_index: None };
            let _ = self.queue.try_send(rest);
        }
    }

    fn live(&self, event: StreamEvent) -> Option<Live> {
        let item_id = self.item_id.clone();
        let mut state = self.state.lock();
        match event {
            StreamEvent::Started { attempt } => {
                *state = State { attempt, ..State::default() };
                Some(Live::ItemStarted { item_id, attempt, anchor_seq: self.anchor })
            }
            StreamEvent::Delta { attempt, kind, content, chunk_id } => {
                let content = state.holdback(kind).push(&content, &self.masker);
                if content.is_empty() {
                    return None;
                }
                let order = state.next_order;
                state.next_order += 1;
                let choice_index = Some(FIRST_CHOICE);
                Some(Live::Delta { item_id, attempt, order, kind, content, chunk_id, choice_index })
            }
            StreamEvent::Aborted { attempt, reason } => {
                *state = State::default();
                Some(Live::ItemAborted { item_id, attempt, reason: self.masker.mask(&reason) })
            }
        }
    }
}

impl State {
    fn holdback(&mut self, kind: DeltaKind) -> &mut Holdback {
        match kind {
            DeltaKind::Text => &mut self.text,
            DeltaKind::Reasoning => &mut self.reasoning,
        }
    }
}

impl StreamSink for Feed {
    fn push(&self, event: StreamEvent) {
        if let Some(live) = self.live(event) {
            // A full queue drops the piece: the whole answer is stored at its end.
            let _ = self.queue.try_send(live);
        }
    }
}
