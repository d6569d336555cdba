//! One process: each tenant has a sandbox, and the worker of the default tenant's always runs. Calls of others are
//! answered with 503 then.

use std::path::PathBuf;

use async_trait::async_trait;
use ports::rpc::Fault;
use types::conversation::ConversationRecord;
use types::{ConversationId, Epoch, SandboxId, TenantId};

use super::{Creation, Placement, Runtimes, SandboxStatus};

pub struct Single;

#[async_trait]
impl Placement for Single {
    fn runtimes(&self) -> Runtimes {
        Runtimes::LOCAL
    }

    fn creation(&self) -> Creation {
        Creation::Complete
    }

    async fn at(&self, tenant: &TenantId, _path: &str) -> ports::Result<SandboxId> {
        Ok(SandboxId::from(tenant))
    }

    async fn seen_at(&self, tenant: &TenantId, path: &str) -> ports::Result<SandboxId> {
        self.at(tenant, path).await
    }

    async fn of_new(&self, record: &ConversationRecord, _alone: bool) -> ports::Result<SandboxId> {
        Ok(SandboxId::from(&record.tenant))
    }

    async fn kept(&self, _record: &ConversationRecord) -> ports::Result<bool> {
        Ok(true)
    }

    async fn ready(&self, _sandbox: &SandboxId) -> Result<Option<Epoch>, Fault> {
        Ok(None)
    }

    fn awake(&self, _sandbox: &SandboxId) -> Result<Option<Epoch>, Fault> {
        Ok(None)
    }

    fn incarnation(&self, _sandbox: &SandboxId) -> Option<Epoch> {
        None
    }

    async fn stored_incarnation(&self, _sandbox: &SandboxId) -> ports::Result<Option<Epoch>> {
        Ok(None)
    }

    async fn ended(&self, _sandbox: &SandboxId, _incarnation: Option<Epoch>) {
        std::future::pending().await
    }

    async fn missed(&self, _sandbox: &SandboxId, fault: Fault) -> Result<(), Fault> {
        Err(fault)
    }

    async fn left(&self, _sandbox: &SandboxId, _id: ConversationId) -> ports::Result<bool> {
        Ok(false)
    }

    async fn unused(&self, _sandbox: &SandboxId, _id: ConversationId) -> ports::Result<()> {
        Ok(())
    }

    async fn rest_empty(&self, _sandbox: &SandboxId) -> ports::Result<()> {
        Ok(())
    }

    async fn rest(&self, _conversation: ConversationId) -> ports::Result<()> {
        Ok(())
    }

    fn worktrees_of(&self, _path: &str) -> Option<PathBuf> {
        None
    }

    fn status(&self, _sandbox: &SandboxId) -> Option<SandboxStatus> {
        None
    }
}
