//! Sandboxes of conversations that are no more: whoever deleted the conversation died, or could not reach the store, before
//! the sandbox was given up.
//!
//! Who makes a conversation writes its record and then touches its sandbox. Here the sandboxes are read, then all records,
//! and then a sandbox is given up if it is as it was read: so either the record is seen, or the touch comes between, or
//! whoever makes the conversation finds the sandbox given up and places it elsewhere.
//!
//! That of a directory is given up here only if it never had a worker, and so has no files: others are users', and nobody has
//! deleted them.
//!
//! Whatever they are named after, those go the same way that were made for a place which was then named another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ports::{Bucket, Expect, Versioned};
use readmodel::vital::contained;
use types::buckets::ALLOCATIONS;
use types::placement::{Allocation, Want, Wanted};
use types::{ConversationId, Epoch, SandboxId};

use super::mirror::Seen;
use super::policy::DEFAULT;
use super::{Fleet, places, records};

const OFTEN: Duration = Duration::from_secs(3_600);
/// How long nothing was heard of what is wanted of a sandbox, before it is looked whether it is abandoned.
const OLD: Duration = Duration::from_secs(3_600);

impl Fleet {
    /// Never returns.
    pub(crate) async fn keep_giving_up(self: Arc<Self>) {
        loop {
            tokio::time::sleep(OFTEN).await;
            if let Some(Err(error)) = contained("giving up sandboxes", self.give_up_abandoned()).await {
                tracing::warn!(%error, "abandoned sandboxes stay for now");
            }
        }
    }

    async fn give_up_abandoned(&self) -> ports::Result<()> {
        let suspects: Vec<(SandboxId, u64)> = self.wanted.read(|all| {
            let all = all.iter().filter_map(|(key, seen)| Some((SandboxId::parse(key)?, seen)));
            all.filter(|(sandbox, seen)| self.is_suspect(sandbox, seen))
                .map(|(sandbox, seen)| (sandbox, seen.revision))
                .collect()
        });
        let mut seen = BTreeMap::new();
        for (sandbox, revision) in suspects {
            let stored = records::sandboxes(self.kv.as_ref()).get(sandbox.as_str()).await?;
            // It is the one that was heard of so long ago.
            let Some(stored) = stored.filter(|stored| stored.revision == revision) else { continue };
            let is_needed = !self.is_of_no_conversation(&stored.value)
                && self.is_named(&sandbox, &stored.value).await?
                && (!is_of_directory(&stored.value) || self.has_run(&sandbox).await?);
            if !is_needed {
                seen.insert(sandbox, stored);
            }
        }
        if seen.is_empty() {
            return Ok(());
        }
        let used = records::used_of(self.kv.as_ref(), |named| seen.contains_key(named)).await?;
        for (sandbox, stored) in seen.into_iter().filter(|(sandbox, _)| !used.contains(sandbox)) {
            if self.give_up(&sandbox, stored).await? {
                tracing::info!(sandbox.id = %sandbox, "gave up a sandbox that nobody needs");
            }
        }
        Ok(())
    }

    fn is_suspect(&self, sandbox: &SandboxId, seen: &Seen<Wanted>) -> bool {
        let wanted = &seen.value;
        let may_be = seen.at.elapsed() >= OLD && wanted.want != Want::Deleted;
        let is_unused = || {
            let allocation = self.allocations.get(sandbox.as_str());
            is_of_directory(wanted) && allocation.is_none_or(|seen| seen.value.epoch == Epoch(0))
        };
        may_be && (self.is_of_no_conversation(wanted) || self.is_left_over(sandbox, wanted) || is_unused())
    }

    /// The conversation with that id may be another tenant's: then it is in another sandbox.
    fn is_of_no_conversation(&self, wanted: &Wanted) -> bool {
        let is_of_none =
            |id| self.index.any(id).is_none_or(|entry| Some(&entry.tenant) != wanted.tenant.as_ref());
        conversation_of(wanted).is_some_and(is_of_none)
    }

