//! Working trees that nobody works in any more.
//!
//! One goes with the last conversation that works in it, of those that the store has when the record of this one is gone. Each
//! of several that are deleted at once looks after its own record is gone, so the last of them finds nobody; and what two of
//! them remove is removed once. Its branch stays.
//!
//! What is not removed then, for no worker was awake, or this process had ended, is removed when the next one is made in the
//! sandbox: its worker tells which places are old, and those stay that a record names.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::TryStreamExt;
use ports::rpc::Fault;
use ports::{Change, KvEntry};
use readmodel::index::ConversationState;
use serde::Deserialize;
use types::buckets::CONVERSATIONS;
use types::calls::{GitAnswer, GitCall};
use types::worktree::{Place, Worktree};
use types::{ConversationId, SandboxId};

use super::Conversations;

/// All files of a repository are removed.
const REMOVING: Duration = Duration::from_secs(60);
const LISTING: Duration = Duration::from_secs(30);

/// Of those that a worker calls old, at a time.
const MOST: usize = 1_000;

impl Conversations {
    /// Removes the working tree of a conversation that is deleted, unless others work in it. Where no worker is awake it stays
    /// in the sandbox for now, which nobody is woken in for that.
    pub(super) async fn leave_worktree(&self, entry: &ConversationState) {
        if let Some(place) = entry.record().worktree.as_ref().and_then(Worktree::place) {
            self.remove_unused(entry.log.sandbox(), place).await;
        }
    }

    /// Removes what was made for a conversation that is not made after all, and gives back what it had for itself. Nobody
    /// waits for it.
    pub(super) fn undo_worktree(&self, sandbox: SandboxId, place: Place, id: ConversationId) {
        let conversations = self.clone();
        self.0.tasks.spawn_until_drain(async move {
            conversations.remove_unused(&sandbox, place).await;
            if let Err(error) = conversations.placement().unused(&sandbox, id).await {
                tracing::warn!(conversation.id = %id, %error, "a sandbox that nobody needs is left behind for now");
            }
        });
    }

    /// Removes what was left of others in the sandbox. Nobody waits for it.
    pub(super) fn sweep_worktrees(&self, sandbox: SandboxId) {
        let conversations = self.clone();
        self.0.tasks.spawn_until_drain(async move {
            if let Err(fault) = conversations.sweep_now(&sandbox).await {
                tracing::warn!(sandbox.id = %sandbox, %fault, "old working trees that nobody has stay for now");
            }
        });
    }

    async fn sweep_now(&self, sandbox: &SandboxId) -> Result<(), Fault> {
        let asked = self.0.workers.call_if_awake::<_, GitAnswer>(sandbox, &GitCall::OldWorktrees {}, LISTING);
        let (GitAnswer::OldWorktrees(old), _) = asked.await? else {
            return Err(Fault::internal("a worker answers with something else than old working trees"));
        };
        let mut old: HashSet<Place> = old.into_iter().take(MOST).collect();
        // Most are: that is known without asking the store.
        for entry in self.0.index.in_sandbox(sandbox) {
            if let Some(place) = entry.record().worktree.as_ref().and_then(Worktree::place) {
                old.remove(&place);
            }
        }
        let used = self.used(sandbox, &old).await?;
        for place in old.difference(&used) {
            self.remove_from(sandbox, *place).await?;
        }
        Ok(())
    }

    async fn remove_unused(&self, sandbox: &SandboxId, place: Place) {
        let removed = async {
            match self.used(sandbox, &HashSet::from([place])).await?.is_empty() {
                true => self.remove_from(sandbox, place).await,
                false => Ok(()),
            }
        };
        if let Err(fault) = removed.await {
            tracing::warn!(%place, %fault, "a working tree that nobody has stays for now");
        }
    }

    async fn remove_from(&self, sandbox: &SandboxId, place: Place) -> Result<(), Fault> {
        let call = GitCall::RemoveWorktree { place };
        self.0.workers.call_if_awake::<_, GitAnswer>(sandbox, &call, REMOVING).await.map(drop)
    }

    /// The places of these that stored records name. What is known here lags, but says whom to ask first: all records are read
    /// only where nobody is found.
    async fn used(&self, sandbox: &SandboxId, places: &HashSet<Place>) -> Result<HashSet<Place>, Fault> {
        let mut used = HashSet::new();
        for entry in self.0.index.in_sandbox(sandbox) {
            let place = entry.record().worktree.as_ref().and_then(Worktree::place);
            let Some(place) = place.filter(|place| places.contains(place) && !used.contains(place)) else {
                continue;
            };
            let stored = self.0.index.read(entry.id).await?.and_then(|record| record.worktree);
            if stored.as_ref().and_then(Worktree::place) == Some(place) {
                used.insert(place);
            }
        }
        if used.len() == places.len() {
            return Ok(used);
        }
        let (mut users, mut records) = (HashMap::new(), self.0.kv.scan(CONVERSATIONS));
        while let Some(change) = records.try_next().await? {
            match change {
                Change::Put { key, entry } => {
                    match place_of(&entry)?.filter(|place| places.contains(place)) {
                        Some(place) => drop(users.insert(key, place)),
                        None => drop(users.remove(&key)),
                    }
                }
                Change::Deleted { key } => drop(users.remove(&key)),
                Change::Lagged => {}
            }
        }
        used.extend(users.into_values());
        Ok(used)
    }
}

/// Where the conversation of a stored record works, if it has a working tree. Nobody works by a record that is damaged.
///
/// # Errors
/// Where it says so in words of another release: then nobody knows.
fn place_of(record: &KvEntry) -> Result<Option<Place>, Fault> {
    #[derive(Deserialize)]
    struct Placed {
        #[serde(default)]
        worktree: serde_json::Value,
    }
    let Ok(Placed { worktree }) = serde_json::from_slice::<Placed>(&record.value) else { return Ok(None) };
    let worktree: Option<Worktree> = serde_json::from_value(worktree).map_err(Fault::internal)?;
    Ok(worktree.as_ref().and_then(Worktree::place))
}
