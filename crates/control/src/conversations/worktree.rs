//! Conversations in working trees of their own, so that they do not get into each other's way in one repository.
//!
//! The working tree is made before the conversation is stored: it is where the conversation works from then on, and the
//! worker that makes it keeps nobody else waiting. It is made anew for every wish, in a place of its own
//! ([`types::worktree::Place`]), so it does not matter who else makes the same conversation at the same time, or has its id
//! later. Whoever does not store the conversation in the end has removed what he has made ([`super::left_trees`]).

use std::path::{Component, Path};
use std::sync::Arc;
use std::time::Duration;

use ports::rpc::{Fault, Reason};
use readmodel::index::ConversationState;
use serde_json::{Map, Value};
use types::calls::{GitAnswer, GitCall};
use types::conversation::ConversationRecord;
use types::worktree::{Place, Worktree, WorktreeBase};

use super::in_hand::being_made;
use super::{Conversations, CreateOutcome};

/// All files of a repository are written; longer than a worker tries.
const MAKING: Duration = Duration::from_secs(5 * 60);

/// Bytes of a path that is believed.
const LONGEST: usize = 4_096;

/// How what the agent is told of its working tree begins.
const TOLD: &str = "This conversation has a git working tree of its own.";

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
    /// no conversation. `Unavailable`: it is being made by another call.
    pub async fn create_apart(
        &self,
        record: ConversationRecord,
        alone: bool,
        knows_its_id: bool,
        apart: Apart,
    ) -> Result<CreateOutcome, Fault> {
        self.0.activity.touch();
        let conversations = self.clone();
        let creating =
            async move { conversations.create_apart_now(record, alone, knows_its_id, &apart).await };
        self.0.tasks.spawn(creating).await.map_err(Fault::internal)?
    }

    async fn create_apart_now(
        &self,
        mut record: ConversationRecord,
        alone: bool,
        knows_its_id: bool,
        apart: &Apart,
    ) -> Result<CreateOutcome, Fault> {
        // A client that does not wait asks again: one making is enough.
        let _turn = self.0.apart.take(record.id).ok_or_else(being_made)?;
        // One that is there works in its own. One that is about to be gone is not there.
        if let Some(entry) = self.made_before(&record.tenant, record.id).await? {
            return self.theirs(&record.tenant, entry).await;
        }
        record.sandbox = self.sandbox_for(&record, alone).await?;
        let (id, sandbox, place) = (record.id, record.sandbox.clone(), Place::fresh(record.id));
        if let Err(fault) = self.set_apart(&mut record, place, apart).await {
            self.undo_worktree(sandbox, place, id);
            return Err(fault);
        }
        let created = self.create_now(record, alone, knows_its_id).await;
        match &created {
            Ok(CreateOutcome::New(_)) => self.sweep_worktrees(sandbox),
            // What the store does not answer may yet be stored. Once the tree is old, who sweeps knows.
            Err(fault) if fault.reason == Some(Reason::Unavailable) => {}
            Ok(CreateOutcome::Existing(_) | CreateOutcome::Taken) | Err(_) => {
                self.undo_worktree(sandbox, place, id);
            }
        }
        created
    }

    async fn set_apart(
        &self,
        record: &mut ConversationRecord,
        place: Place,
        apart: &Apart,
    ) -> Result<(), Fault> {
        let source = record.workspace.working_dir.clone();
        let parent = self.placement().worktrees_of(&source).unwrap_or_else(|| self.0.worktree_root.clone());
        let branch = format!("{}{}", apart.branch_prefix, record.id);
        let call = GitCall::AddWorktree {
            source: source.clone(),
            parent: parent.to_string_lossy().into_owned(),
            place,
            base: apart.base.clone(),
            branch: branch.clone(),
        };
        let answer = self.0.workers.call_within::<_, GitAnswer>(&record.sandbox, &call, MAKING).await?;
        let GitAnswer::Worktree(worktree) = answer else {
            return Err(Fault::internal("a worker answers a wish for a working tree with something else"));
        };
        let Some(worktree) = worktree else { return Ok(()) };
        let is_its_branch = worktree.branch == branch || worktree.branch == place.other_branch(&branch);
        if !is_its_branch || !is_below(&parent, place, &worktree) {
            return Err(Fault::internal("a worker has made another working tree than was wished for"));
        }
        tell(&mut record.agent, &guidance(&source, &worktree, &apart.base));
        record.workspace.working_dir.clone_from(&worktree.folder);
        record.worktree = Some(worktree);
        Ok(())
    }

    /// Takes a new conversation back that works in the working tree of its parent where that may be gone. Whoever has deleted the
    /// last one that worked there has either seen the record of this one, or is seen here.
    ///
    /// # Errors
    /// `NotFound`: it may. Those of the store.
    pub(super) async fn in_its_tree(
        &self,
        record: &ConversationRecord,
        entry: Arc<ConversationState>,
    ) -> Result<Arc<ConversationState>, Fault> {
        let shared = record.worktree.as_ref().filter(|worktree| worktree.conversation != record.id);
        let (Some(shared), Some(parent)) = (shared, record.parent_conversation_id) else { return Ok(entry) };
        let stored = self.0.index.read(parent).await?;
        if stored.is_some_and(|parent| parent.worktree.as_ref() == Some(shared)) {
            return Ok(entry);
        }
        self.0.index.withdraw(record).await?;
        Err(Reason::Missing.into())
    }
}

