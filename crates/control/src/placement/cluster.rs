//! Placement by the records of a cluster.

use std::time::Duration;

use async_trait::async_trait;
use ports::rpc::Fault;
use tokio::time::timeout;
use types::conversation::{ConversationRecord, Status};
use types::placement::Want;
use types::{ConversationId, Epoch, SandboxId, TenantId};

use super::policy::{DEFAULT, place_of};
use super::{Creation, Fleet, Placement, Policy, Runtimes, SandboxStatus, records};

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
        self.sandbox_of(tenant, &place).await
    }

    async fn of_new(&self, record: &ConversationRecord, alone: bool) -> ports::Result<SandboxId> {
        if alone || self.cluster.policy == Policy::Conversation {
            return self.sandbox_of(&record.tenant, &record.id.hex()).await;
        }
        self.at(&record.tenant, &record.workspace.working_dir).await
    }

    async fn ready(&self, sandbox: &SandboxId) -> Result<Option<Epoch>, Fault> {
        self.wait_until_ready(sandbox).await.map(Some)
    }

    fn incarnation(&self, sandbox: &SandboxId) -> Option<Epoch> {
        self.living(sandbox)
    }

    async fn ended(&self, sandbox: &SandboxId, incarnation: Option<Epoch>) {
        if let Some(epoch) = incarnation {
            self.wait_until_over(sandbox, epoch).await;
        }
    }

    async fn missed(&self, sandbox: &SandboxId, _fault: Fault) -> Result<(), Fault> {
        self.wait_for_another(sandbox).await
    }

    async fn left(&self, sandbox: &SandboxId, id: ConversationId) -> ports::Result<()> {
        let stored = records::sandboxes(self.kv.as_ref()).get(sandbox.as_str()).await?;
        let Some(wanted) = stored.map(|stored| stored.value) else { return Ok(()) };
        if wanted.place != id.hex() && !self.index.in_sandbox(sandbox).is_empty() {
            return Ok(());
        }
        if wanted.place == DEFAULT {
            return self.want(sandbox, Want::Paused).await;
        }
        self.want(sandbox, Want::Deleted).await?;
        match &wanted.tenant {
            Some(tenant) => self.leave(sandbox, tenant, &wanted.place).await,
            None => Ok(()),
        }
    }

    async fn rest(&self, conversation: ConversationId) -> ports::Result<()> {
        let Some(entry) = self.index.any(conversation) else { return Ok(()) };
        let (sandbox, status) = (entry.log.sandbox(), entry.status());
        let may_rest = || {
            let is_shared = self.index.in_sandbox(sandbox).iter().any(|other| other.id != conversation);
            !is_shared && entry.status() == status && status != Status::Running
        };
        if !may_rest() {
            return Ok(());
        }
        // Where no step was under way none is waited for.
        let patience = if status == Status::Paused { Duration::MAX } else { REST };
        let is_quiet = timeout(patience, self.quiet_without(sandbox, conversation)).await.is_ok();
        if is_quiet && may_rest() { self.want(sandbox, Want::Paused).await } else { Ok(()) }
    }

    fn status(&self, sandbox: &SandboxId) -> Option<SandboxStatus> {
        let wanted = self.wanted.get(sandbox.as_str());
        Some(SandboxStatus {
            want: wanted.map_or(Want::Deleted, |seen| seen.value.want),
            allocation: self.allocations.get(sandbox.as_str()).map(|seen| seen.value),
            lease: self.current_lease(sandbox.as_str()),
        })
    }
}

impl Fleet {
    /// Waits until no run is under way in a sandbox and, unless it is the conversation's own, nothing else.
    async fn quiet_without(&self, sandbox: &SandboxId, id: ConversationId) {
        let is_own = self.wanted.get(sandbox.as_str()).is_some_and(|seen| seen.value.place == id.hex());
        self.quiet(sandbox, |lease| lease.runs == 0 && (is_own || lease.idle_seconds > 0)).await;
    }
}
