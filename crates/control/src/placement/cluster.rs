//! Placement by the records of a cluster.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use ports::rpc::{Fault, Reason};
use ports::{Bucket, Error, Expect};
use tokio::time::timeout;
use types::buckets::LEASES;
use types::conversation::{ConversationRecord, Status};
use types::placement::{Lease, Want, Wanted};
use types::time::unix_ms;
use types::{ConversationId, Epoch, SandboxId, TenantId};

use super::policy::{DEFAULT, Place, place_of, worktrees_of};
use super::{Creation, Fleet, Placement, Policy, Runtimes, SandboxStatus, records};

/// How often a sandbox that others change at the same time is tried to be given up.
const GIVING_UP: usize = 16;

/// What a worker with nothing to do may take to say so: more than one renewal of its lease.
const REST: Duration = Duration::from_secs(15);

#[async_trait]
impl Placement for Fleet {
    fn runtimes(&self) -> Runtimes {
        let (default, choice): (_, &[_]) = match self.cluster.policy {
            Policy::Conversation => ("docker", &[]),
            Policy::Shared | Policy::Workspace => ("local", &["local", "docker"]),
        };
        Runtimes { default, choice, has_containers: true }
    }

    fn creation(&self) -> Creation {
        Creation::BeforeItsWorker
    }

    async fn at(&self, tenant: &TenantId, path: &str) -> ports::Result<SandboxId> {
        let place = place_of(self.cluster.policy, &self.cluster.root, path);
        self.sandbox_of(tenant, Place::Path(&place)).await
    }

    async fn seen_at(&self, tenant: &TenantId, path: &str) -> ports::Result<SandboxId> {
        let place = place_of(self.cluster.policy, &self.cluster.root, path);
        match self.known(tenant, &place).await? {
            Some(sandbox) => Ok(sandbox),
            None => self.sandbox_of(tenant, Place::Path(DEFAULT)).await,
        }
    }

    async fn of_new(&self, record: &ConversationRecord, alone: bool) -> ports::Result<SandboxId> {
        if alone || self.cluster.policy == Policy::Conversation {
            return self.sandbox_of(&record.tenant, Place::Conversation(&record.id.hex())).await;
        }
        self.at(&record.tenant, &record.workspace.working_dir).await
    }

    async fn ready(&self, sandbox: &SandboxId) -> Result<Option<Epoch>, Fault> {
        self.wait_until_ready(sandbox).await.map(Some)
    }

    fn awake(&self, sandbox: &SandboxId) -> Result<Option<Epoch>, Fault> {
        // Nobody hears a call that names none, and who may hear it need not answer.
        self.living(sandbox).map(Some).ok_or_else(|| Reason::Unreachable.into())
    }

    fn incarnation(&self, sandbox: &SandboxId) -> Option<Epoch> {
        self.living(sandbox)
    }

    async fn stored_incarnation(&self, sandbox: &SandboxId) -> ports::Result<Option<Epoch>> {
        let leases = Bucket::<Lease>::new(self.kv.as_ref(), LEASES);
        Ok(leases.get(sandbox.as_str()).await?.map(|stored| stored.value.epoch))
    }

    async fn ended(&self, sandbox: &SandboxId, incarnation: Option<Epoch>) {
        if let Some(epoch) = incarnation {
            self.wait_until_over(sandbox, epoch).await;
        }
    }

    async fn missed(&self, sandbox: &SandboxId, _fault: Fault) -> Result<(), Fault> {
        self.wait_for_another(sandbox).await
    }

    async fn kept(&self, record: &ConversationRecord) -> ports::Result<bool> {
        let own = record.id.hex();
        // Written in any case: whoever is about to give the sandbox up, having seen no conversation in it, fails by that.
        let keep = |wanted: &mut Wanted| {
            let is_guest = wanted.place != own;
            let keeps = wanted.want != Want::Deleted;
            if keeps {
                wanted.touched_at = unix_ms();
                wanted.has_guests |= is_guest;
                // Of records that were written before there was the mark.
                wanted.is_of_conversation |= !is_guest;
            }
            keeps
        };
        let wanted = records::change(self.kv.as_ref(), &record.sandbox, keep).await?;
        Ok(wanted.is_some_and(|stored| stored.value.want != Want::Deleted))
    }

    async fn left(&self, sandbox: &SandboxId, id: ConversationId) -> ports::Result<bool> {
        let sandboxes = records::sandboxes(self.kv.as_ref());
        for _ in 0..GIVING_UP {
            // In this order: who places a conversation writes that record, then this one.
            let Some(stored) = sandboxes.get(sandbox.as_str()).await? else { return Ok(false) };
            let (wanted, revision) = (stored.value, stored.revision);
            if wanted.want == Want::Deleted || self.is_used_without(sandbox, &wanted, id).await? {
                return Ok(false);
            }
            if wanted.place == DEFAULT {
                return Ok(true);
            }
            let given_up = Wanted { want: Want::Deleted, quiet_after: None, ..wanted };
            if sandboxes.put(sandbox.as_str(), &given_up, Expect::Revision(revision)).await?.is_none() {
                continue;
            }
            if let Some(tenant) = &given_up.tenant {
                self.leave(sandbox, tenant, &given_up.place).await?;
            }
            return Ok(false);
        }
        Err(Error::Unavailable("the sandbox is changed too often".to_owned()))
    }

