//! What clients read of conversations: no worker is asked.

use std::path::Path;
use std::sync::Arc;

use control::placement::{Placement, runtime_info};
use ports::EventLog;
use readmodel::history::History;
use readmodel::index::{ConversationState, Index, RuntimeInfo, View};
use types::ConversationId;

use crate::auth::Caller;
use crate::error::{ApiError, ApiResult};

/// The read model, and how conversations are shown. Cheap to clone.
#[derive(Clone)]
pub struct Reading {
    pub index: Index,
    pub history: Arc<History>,
    pub log: Arc<dyn EventLog>,
    pub placement: Arc<dyn Placement>,
    /// Shown as the folder above a conversation's own.
    pub conversations_path: Arc<Path>,
}

/// How much of a conversation an answer shows.
#[derive(Clone, Copy, Default)]
pub struct Detail {
    pub include_skills: bool,
    pub runtime: bool,
}

impl Reading {
    /// # Errors
    /// 404 for a conversation that the caller's tenant has not; those of the store.
    pub async fn get(&self, caller: &Caller, id: ConversationId) -> ApiResult<Arc<ConversationState>> {
        self.index.find(&caller.tenant, id).await?.ok_or_else(ApiError::not_found)
    }

    /// Appends one `ConversationInfo`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn write_info(&self, entry: &ConversationState, detail: Detail, out: &mut Vec<u8>) -> ApiResult<()> {
        let view = View {
            conversations_path: &self.conversations_path,
            include_skills: detail.include_skills,
            runtime: detail.runtime.then(|| self.runtime(entry)),
        };
        Ok(entry.write_info(view, &self.index.children_of(entry.id), out)?)
    }

    /// Whether the sandbox of a conversation is at hand.
    #[must_use]
    pub fn runtime(&self, entry: &ConversationState) -> RuntimeInfo {
        runtime_info(self.placement.status(entry.log.sandbox()))
    }

    /// The value of a `full_state` update.
    #[must_use]
    pub fn snapshot(&self, entry: &ConversationState) -> String {
        entry.snapshot(&self.conversations_path)
    }
}
