//! Working trees that conversations have of a repository, each for itself.

use serde::{Deserialize, Serialize};

use crate::ids::ConversationId;

/// A working tree that was made for a conversation. Others may work in it, too: copies of it, say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worktree {
    pub conversation: ConversationId,
    /// The folder whose repository it is of.
    pub source: String,
    /// The top of it.
    pub root: String,
    /// Where the conversation works: in it what `source` is in the repository.
    pub folder: String,
    pub branch: String,
}

/// The commit that a working tree begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorktreeBase {
    /// Of the branch that is the remote's first, as it was fetched last; else of `main` or `master`; else as `Head`.
    #[default]
    DefaultBranch,
    /// The one that is checked out.
    Head,
    /// Of a branch or a tag, or itself.
    Ref(String),
}