    async fn unused(&self, sandbox: &SandboxId, id: ConversationId) -> ports::Result<()> {
        let stored = records::sandboxes(self.kv.as_ref()).get(sandbox.as_str()).await?;
        let is_own = |wanted: &Wanted| wanted.is_of_conversation && wanted.place == id.hex();
        if stored.is_some_and(|stored| is_own(&stored.value)) {
            self.left(sandbox, id).await?;
        }
        Ok(())
    }

    async fn rest_empty(&self, sandbox: &SandboxId) -> ports::Result<()> {
        let seen = self.wished(sandbox);
        let quiet = self.quiet(sandbox, |lease| lease.runs == 0 && lease.idle_seconds > 0);
        // Where it is busy for longer it is paused by its idleness, as any other.
        let Ok(quiet_after) = timeout(REST, quiet).await else { return Ok(()) };
        if self.is_used(sandbox).await? {
            return Ok(());
        }
        self.pause(sandbox, quiet_after, seen.as_ref()).await
    }

    async fn rest(&self, conversation: ConversationId) -> ports::Result<()> {
        let Some(mut waiting) = self.resting.begin(conversation) else { return Ok(()) };
        loop {
            let rested = self.rest_once(conversation).await;
            match waiting.again() {
                Some(more) => waiting = more,
                None => return rested,
            }
        }
    }

    fn worktrees_of(&self, path: &str) -> Option<PathBuf> {
        worktrees_of(self.cluster.policy, &self.cluster.root, path)
    }

    fn status(&self, sandbox: &SandboxId) -> Option<SandboxStatus> {
        let wanted = self.wanted.get(sandbox.as_str());
        Some(SandboxStatus {
            // What was not heard of yet is wanted awake by nobody.
            want: wanted.map_or(Want::Paused, |seen| seen.value.want),
            allocation: self.allocations.get(sandbox.as_str()).map(|seen| seen.value),
            lease: self.current_lease(sandbox.as_str()),
        })
    }
}

impl Fleet {
    async fn rest_once(&self, conversation: ConversationId) -> ports::Result<()> {
        let Some(entry) = self.index.any(conversation) else { return Ok(()) };
        let (sandbox, status) = (entry.log.sandbox(), entry.status());
        let may_rest = || {
            let is_shared = self.index.in_sandbox(sandbox).iter().any(|other| other.id != conversation);
            !is_shared && entry.status() == status && status != Status::Running
        };
        if !may_rest() {
            return Ok(());
        }
        let seen = self.wished(sandbox);
        // Where no step was under way none is waited for.
        let patience = if status == Status::Paused { Duration::MAX } else { REST };
        match timeout(patience, self.quiet_without(sandbox, conversation)).await {
            Ok(quiet_after) if may_rest() => self.pause(sandbox, quiet_after, seen.as_ref()).await,
            _ => Ok(()),
        }
    }

    /// What is wanted of it, as far as is known here.
    fn wished(&self, sandbox: &SandboxId) -> Option<Wanted> {
        self.wanted.get(sandbox.as_str()).map(|seen| seen.value)
    }

    /// Whether a conversation is still in the sandbox that `id` was in. In one of its own are only those that it has
    /// begotten; who places one there notes it, and others have been heard of long since. And itself, if somebody has made
    /// it anew meanwhile.
    async fn is_used_without(
        &self,
        sandbox: &SandboxId,
        wanted: &Wanted,
        id: ConversationId,
    ) -> ports::Result<bool> {
        match wanted.place == id.hex() && !wanted.has_guests {
            true => Ok(self.has_known(sandbox).await?
                || records::is_conversation_in(self.kv.as_ref(), id, sandbox).await?),
            false => self.is_used(sandbox).await,
        }
    }

    /// Waits until no run is under way in a sandbox and, unless it is the conversation's own, nothing else. Answers how many
    /// calls its worker had been sent by then.
    async fn quiet_without(&self, sandbox: &SandboxId, id: ConversationId) -> Option<u64> {
        let is_own = self.wanted.get(sandbox.as_str()).is_some_and(|seen| seen.value.place == id.hex());
        self.quiet(sandbox, |lease| lease.runs == 0 && (is_own || lease.idle_seconds > 0)).await
    }

    /// Whether a conversation is in the sandbox, by the store: another replica may have just placed one, or deleted one
    /// that is known here.
    async fn is_used(&self, sandbox: &SandboxId) -> ports::Result<bool> {
        Ok(self.has_known(sandbox).await?
            || records::is_any_conversation_in(self.kv.as_ref(), sandbox).await?)
    }

    /// Whether one of the conversations that are known to be in the sandbox still is.
    async fn has_known(&self, sandbox: &SandboxId) -> ports::Result<bool> {
        for entry in self.index.in_sandbox(sandbox) {
            if records::is_conversation_in(self.kv.as_ref(), entry.id, sandbox).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
