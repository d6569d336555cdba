//! Conversations in working trees of their own, so that they do not get into each other's way in one repository.
//!
//! The working tree is made before the conversation is stored: it is where the conversation works from then on, and the
//! worker that makes it keeps nobody else waiting. It goes with the last conversation that works in it, of those that the store
//! has when the record of this one is gone; its branch stays. One that is there already is not made anew: somebody may work in
//! it. What a crash has left of one is.

use std::collections::HashSet;
use std::path::{Component, Path};
use std::time::Duration;

use futures_util::TryStreamExt;
use ports::rpc::{Code, Fault};
use ports::{Change, Error, KvEntry};
use readmodel::index::ConversationState;
use serde::Deserialize;
use serde_json::{Map, Value};
use types::buckets::CONVERSATIONS;
use types::calls::{GitAnswer, GitCall};
use types::conversation::ConversationRecord;
use types::worktree::{Worktree, WorktreeBase};
use types::{LogId, SandboxId};

use super::{Conversations, CreateOutcome};

/// All files of a repository are written.
const MAKING: Duration = Duration::from_secs(90);
const REMOVING: Duration = Duration::from_secs(60);

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
        mut record: ConversationRecord,
        alone: bool,
        knows_its_id: bool,
        apart: Apart,
    ) -> Result<CreateOutcome, Fault> {
        self.0.activity.touch();
        let conversations = self.clone();
        let creating = async move {
            let Some(_turn) = conversations.0.in_hand.take(record.id) else {
                return Err(Fault::new(
                    Code::Unavailable,
                    "This conversation is being made. Try again later.",
                ));
            };
            record.sandbox = conversations.sandbox_for(&record, alone).await?;
            let log = LogId::conversation(&record.sandbox, record.id);
            conversations.remove_left_copy(record.id, &log).await?;
            // One that is there works in its own by now.
            if conversations.0.index.read(record.id).await?.is_none() {
                conversations.set_apart(&mut record, &apart).await?;
            }
            let (sandbox, made) = (record.sandbox.clone(), record.worktree.clone());
            let created = conversations.create_now(record, alone, knows_its_id).await;
            if let (Some(made), Err(_) | Ok(CreateOutcome::Taken)) = (made, &created) {
                conversations.remove_unused(&sandbox, made).await;
            }
            created
        };
        self.0.tasks.spawn(creating).await.map_err(Fault::internal)?
    }

    /// Whether the record of a conversation names it: what is known here lags.
    async fn is_used(&self, worktree: &Worktree) -> ports::Result<bool> {
        let (mut users, mut records) = (HashSet::new(), self.0.kv.scan(CONVERSATIONS));
        while let Some(change) = records.try_next().await? {
            match change {
                Change::Put { key, entry } => match root_of(&entry)? {
                    Some(root) if root == worktree.root => drop(users.insert(key)),
                    _ => drop(users.remove(&key)),
                },
                Change::Deleted { key } => drop(users.remove(&key)),
                Change::Lagged => {}
            }
        }
        Ok(!users.is_empty())
    }

    async fn set_apart(&self, record: &mut ConversationRecord, apart: &Apart) -> Result<(), Fault> {
        let source = record.workspace.working_dir.clone();
        let parent = self.placement().worktrees_of(&source).unwrap_or_else(|| self.0.worktree_root.clone());
        let branch = format!("{}{}", apart.branch_prefix, record.id);
        let call = GitCall::AddWorktree {
            source: source.clone(),
            parent: parent.to_string_lossy().into_owned(),
            conversation: record.id,
            base: apart.base.clone(),
            branch: branch.clone(),
        };
        let answer = self.0.workers.call_within::<_, GitAnswer>(&record.sandbox, &call, MAKING).await?;
        let GitAnswer::Worktree(worktree) = answer else {
            return Err(Fault::internal("a worker answers a wish for a working tree with something else"));
        };
        let Some(worktree) = worktree else { return Ok(()) };
        if worktree.conversation != record.id || worktree.branch != branch || !is_below(&parent, &worktree) {
            return Err(Fault::internal("a worker has made another working tree than was wished for"));
        }
        tell(&mut record.agent, &guidance(&source, &worktree, &apart.base));
        record.workspace.working_dir.clone_from(&worktree.folder);
        record.worktree = Some(worktree);
        Ok(())
    }

    /// Removes the working tree of a conversation that is deleted, unless others work in it. Where no worker is awake it stays
    /// in the sandbox, which nobody is woken in for that.
    pub(super) async fn leave_worktree(&self, entry: &ConversationState) {
        let Some(worktree) = entry.record().worktree.clone() else { return };
        // Whoever makes the conversation anew has it made for himself.
        let Some(_turn) = self.0.in_hand.take(worktree.conversation) else { return };
        self.remove_unused(entry.log.sandbox(), worktree).await;
    }

    async fn remove_unused(&self, sandbox: &SandboxId, worktree: Worktree) {
        let id = worktree.conversation;
        let removed = async {
            if self.is_used(&worktree).await? {
                return Ok(());
            }
            let call = GitCall::RemoveWorktree { worktree };
            self.0.workers.call_if_awake::<_, GitAnswer>(sandbox, &call, REMOVING).await.map(drop)
        };
        if let Err(fault) = removed.await {
            let fault: Fault = fault;
            tracing::warn!(conversation.id = %id, %fault, "a working tree that nobody has stays");
        }
    }
}

