//! Working trees that nobody works in any more.
//!
//! One goes with the last conversation that works in it, of those that the store has when the record of this one is gone. Each
//! of several that are deleted at once looks after its own record is gone, so the last of them finds nobody; and what two of
//! them remove is removed once. Its branch stays.
//!
//! What cannot be removed then, for no worker is awake, is noted in the store, and removed when the next one is made in the
//! sandbox. So is what nobody has noted, since the process ended before or what was to be made never was: its worker tells which
//! places are old, and those stay that a record names. One that cannot be removed is in no other one's way.
//!
//! **What is not noted may be somebody's all the same**, of whom a store that was put back does not know: those go only where
//! everything in them is certainly in a branch.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::TryStreamExt;
use ports::rpc::Fault;
use ports::{Bucket, Change, KvEntry};
use readmodel::index::ConversationState;
use serde::Deserialize;
use types::buckets::{CONVERSATIONS, LEFT_TREES};
use types::calls::{GitAnswer, GitCall};
use types::worktree::{Place, Worktree};
use types::{ConversationId, SandboxId};

use super::Conversations;

/// All files of a repository are removed.
const REMOVING: Duration = Duration::from_secs(60);
const LISTING: Duration = Duration::from_secs(30);

/// That are noted of a sandbox.
const MOST: usize = 1_000;

/// Of which nobody knows, and which are looked at in one sweep: crashes leave few.
const MOST_UNKNOWN: usize = 32;

/// How often a worker is asked for more of them, each time for some 1,000 at most.
const MOST_PAGES: usize = 100;

impl Conversations {
    /// Removes the working tree of a conversation that is deleted, unless others work in it. Where no worker is awake it stays
    /// in the sandbox for now, which nobody is woken in for that.
    pub(super) async fn leave_worktree(&self, entry: &ConversationState) {
        let Some(place) = entry.record().worktree.as_ref().and_then(Worktree::place) else { return };
        let sandbox = entry.log.sandbox();
        let Err(fault) = self.remove_unused(sandbox, place).await else { return };
        tracing::info!(%place, %fault, "a working tree that nobody has stays for now");
        if let Err(error) = self.note_left(sandbox, place).await {
            tracing::warn!(%place, %error, "nobody will know that a working tree is to be removed");
        }
    }

    /// Removes what was made for a conversation that is not made after all, and gives back what it had for itself. Nobody
    /// waits for it.
    pub(super) fn undo_worktree(&self, sandbox: SandboxId, place: Place, id: ConversationId) {
        let conversations = self.clone();
        self.0.tasks.spawn_until_drain(async move {
            if let Err(fault) = conversations.remove_unused(&sandbox, place).await {
                tracing::warn!(%place, %fault, "a working tree that nobody has stays for now");
            }
            if let Err(error) = conversations.placement().unused(&sandbox, id).await {
                tracing::warn!(conversation.id = %id, %error, "a sandbox that nobody needs is left behind for now");
            }
        });
    }

    /// Removes what was left of others in the sandbox, unless somebody does so already. Nobody waits for it.
    pub(super) fn sweep_worktrees(&self, sandbox: SandboxId) {
        let conversations = self.clone();
        self.0.tasks.spawn_until_drain(async move {
            let Some(_turn) = conversations.0.sweeps.take(sandbox.clone()) else { return };
            if let Err(fault) = conversations.sweep_now(&sandbox).await {
                tracing::warn!(sandbox.id = %sandbox, %fault, "old working trees that nobody has stay for now");
            }
        });
    }