    /// Whether it ever had a worker, by the store. Whoever wants one writes the record first that was read before.
    async fn has_run(&self, sandbox: &SandboxId) -> ports::Result<bool> {
        let allocations = Bucket::<Allocation>::new(self.kv.as_ref(), ALLOCATIONS);
        Ok(allocations.get(sandbox.as_str()).await?.is_some_and(|stored| stored.value.epoch > Epoch(0)))
    }

    /// Whether it was made for a place that is named another one: whoever made it died, or could not reach the store, before
    /// he could name it. One that is in use is always named, or a conversation is in it.
    fn is_left_over(&self, sandbox: &SandboxId, wanted: &Wanted) -> bool {
        let Some(tenant) = wanted.tenant.as_ref().filter(|_| wanted.want == Want::Paused) else {
            return false;
        };
        *sandbox != SandboxId::shared()
            && self
                .places
                .get(&places::key(tenant, &wanted.place))
                .is_some_and(|named| named.value != *sandbox)
    }

    /// Whether it stands for its place, by the store: this gateway may not have heard of it.
    async fn is_named(&self, sandbox: &SandboxId, wanted: &Wanted) -> ports::Result<bool> {
        let Some(tenant) = &wanted.tenant else { return Ok(false) };
        let places = records::places(self.kv.as_ref());
        let named = places.get(&places::key(tenant, &wanted.place)).await?;
        Ok(named.is_some_and(|named| named.value == *sandbox))
    }

    /// False where it is not any more as it was read.
    async fn give_up(&self, sandbox: &SandboxId, stored: Versioned<Wanted>) -> ports::Result<bool> {
        let given_up = Wanted { want: Want::Deleted, quiet_after: None, ..stored.value };
        let expect = Expect::Revision(stored.revision);
        let put = records::sandboxes(self.kv.as_ref()).put(sandbox.as_str(), &given_up, expect).await?;
        if let (Some(_), Some(tenant)) = (put, &given_up.tenant) {
            self.leave(sandbox, tenant, &given_up.place).await?;
        }
        Ok(put.is_some())
    }
}

/// The conversation that a sandbox is for alone.
fn conversation_of(wanted: &Wanted) -> Option<ConversationId> {
    wanted.is_of_conversation.then(|| wanted.place.parse().ok())?
}

/// Whether it is that of a directory, and nobody has woken it.
fn is_of_directory(wanted: &Wanted) -> bool {
    let is_anybodys = wanted.tenant.is_some() && wanted.want == Want::Paused;
    is_anybodys && !wanted.is_of_conversation && wanted.place != DEFAULT
}

#[cfg(test)]
mod tests {
    use types::TenantId;
    use types::buckets::{CONVERSATIONS, SANDBOXES};
    use types::time::unix_ms;

    use super::*;
    use crate::placement::policy::Place;
    use crate::placement::world::{after, own, record, wanted, world};
    use crate::placement::{Placement, Policy};

    #[tokio::test]
    async fn what_only_a_deleted_conversation_was_in_is_given_up_and_nothing_else() {
        let (gone, alive, parent) =
            (ConversationId::random(), ConversationId::random(), ConversationId::random());
        // Whatever the clocks say of those who wanted them.
        let ahead = unix_ms() + 86_400_000;
        let world = world(
            Policy::Conversation,
            &[
                ("gone", own(gone, ahead)),
                ("alive", own(alive, 1)),
                ("taken", Wanted { tenant: TenantId::parse("other"), ..own(alive, 1) }),
                ("child", own(parent, 1)),
                ("touched", own(ConversationId::random(), 1)),
                ("shared", wanted("default", 1)),
            ],
        )
        .await;
        after(OLD / 4).await;
        world.hear_of("half_old", &own(ConversationId::random(), 1)).await;
        world.hear_of("touched", &own(ConversationId::random(), 2)).await;
        after(OLD * 3 / 4).await;
        world.hear_of("young", &own(ConversationId::random(), 1)).await;
        world.index.create(&record(alive, "alive")).await.unwrap();
        world.index.create(&record(ConversationId::random(), "child")).await.unwrap();
        world.fleet.give_up_abandoned().await.unwrap();
        for (sandbox, want) in [
            ("gone", Want::Deleted),
            ("alive", Want::Paused),
            ("taken", Want::Deleted),
            ("child", Want::Paused),
            ("young", Want::Paused),
            ("half_old", Want::Paused),
            ("touched", Want::Paused),
            ("shared", Want::Paused),
        ] {
            assert_eq!(world.want(sandbox).await.want, want, "{sandbox}");
        }
    }