/// Whether it is at its place: workers are not believed.
fn is_below(parent: &Path, place: Place, worktree: &Worktree) -> bool {
    let Worktree { conversation, root, folder, .. } = worktree;
    let is_plain = |path: &str| {
        let mut steps = Path::new(path).components();
        path.len() <= LONGEST && steps.all(|step| matches!(step, Component::RootDir | Component::Normal(_)))
    };
    let own = parent.join(place.to_string());
    let is_own = Path::new(root).parent() == Some(&own) && Path::new(folder).starts_with(root);
    is_own && *conversation == place.conversation && is_plain(root) && is_plain(folder)
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
        "{TOLD}\n- Original folder: {source}\n- Top of the working tree: \
         {root}\n- Working folder: {folder}\n- Branch: {branch}\nWork in the working tree alone, also with git, and leave \
         the original folder as it is. Commit to a new branch with a fitting name, which begins with {base}."
    )
}

/// Adds to what the agent is told in the beginning, in the place of what its parent was told of its own working tree.
fn tell(agent: &mut Value, text: &str) {
    let Some(agent) = agent.as_object_mut() else { return };
    let context = agent.entry("agent_context").or_insert(Value::Null);
    if context.is_null() {
        *context = Value::Object(Map::new());
    }
    let Some(context) = context.as_object_mut() else { return };
    let suffix = context.get("system_message_suffix").and_then(Value::as_str);
    let told = match suffix.map(|suffix| suffix.split(TOLD).next().unwrap_or_default().trim_end()) {
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
    fn a_working_tree_that_is_elsewhere_is_not_believed() {
        let (place, parent) = (Place::fresh(types::ConversationId::random()), Path::new("/trees"));
        let other = Place::fresh(place.conversation);
        let is_believed = |root: &str, folder: &str| {
            let named =
                |path: &str| path.replace("OTHER", &other.to_string()).replace("OWN", &place.to_string());
            let (root, folder, branch) = (named(root), named(folder), "b".to_owned());
            is_below(parent, place, &Worktree { conversation: place.conversation, root, folder, branch })
        };
        assert!(is_believed("/trees/OWN/repo", "/trees/OWN/repo"));
        assert!(is_believed("/trees/OWN/repo", "/trees/OWN/repo/sub/folder"));
        for (root, folder) in [
            ("/trees/repo", "/trees/repo"),
            ("/trees/OTHER/repo", "/trees/OTHER/repo"),
            ("/other/OWN/repo", "/other/OWN/repo"),
            ("/trees/OWN", "/trees/OWN"),
            ("/trees/OWN/repo", "/elsewhere"),
            ("/trees/OWN/repo", "/trees/OWN/repository"),
            ("/trees/OWN/repo", "/trees/OWN/repo/../../../etc"),
            ("/trees/OWN/..", "/trees/OWN/.."),
        ] {
            assert!(!is_believed(root, folder), "{root} {folder}");
        }
        assert!(!is_believed("/trees/OWN/repo", &format!("/trees/OWN/repo/{}", "x".repeat(LONGEST))));
    }

    #[test]
    fn a_child_is_told_of_its_own_working_tree_and_not_of_its_parents() {
        let mut agent = json!({"agent_context": {"system_message_suffix": "Speak French."}});
        tell(&mut agent, &format!("{TOLD} The parent's."));
        tell(&mut agent, &format!("{TOLD} Its own."));
        let told = format!("Speak French.\n\n{TOLD} Its own.");
        assert_eq!(agent["agent_context"]["system_message_suffix"], told);
    }

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
