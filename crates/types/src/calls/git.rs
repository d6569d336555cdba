//! What a worker is asked of repositories.

use serde::{Deserialize, Serialize};

use super::Scope;
use crate::git::{GitChange, GitCommitsPage, GitDiff};
use crate::service::{AnswerTo, OfWorker, Service};

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
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", content = "value", rename_all = "snake_case")]
pub enum GitAnswer {
    Changes(Vec<GitChange>),
    Diff(GitDiff),
    Commits(GitCommitsPage),
    Prepared,
}

impl Service for GitCall {
    const NAME: &'static str = "git";

    fn only_reads(&self) -> bool {
        match self {
            Self::Changes { .. } | Self::Diff { .. } | Self::Commits { .. } | Self::CommitChanges { .. } => {
                true
            }
            Self::Prepare { .. } => false,
        }
    }
}

impl OfWorker for GitCall {}
impl AnswerTo<GitCall> for GitAnswer {}