    async fn sweep_now(&self, sandbox: &SandboxId) -> Result<(), Fault> {
        let deleted = self.left(sandbox).await?;
        let unknown = self.unknown(sandbox, &deleted).await?;
        let used = self.used(sandbox, &deleted.union(&unknown).copied().collect()).await?;
        let (mut settled, mut stay) = (HashSet::new(), 0);
        for place in deleted {
            match used.contains(&place) {
                true => drop(settled.insert(place)),
                false => match self.remove_from(sandbox, place).await {
                    Ok(()) => drop(settled.insert(place)),
                    Err(fault) => {
                        tracing::warn!(sandbox.id = %sandbox, %place, %fault, "an old working tree stays for now");
                    }
                },
            }
        }
        self.forget_left(sandbox, &settled).await?;
        for place in unknown.difference(&used) {
            let call = GitCall::SweepWorktree { place: *place };
            let swept = self.0.workers.call_if_awake::<_, GitAnswer>(sandbox, &call, REMOVING).await;
            if let Err(fault) = swept {
                tracing::debug!(sandbox.id = %sandbox, %place, %fault, "an old working tree that nobody knows of stays");
                stay += 1;
            }
        }
        if stay > 0 {
            tracing::warn!(sandbox.id = %sandbox, stay, "old working trees of which no conversation is known stay, as not \
                all of what is in them is certainly in a branch");
        }
        Ok(())
    }

    /// Some of those that are old, and that were neither noted here nor are known to be worked in.
    async fn unknown(&self, sandbox: &SandboxId, noted: &HashSet<Place>) -> Result<HashSet<Place>, Fault> {
        // Most are: that is known without asking the store.
        let known = self.0.index.in_sandbox(sandbox);
        let known: HashSet<Place> =
            known.iter().filter_map(|entry| entry.record().worktree.as_ref()?.place()).collect();
        let (mut unknown, mut after) = (HashSet::new(), None);
        for _ in 0..MOST_PAGES {
            let old = self.old_behind(sandbox, after).await?;
            // A worker that does not go on has no more.
            let last = old.iter().max().copied().filter(|last| Some(*last) > after);
            unknown.extend(old.into_iter().filter(|place| !noted.contains(place) && !known.contains(place)));
            if unknown.len() >= MOST_UNKNOWN || last.is_none() {
                break;
            }
            after = last;
        }
        Ok(unknown.into_iter().take(MOST_UNKNOWN).collect())
    }

    async fn old_behind(&self, sandbox: &SandboxId, after: Option<Place>) -> Result<Vec<Place>, Fault> {
        let call = GitCall::OldWorktrees { after };
        match self.0.workers.call_if_awake::<_, GitAnswer>(sandbox, &call, LISTING).await? {
            (GitAnswer::OldWorktrees(old), _) => Ok(old),
            _ => Err(Fault::internal("a worker answers with something else than old working trees")),
        }
    }

    async fn remove_unused(&self, sandbox: &SandboxId, place: Place) -> Result<(), Fault> {
        match self.used(sandbox, &HashSet::from([place])).await?.is_empty() {
            true => self.remove_from(sandbox, place).await,
            false => Ok(()),
        }
    }

    async fn remove_from(&self, sandbox: &SandboxId, place: Place) -> Result<(), Fault> {
        let call = GitCall::RemoveWorktree { place };
        self.0.workers.call_if_awake::<_, GitAnswer>(sandbox, &call, REMOVING).await.map(drop)
    }

    /// Those whose conversations were deleted when they could not be removed.
    async fn left(&self, sandbox: &SandboxId) -> Result<HashSet<Place>, Fault> {
        Ok(self.noted().get(sandbox.as_str()).await?.into_iter().flat_map(|noted| noted.value).collect())
    }

    async fn note_left(&self, sandbox: &SandboxId, place: Place) -> ports::Result<()> {
        let note = |left: &mut Vec<Place>| {
            if !left.contains(&place) {
                left.push(place);
            }
            left.drain(..left.len().saturating_sub(MOST));
        };
        self.noted().modify(sandbox.as_str(), note).await.map(drop)
    }

    async fn forget_left(&self, sandbox: &SandboxId, gone: &HashSet<Place>) -> ports::Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        let forget = |left: &mut Vec<Place>| left.retain(|place| !gone.contains(place));
        self.noted().modify(sandbox.as_str(), forget).await.map(drop)
    }

    fn noted(&self) -> Bucket<'_, Vec<Place>> {
        Bucket::new(self.0.kv.as_ref(), LEFT_TREES)
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
