//! Conversations that another one starts: with its agent, secrets and settings, a task for a first message, and nothing of
//! what was said in it.

use std::sync::Arc;

use ports::rpc::{Fault, Reason};
use readmodel::index::ConversationState;
use serde::{Deserialize, Serialize};
use types::conversation::{ConversationRecord, FirstMessage};
use types::{ConversationId, Message, Role};

use super::{Apart, Conversations, CreateOutcome};

/// What a child is to be.
#[derive(Debug)]
pub struct Child {
    /// Given where the call may be repeated.
    pub id: Option<ConversationId>,
    /// Its first message.
    pub task: String,
    pub title: Option<String>,
    pub isolation: Isolation,
}

/// How the files that a child works on are kept apart from its parent's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// It has a working tree of its own, where there is a repository.
    #[default]
    Worktree,
    /// They are the same.
    Shared,
}

impl Isolation {
    /// What it is of a conversation. Where there was no repository its folder is shared, whatever was wished for.
    #[must_use]
    pub fn of(record: &ConversationRecord) -> Self {
        match &record.worktree {
            Some(worktree) if worktree.conversation == record.id => Self::Worktree,
            _ => Self::Shared,
        }
    }
}

impl Conversations {
    /// Starts a child in the sandbox of its parent. Goes on to its end also when nobody waits for it.
    ///
    /// # Errors
    /// `Conflict`, with a text: a secret does not open. `Busy`: no run slot is free, and there is no child. Those of the store.
    pub async fn start_child(
        &self,
        parent: &Arc<ConversationState>,
        child: Child,
    ) -> Result<Arc<ConversationState>, Fault> {
        let Child { id, task, title, isolation } = child;
        let mut record = self.stored_record(parent).await?;
        record.parent_conversation_id = Some(parent.id);
        record.forked_from_conversation_id = None;
        record.forked_from_event_id = None;
        record.title = title;
        record.undelivered = Some(FirstMessage { message: Message::new(Role::User, task), run: true });
        let record = self.opened_for(record, id.unwrap_or_else(ConversationId::random))?;
        let created = match isolation {
            Isolation::Shared => self.create(record, false, id.is_some()).await?,
            Isolation::Worktree => self.create_apart(record, false, id.is_some(), Apart::default()).await?,
        };
        match created {
            CreateOutcome::New(entry) | CreateOutcome::Existing(entry) => Ok(entry),
            CreateOutcome::Taken => Err(Fault::from(Reason::Changed { tail: None })),
        }
    }
}
