//! Conversations in working trees of their own, so that they do not get into each other's way in one repository.
//!
//! The working tree is made before the conversation is stored: it is where the conversation works from then on, and the
//! worker that makes it keeps nobody else waiting. It goes with the last conversation that works in it; its branch stays. What
//! a crash leaves between the two is made anew when the creation is repeated.

use std::sync::Arc;
use std::time::Duration;

use ports::rpc::Fault;
use readmodel::index::ConversationState;
use serde_json::{Map, Value};
use types::calls::{GitAnswer, GitCall};
use types::conversation::ConversationRecord;
use types::worktree::{Worktree, WorktreeBase};

use super::{Conversations, CreateOutcome};

/// All files of a repository are written.
const MAKING: Duration = Duration::from_secs(90);
const REMOVING: Duration = Duration::from_secs(60);

/// What a branch is called before the conversation's id, unless the client says so.
pub const BRANCH_PREFIX: &str = "openhands/";

/// How a working tree is made.
#[derive(Clone, Debug)]
pub struct Apart {
    pub base: WorktreeBase,
    pub branch_prefix: String,
}

impl Default for Apart {
    fn default() -> Self {
        Self { base: WorktreeBase::default(), branch_prefix: BRANCH_PREFIX.to_owned() }
    }
}

impl Conversations {
    /// As [`Conversations::create`], in a working tree of its own where the workspace is in a repository with a commit.
    ///
    /// # Errors
    /// As [`Conversations::create`]; `Absent`: no worker comes that could make it. `Invalid`: the base is no commit. Then there is
    /// no conversation.
    pub async fn create_apart(
        &self,
        mut record: ConversationRecord,
        alone: bool,
        knows_its_id: bool,
        apart: Apart,
    ) -> Result<CreateOutcome, Fault> {
        self.0.activity.touch();
        let conversations = self.clone();
        let creating = async move {
            record.sandbox = conversations.sandbox_for(&record, alone).await?;
            conversations.set_apart(&mut record, &apart).await?;
            conversations.create_now(record, alone, knows_its_id).await
        };
        self.0.tasks.spawn(creating).await.map_err(Fault::internal)?
    }

    async fn set_apart(&self, record: &mut ConversationRecord, apart: &Apart) -> Result<(), Fault> {
        let source = record.workspace.working_dir.clone();
        let parent = self.placement().worktrees_of(&source).unwrap_or_else(|| self.0.worktree_root.clone());
        let call = GitCall::AddWorktree {
            source: source.clone(),
            parent: parent.to_string_lossy().into_owned(),
            conversation: record.id,
            base: apart.base.clone(),
            branch: format!("{}{}", apart.branch_prefix, record.id),
        };
        let answer = self.0.workers.call_within::<_, GitAnswer>(&record.sandbox, &call, MAKING).await?;
        let GitAnswer::Worktree(worktree) = answer else {
            return Err(Fault::internal("a worker answers a wish for a working tree with something else"));
        };
        let Some(worktree) = worktree else { return Ok(()) };
        tell(&mut record.agent, &guidance(&source, &worktree, &apart.base));
        record.workspace.working_dir.clone_from(&worktree.folder);
        record.worktree = Some(worktree);
        Ok(())
    }

    /// Removes the working tree of a conversation that is deleted, unless others work in it. Where no worker is awake it stays
    /// in the sandbox, which nobody is woken in for that.
    pub(super) async fn leave_worktree(&self, entry: &ConversationState) {
        let Some(worktree) = entry.record().worktree.clone() else { return };
        let sandbox = entry.log.sandbox();
        let is_in_it = |other: &Arc<ConversationState>| {
            other.id != entry.id
                && other.record().worktree.as_ref().is_some_and(|its| its.root == worktree.root)
        };
        if self.0.index.in_sandbox(sandbox).iter().any(is_in_it) {
            return;
        }
        let call = GitCall::RemoveWorktree { worktree };
        let removed = self.0.workers.call_if_awake::<_, GitAnswer>(sandbox, &call, REMOVING).await;
        if let Err(fault) = removed {
            tracing::warn!(conversation.id = %entry.id, %fault, "the working tree of a deleted conversation stays");
        }
    }
}

/// What the agent is to know of where it works.
fn guidance(source: &str, worktree: &Worktree, base: &WorktreeBase) -> String {
    let Worktree { root, folder, branch, .. } = worktree;
    let base = match base {
        WorktreeBase::DefaultBranch => "the main or master branch".to_owned(),
        WorktreeBase::Head => "what was checked out in the original folder".to_owned(),
        WorktreeBase::Ref(name) => format!("`{name}`"),
    };
    format!(
        "This conversation has a git working tree of its own.\n- Original folder: {source}\n- Top of the working tree: \
         {root}\n- Working folder: {folder}\n- Branch: {branch}\nWork in the working tree alone, also with git, and leave \
         the original folder as it is. Commit to a new branch with a fitting name, which begins with {base}."
    )
}

/// Adds to what the agent is told in the beginning.
fn tell(agent: &mut Value, text: &str) {
    let Some(agent) = agent.as_object_mut() else { return };
    let context = agent.entry("agent_context").or_insert(Value::Null);
    if context.is_null() {
        *context = Value::Object(Map::new());
    }
    let Some(context) = context.as_object_mut() else { return };
    let told = match context.get("system_message_suffix").and_then(Value::as_str) {
        Some(suffix) if !suffix.trim().is_empty() => format!("{suffix}\n\n{text}"),
        _ => text.to_owned(),
    };
    context.insert("system_message_suffix".to_owned(), told.into());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_told_comes_behind_what_the_client_tells() {
        for (context, told) in [
            (json!({}), "x"),
            (json!({"agent_context": null}), "x"),
            (json!({"agent_context": {"system_message_suffix": null}}), "x"),
            (json!({"agent_context": {"system_message_suffix": "Speak French."}}), "Speak French.\n\nx"),
        ] {
            let mut agent = context;
            tell(&mut agent, "x");
            assert_eq!(agent["agent_context"]["system_message_suffix"], told);
        }
    }
}
