//! The message given at creation: delivered once, however often its delivery is tried.

use std::sync::Arc;
use std::time::Instant;

use ports::rpc::{Code, Fault, Reason};
use readmodel::index::ConversationState;
use types::calls::{Command, Once};
use types::conversation::{ConversationRecord, FirstMessage, RefusedMessage, Status};
use types::event::StateUpdate;
use types::{ConversationId, Event, EventBody, EventId};
use uuid::Uuid;

use super::Conversations;
use crate::placement::Creation;

impl Conversations {
    /// Delivers the first message of a conversation, if that was not done before. Whether a run has come of it.
    ///
    /// # Errors
    /// The worker's fault; the message can be delivered by another call then. `Busy`: it is stored, and another
    /// call starts its run.
    pub(super) async fn deliver(&self, entry: &Arc<ConversationState>) -> Result<bool, Fault> {
        let before = entry.status();
        if entry.record().undelivered.is_none() {
            return Ok(false);
        }
        // Of those who meet here one delivers, for all of them. If he has waited for a worker in vain the others need not do so,
        // too.
        let since = Instant::now();
        let mut turn = entry.delivery.lock().await;
        if let Some((_, delivered)) = turn.as_ref().filter(|(at, _)| *at >= since) {
            return delivered.clone();
        }
        if !self.has(entry) {
            return Err(Reason::Missing.into());
        }
        let Some(first) = entry.record().undelivered.clone() else {
            // Another gateway may have delivered it.
            return Ok(before == Status::Idle && entry.status() == Status::Running);
        };
        let delivered = self.deliver_now(entry, first).await;
        let is_told = |fault: &Fault| matches!(fault.code, Code::Absent | Code::Unavailable);
        if delivered.as_ref().err().is_none_or(is_told) {
            *turn = Some((Instant::now(), delivered.clone()));
        }
        delivered
    }

    async fn deliver_now(&self, entry: &Arc<ConversationState>, first: FirstMessage) -> Result<bool, Fault> {
        let (once, status) = (once(entry.id), entry.status());
        // In any other state its run has begun before, or somebody wished for another state since.
        let runs = first.run && status == Status::Idle;
        // A worker that is waited for may be told to pause first: then nothing is to run.
        let runs_at_once = runs && self.placement().creation() == Creation::Complete;
        if !self.is_stored(entry, &once.id).await? {
            self.message(entry, first.message, None, runs_at_once, Some(once.clone())).await?;
        }
        // Stored alone, or while no run slot was free, it has started nothing. What it had started may be over: another
        // gateway has died before it could note that, and the user has refused what the run wished to do.
        let runs = runs && !(entry.status() == Status::Idle && self.has_run_since(entry, &once.id).await?);
        if runs && entry.status() == Status::Idle {
            // Somebody may wish for another state in the meantime.
            match self.command_that_runs(entry, Command::Run { first: true }).await {
                Err(fault) if fault.code != Code::Conflict => return Err(fault),
                _ => {}
            }
        }
        self.give_up_first(entry).await?;
        Ok(runs && !matches!(entry.status(), Status::Idle | Status::Paused))
    }

    /// Whether the log has the message, and not only others that came later.
    async fn is_stored(&self, entry: &ConversationState, id: &EventId) -> ports::Result<bool> {
        let has_messages = entry.with_projection(|projection| projection.last_user_message_id.is_some());
        Ok(has_messages && self.0.history.get(entry, &id.0).await?.is_some())
    }

    /// Whether the log tells of a run behind the message.
    async fn has_run_since(&self, entry: &ConversationState, id: &EventId) -> ports::Result<bool> {
        let which = |event: &[u8]| {
            let event: Event = serde_json::from_slice(event).ok()?;
            match &event.body {
                EventBody::ConversationStateUpdateEvent(StateUpdate { key, value }) => {
                    (key == "execution_status" && value.as_ref()? == "running").then_some(true)
                }
                _ => (event.id == *id).then_some(false),
            }
        };
        let newest =
            self.0.history.newest(entry, &["MessageEvent", "ConversationStateUpdateEvent"], None, which);
        Ok(newest.await? == Some(true))
    }

    /// Nobody delivers it any more: it is stored.
    async fn give_up_first(&self, entry: &ConversationState) -> ports::Result<()> {
        self.0.index.update(entry, |record| record.undelivered.take().is_some()).await
    }

    /// Nobody delivers it any more, and clients are told why.
    pub(super) async fn refuse_first(&self, entry: &ConversationState, why: &str) -> ports::Result<()> {
        let refuse = |record: &mut ConversationRecord| {
            let Some(FirstMessage { message, .. }) = record.undelivered.take() else { return false };
            record.refused = Some(RefusedMessage { message, why: why.to_owned() });
            true
        };
        self.0.index.update(entry, refuse).await
    }

    /// In a cluster, where conversations are there before their workers: delivers a first message that still
    /// waits, so that it comes before all that is said later. Whether a run has come of it.
    ///
    /// # Errors
    /// As [`Conversations::deliver`].
    pub(super) async fn deliver_waiting(&self, entry: &Arc<ConversationState>) -> Result<bool, Fault> {
        match self.placement().creation() {
            Creation::BeforeItsWorker => self.deliver(entry).await,
            Creation::Complete => Ok(false),
        }
    }
}

/// Which event it becomes, whichever gateway delivers it: an id made of the conversation's.
fn once(conversation: ConversationId) -> Once {
    const FIRST: u128 = 0xffff_ffff << 96;
    let id = Uuid::from_u128(conversation.0.as_u128() ^ FIRST);
    Once { id: EventId(id.hyphenated().to_string()), again: true }
}