    #[tokio::test]
    async fn a_conversation_that_comes_into_an_old_sandbox_makes_it_young() {
        let id = ConversationId::random();
        let world = world(Policy::Conversation, &[("old", own(id, 1))]).await;
        after(OLD).await;
        assert!(world.fleet.kept(&record(id, "old")).await.unwrap());
        // Heard of by then, or not.
        world.fleet.give_up_abandoned().await.unwrap();
        assert_eq!(world.want("old").await.want, Want::Paused);
    }

    #[tokio::test]
    async fn a_sandbox_that_was_made_for_a_place_and_never_named_is_given_up() {
        let wanted = [
            ("left", wanted("w", 1)),
            ("named", wanted("w", 1)),
            ("lone", wanted("other", 1)),
            ("unnamed", wanted("nobody's", 1)),
        ];
        let world = world(Policy::Workspace, &wanted).await;
        for sandbox in ["lone", "named"] {
            world.runs(sandbox, 1).await;
        }
        let named = SandboxId::parse("named").unwrap();
        let key = places::key(&TenantId::default(), "w");
        records::places(world.ports.kv.as_ref()).make(&key, &named).await.unwrap();
        while world.fleet.places.get(&key).is_none() {
            tokio::task::yield_now().await;
        }
        after(OLD).await;
        world.fleet.give_up_abandoned().await.unwrap();
        for (sandbox, want) in [
            ("left", Want::Deleted),
            ("named", Want::Paused),
            ("lone", Want::Paused),
            // Its place stands for none, and nobody has come back for it.
            ("unnamed", Want::Deleted),
        ] {
            assert_eq!(world.want(sandbox).await.want, want, "{sandbox}");
        }
        assert_eq!(world.fleet.sandbox_of(&TenantId::default(), Place::Path("w")).await, Ok(named));
    }

    #[tokio::test]
    async fn a_sandbox_that_is_named_by_now_is_not_given_up_by_who_has_not_heard_of_it() {
        let mut world = world(Policy::Workspace, &[("used", wanted("w", 1))]).await;
        world.runs("used", 1).await;
        let late = self::world(Policy::Workspace, &[]).await;
        let key = places::key(&TenantId::default(), "w");
        for (ports, name) in [(&late.ports, "earlier"), (&world.ports, "used")] {
            let named = SandboxId::parse(name).unwrap();
            records::places(ports.kv.as_ref()).make(&key, &named).await.unwrap();
        }
        while late.fleet.places.get(&key).is_none() {
            tokio::task::yield_now().await;
        }
        world.fleet.places = late.fleet.places.clone();
        after(OLD).await;
        world.fleet.give_up_abandoned().await.unwrap();
        assert_eq!(world.want("used").await.want, Want::Paused);
    }

