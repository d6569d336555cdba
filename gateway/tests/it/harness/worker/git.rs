//! Changes that are told by their path, and working trees of repositories that are where the path says so.

use std::sync::atomic::Ordering;

use ports::rpc::{Code, Fault};
use types::calls::{GitAnswer, GitCall};
use types::git::{GitChange, GitChangeStatus};
use types::worktree::{Worktree, WorktreeBase};

use super::{Answer, Worker, ok};

impl Worker {
    pub(super) async fn git(&self, call: GitCall) -> Answer {
        let script = self.0.script.lock().unwrap().clone();
        match call {
            GitCall::Prepare { .. } => ok(GitAnswer::Prepared),
            GitCall::Changes { path, reference, .. } => {
                let path = format!("{path} {}", reference.unwrap_or_default());
                ok(GitAnswer::Changes(vec![GitChange { status: GitChangeStatus::Added, path }]))
            }
            GitCall::AddWorktree { source, parent, place, base, branch } => {
                if let Some(held) = script.makes {
                    held.notified().await;
                }
                if let Some(code) = script.makes_no_tree {
                    return Err(Fault::new(code, "no working tree"));
                }
                if base == WorktreeBase::Ref("nowhere".to_owned()) {
                    return Err(Fault::new(Code::Invalid, "There is no commit 'nowhere' in this repository"));
                }
                let root = format!("{parent}/{place}/repository");
                let conversation = place.conversation;
                let made = Worktree { conversation, folder: root.clone(), root, branch };
                ok(GitAnswer::Worktree(source.contains("/repository").then_some(made)))
            }
            GitCall::RemoveWorktree { place } => {
                if let Some(held) = script.removes {
                    held.notified().await;
                }
                if script.stuck.contains(&place) {
                    return Err(Fault::new(Code::BadRequest, "it stays"));
                }
                if let Some(code) = script.removes_no_tree {
                    return Err(Fault::new(code, "it stays"));
                }
                self.0.removed.lock().unwrap().push(place);
                ok(GitAnswer::Removed)
            }
            GitCall::SweepWorktree { place } => {
                if let Some(held) = script.removes {
                    held.notified().await;
                }
                if script.unsaved.contains(&place) {
                    self.0.spared.lock().unwrap().push(place);
                    return Err(Fault::new(Code::Conflict, "not all is committed"));
                }
                self.0.removed.lock().unwrap().push(place);
                ok(GitAnswer::Removed)
            }
            GitCall::OldWorktrees { after } => {
                if after.is_none() {
                    self.0.sweeps.fetch_add(1, Ordering::Relaxed);
                }
                let mut old = script.old_trees;
                old.sort();
                old.retain(|place| after.is_none_or(|after| *place > after));
                old.truncate(script.told_at_once);
                ok(GitAnswer::OldWorktrees(old))
            }
            _ => Err(Fault::internal("secret text about the inside")),
        }
    }
}
