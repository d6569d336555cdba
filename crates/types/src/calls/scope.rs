//! Where a call is confined to.

use serde::{Deserialize, Serialize};

use crate::ids::ConversationId;
use crate::log_id::BashScope;

/// Which conversation's workspace a bash, file or git call is confined to; `None`: the sandbox's whole
/// file system, paths as given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    #[serde(default)]
    pub workspace: Option<ScopedWorkspace>,
}

impl Scope {
    /// Which log the commands of this scope are in.
    #[must_use]
    pub fn bash(&self) -> BashScope {
        match &self.workspace {
            Some(workspace) => BashScope::Conversation(workspace.conversation),
            None => BashScope::Sandbox,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopedWorkspace {
    pub conversation: ConversationId,
    /// Absolute.
    pub root: String,
}