/// The top of the working tree of a conversation, if it has one.
fn root_of(record: &KvEntry) -> ports::Result<Option<String>> {
    #[derive(Deserialize)]
    struct Place {
        root: String,
    }
    #[derive(Deserialize)]
    struct Placed {
        #[serde(default)]
        worktree: Option<Place>,
    }
    let placed: Placed =
        serde_json::from_slice(&record.value).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(placed.worktree.map(|place| place.root))
}

/// Whether it is where working trees of its conversation are: workers are not believed.
fn is_below(parent: &Path, worktree: &Worktree) -> bool {
    let Worktree { conversation, root, folder, source, .. } = worktree;
    let is_plain = |path: &str| {
        let mut steps = Path::new(path).components();
        path.len() <= LONGEST && steps.all(|step| matches!(step, Component::RootDir | Component::Normal(_)))
    };
    let own = parent.join(conversation.to_string());
    let is_own = Path::new(root).parent() == Some(&own) && Path::new(folder).starts_with(root);
    is_own && is_plain(root) && is_plain(folder) && source.len() <= LONGEST
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
        let conversation = types::ConversationId::random();
        let parent = Path::new("/trees");
        let is_believed = |root: &str, folder: &str| {
            let [root, folder] = [root, folder].map(|path| path.replace("ID", &conversation.to_string()));
            let (source, branch) = ("/repo".to_owned(), "b".to_owned());
            is_below(parent, &Worktree { conversation, source, root, folder, branch })
        };
        assert!(is_believed("/trees/ID/repo", "/trees/ID/repo"));
        assert!(is_believed("/trees/ID/repo", "/trees/ID/repo/sub/folder"));
        for (root, folder) in [
            ("/trees/repo", "/trees/repo"),
            ("/other/ID/repo", "/other/ID/repo"),
            ("/trees/ID", "/trees/ID"),
            ("/trees/ID/repo", "/elsewhere"),
            ("/trees/ID/repo", "/trees/ID/repository"),
            ("/trees/ID/repo", "/trees/ID/repo/../../../etc"),
            ("/trees/ID/..", "/trees/ID/.."),
        ] {
            assert!(!is_believed(root, folder), "{root} {folder}");
        }
        assert!(!is_believed("/trees/ID/repo", &format!("/trees/ID/repo/{}", "x".repeat(LONGEST))));
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
