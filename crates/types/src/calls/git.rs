//! What a worker is asked of repositories.

use serde::{Deserialize, Serialize};

use super::Scope;
use crate::git::{GitChange, GitCommitsPage, GitDiff};
use crate::service::{AnswerTo, OfWorker, Service};
use crate::worktree::{Place, Worktree, WorktreeBase};

/// Gateway to worker, `mh.cmd.<sandbox>.git`. Answered with [`GitAnswer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum GitCall {
    Changes {
        scope: Scope,
        path: String,
        reference: Option<String>,
    },
    Diff {
        scope: Scope,
        path: String,
        reference: Option<String>,
        commit: Option<String>,
    },
    Commits {
        scope: Scope,
        path: String,
        limit: usize,
    },
    CommitChanges {
        scope: Scope,
        path: String,
        sha: String,
    },
    /// Makes the directory, and `git init` in it unless it is inside a repository.
    Prepare {
        path: String,
    },
    /// Makes a working tree of the repository of `source` in a folder of its own below `parent`, with a branch of its own:
    /// `branch`, or where there is one, [`Place::other_branch`]. None where there is no commit. Invalid: `base` is no commit,
    /// or no branch can be called so. What goes wrong leaves nothing.
    AddWorktree {
        source: String,
        parent: String,
        place: Place,
        base: WorktreeBase,
        branch: String,
    },
    /// Removes what was made there, once that is over; the branch stays.
    RemoveWorktree {
        place: Place,
    },
    /// The same, unless something is in it that is not certainly in a branch: then it stays, and is not told of as old for a while.
    /// Conflict.
    SweepWorktree {
        place: Place,
    },
    /// The places that were made in this sandbox, or looked at, longer ago than any making takes: in their order, those after this
    /// one, and as many as are told at once.
    OldWorktrees {
        #[serde(default)]
        after: Option<Place>,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", content = "value", rename_all = "snake_case")]
pub enum GitAnswer {
    Changes(Vec<GitChange>),
    Diff(GitDiff),
    Commits(GitCommitsPage),
    Prepared,
    Worktree(Option<Worktree>),
    Removed,
    OldWorktrees(Vec<Place>),
}

impl Service for GitCall {
    const NAME: &'static str = "git";

    fn only_reads(&self) -> bool {
        match self {
            Self::Changes { .. } | Self::Diff { .. } | Self::Commits { .. } | Self::CommitChanges { .. } => {
                true
            }
            Self::Prepare { .. }
            | Self::AddWorktree { .. }
            | Self::RemoveWorktree { .. }
            | Self::SweepWorktree { .. } => false,
            Self::OldWorktrees { .. } => true,
        }
    }
}

impl OfWorker for GitCall {}
impl AnswerTo<GitCall> for GitAnswer {}