    #[tokio::test]
    async fn the_sandbox_of_a_directory_is_given_up_only_if_it_never_had_a_worker() {
        let (name, used) = (ConversationId::random().hex(), ConversationId::random());
        let sandboxes =
            [("files", wanted(&name, 1)), ("never", wanted("never", 1)), ("used", wanted("used", 1))];
        let world = world(Policy::Workspace, &sandboxes).await;
        world.index.create(&record(used, "used")).await.unwrap();
        for (sandbox, wanted) in &sandboxes {
            let (key, named) =
                (places::key(&TenantId::default(), &wanted.place), SandboxId::parse(sandbox).unwrap());
            records::places(world.ports.kv.as_ref()).make(&key, &named).await.unwrap();
        }
        // This gateway has not heard of it.
        let allocation = Allocation { epoch: Epoch(1), ..Allocation::default() };
        world.write(ALLOCATIONS, "files", &allocation).await;
        after(OLD).await;
        world.fleet.give_up_abandoned().await.unwrap();
        for (sandbox, want) in [("files", Want::Paused), ("never", Want::Deleted), ("used", Want::Paused)] {
            assert_eq!(world.want(sandbox).await.want, want, "{sandbox}");
        }
        let key = places::key(&TenantId::default(), "never");
        assert_eq!(records::places(world.ports.kv.as_ref()).get(&key).await, Ok(None));
    }

    #[tokio::test]
    async fn a_child_of_which_this_gateway_has_not_heard_keeps_the_sandbox_of_its_parent() {
        let (parent, child) = (ConversationId::random(), ConversationId::random());
        let (mut world, deaf) = (
            world(Policy::Conversation, &[("own", own(parent, unix_ms()))]).await,
            world(Policy::Conversation, &[]).await,
        );
        // As another gateway places it.
        let (sandbox, record) = (SandboxId::parse("own").unwrap(), record(child, "own"));
        let value = serde_json::to_vec(&record).unwrap().into();
        world.ports.kv.put(CONVERSATIONS, &child.hex(), value, Expect::Absent).await.unwrap();
        assert!(world.fleet.kept(&record).await.unwrap());
        world.fleet.index = deaf.index.clone();
        world.fleet.left(&sandbox, parent).await.unwrap();
        assert_eq!(world.want("own").await.want, Want::Paused);
    }

    #[tokio::test]
    async fn of_two_gateways_that_delete_the_last_two_conversations_of_a_place_one_gives_its_sandbox_up() {
        let (here, elsewhere) = (ConversationId::random(), ConversationId::random());
        let (mut world, late) = (
            world(Policy::Workspace, &[("files", wanted("a", 1))]).await,
            world(Policy::Workspace, &[]).await,
        );
        // What the other gateway has deleted is known here still.
        late.index.create(&record(elsewhere, "files")).await.unwrap();
        world.fleet.index = late.index.clone();
        let files = SandboxId::parse("files").unwrap();
        world.fleet.left(&files, here).await.unwrap();
        assert_eq!(world.want("files").await.want, Want::Deleted);
    }

    #[tokio::test]
    async fn a_sandbox_that_is_no_more_does_not_come_back_to_life() {
        let id = ConversationId::random();
        let world = world(Policy::Conversation, &[]).await;
        let tenant = TenantId::default();
        let gone = world.fleet.sandbox_of(&tenant, Place::Conversation(&id.hex())).await.unwrap();
        // Whoever gave it up has died before it could say that it stands for the place no more.
        world.ports.kv.delete(SANDBOXES, gone.as_str(), Expect::Anything).await.unwrap();
        while world.fleet.wanted.get(gone.as_str()).is_some() {
            tokio::task::yield_now().await;
        }
        let next = world.fleet.sandbox_of(&tenant, Place::Conversation(&id.hex())).await.unwrap();
        assert_ne!(next, gone);
        assert!(world.ports.kv.get(SANDBOXES, gone.as_str()).await.unwrap().is_none());
        assert!(world.ports.kv.get(SANDBOXES, next.as_str()).await.unwrap().is_some());
        assert_eq!(world.fleet.sandbox_of(&tenant, Place::Conversation(&id.hex())).await.unwrap(), next);
    }
}
