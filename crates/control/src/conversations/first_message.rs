//! The message given at creation: delivered once, however often its delivery is tried.

use std::sync::Arc;

use ports::rpc::{Code, Fault};
use readmodel::index::ConversationState;
use types::calls::{Command, Once};
use types::conversation::Status;
use types::{ConversationId, EventId};
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
        // Of the creations of one id that meet here, one delivers.
        let _turn = entry.delivery.lock().await;
        let Some(first) = entry.record().undelivered.clone() else {
            return Ok(before == Status::Idle && entry.status() != Status::Idle);
        };
        let (is_stored, status) = entry
            .with_projection(|projection| (projection.last_user_message_id.is_some(), projection.status));
        // In any other state its run has begun before, or somebody wished for another state since.
        let runs = first.run && status == Status::Idle;
        // A worker that is waited for may be told to pause first: then nothing is to run.
        let runs_at_once = runs && self.placement().creation() == Creation::Complete;
        if !is_stored {
            self.message(entry, first.message, None, runs_at_once, Some(once(entry.id))).await?;
        }
        // Stored alone, or while no run slot was free, it has started nothing.
        if runs && entry.status() == Status::Idle {
            match self.command_that_runs(entry, Command::Run {}).await {
                Err(fault) if fault.code != Code::Conflict => return Err(fault),
                _ => {}
            }
        }
        self.give_up_first(entry).await?;
        Ok(runs)
    }

    /// Nobody delivers it any more.
    pub(super) async fn give_up_first(&self, entry: &ConversationState) -> ports::Result<()> {
        self.0.index.update(entry, |record| record.undelivered.take().is_some()).await
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
