//! What git knows about a folder.

mod base;
mod changes;
mod commits;
mod diff;
mod find;
mod places;
mod prepare;
mod program;
mod repository;
mod unsaved;
mod view;
mod worktree;

use std::path::PathBuf;

use ports::rpc::Fault;
use tokio::sync::Semaphore;
use types::calls::{GitAnswer, GitCall, Scope};
use types::git::GitCommitsPage;

use super::place;
use worktree::{Wish, Worktrees};

pub(super) use base::{Base, automatic as automatic_base, commit as commit_base};
pub(super) use changes::NOT_INTO_SUBMODULES;
pub(super) use prepare::Template;
pub(super) use program::{Failure, Git, parts};
pub(super) use repository::Repository;

/// Lists of files that are made at one time, in memory; others wait.
const MOST_LISTS: usize = 16;

pub(super) struct Service {
    /// Where relative paths start.
    default_cwd: PathBuf,
    template: Template,
    lists: Semaphore,
    worktrees: Worktrees,
}

impl Service {
    /// `worktrees`: a folder for notes of working trees, which outlives the worker.
    pub(super) fn new(default_cwd: PathBuf, worktrees: PathBuf, template: Template) -> Self {
        let lists = Semaphore::new(MOST_LISTS);
        Self { default_cwd, template, lists, worktrees: Worktrees::new(worktrees) }
    }

    /// Looks at files without regard for others: on a thread that serves nobody else (`aside`).
    pub(super) async fn answer(&self, call: GitCall) -> Result<GitAnswer, Fault> {
        match call {
            GitCall::Changes { scope, path, reference } => {
                let path = self.path(&scope, &path)?;
                let _turn = self.lists.acquire().await.map_err(Fault::internal)?;
                Ok(GitAnswer::Changes(changes::of_folder(&path, reference.as_deref()).await?))
            }
            GitCall::Diff { scope, path, reference, commit } => {
                let path = self.file(&scope, &path)?;
                Ok(GitAnswer::Diff(diff::diff(&path, reference.as_deref(), commit.as_deref()).await?))
            }
            GitCall::Commits { scope, path, limit } => {
                let path = self.path(&scope, &path)?;
                let page = match Repository::of(&path).await? {
                    Some(repository) => commits::newest(&repository, limit).await?,
                    None => GitCommitsPage::default(),
                };
                Ok(GitAnswer::Commits(page))
            }
            GitCall::CommitChanges { scope, path, sha } => {
                let path = self.path(&scope, &path)?;
                let _turn = self.lists.acquire().await.map_err(Fault::internal)?;
                Ok(GitAnswer::Changes(changes::of_commit(&path, &sha).await?))
            }
            GitCall::Prepare { path } => {
                let path = self.default_cwd.join(path);
                place::check(&path)?;
                self.template.prepare(&path).await?;
                Ok(GitAnswer::Prepared)
            }
            GitCall::AddWorktree { source, parent, place, base, branch } => {
                let (source, parent) = (self.default_cwd.join(source), self.default_cwd.join(parent));
                place::check(&source)?;
                place::check(&parent)?;
                let wish = Wish { source, parent, place, base, branch };
                Ok(GitAnswer::Worktree(self.worktrees.add(wish).await?))
            }
            GitCall::RemoveWorktree { place } => {
                self.worktrees.remove(place).await?;
                Ok(GitAnswer::Removed)
            }
            GitCall::SweepWorktree { place } => {
                self.worktrees.sweep(place).await?;
                Ok(GitAnswer::Removed)
            }
            GitCall::OldWorktrees { after } => Ok(GitAnswer::OldWorktrees(self.worktrees.old(after))),
        }
    }

    fn path(&self, scope: &Scope, path: &str) -> Result<PathBuf, Fault> {
        place::within(scope, &self.absolute(scope, path))
    }

    /// Where the scope is a conversation's, a path is meant as it is.
    fn absolute(&self, scope: &Scope, path: &str) -> PathBuf {
        match scope.workspace {
            Some(_) => PathBuf::from(path),
            None => self.default_cwd.join(path),
        }
    }

    /// Like [`Self::path`], but a symlink at the end is not followed: to git it is a file.
    fn file(&self, scope: &Scope, path: &str) -> Result<PathBuf, Fault> {
        let path = self.absolute(scope, path);
        place::check_in(scope, &path)?;
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok(place::within(scope, parent)?.join(name)),
            _ => place::within(scope, &path),
        }
    }
}
