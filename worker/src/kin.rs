//! What commands of the API have started in workspaces of conversations, so that it ends with the conversation and
//! with the worker, wherever it has gone. Shells of agents see to theirs themselves.

use std::sync::Arc;

use tools::offspring::{Mark, Offspring};
use types::ConversationId;
use uuid::Uuid;

/// The variable that names worker and conversation of a process.
const MARK: &str = "MANYHANDS_CONVERSATION";

/// Of one worker. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Kin {
    /// Nobody else knows it, so no program can pass for another worker's.
    worker: Arc<str>,
}

impl Default for Kin {
    fn default() -> Self {
        Self { worker: Uuid::new_v4().simple().to_string().into() }
    }
}

impl Kin {
    /// What commands of this conversation start with.
    pub(crate) fn mark(&self, conversation: ConversationId) -> Mark {
        Mark { name: MARK, value: format!("{}.{conversation}", self.worker) }
    }

    pub(crate) async fn end(&self, conversation: ConversationId) {
        end(self.mark(conversation)).await;
    }

    /// Ends what is left of all conversations.
    pub(crate) async fn end_all(&self) {
        end(Mark { name: MARK, value: format!("{}.", self.worker) }).await;
    }
}

async fn end(mark: Mark) {
    // It is blocking work that cannot fail.
    let _ = tokio::task::spawn_blocking(move || Offspring::of(mark).end()).await;
}
