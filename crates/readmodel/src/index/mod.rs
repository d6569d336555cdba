//! The conversations there are, held in memory: the list, its orders and counts, and the state of each.
//!
//! Records come from the bucket `CONVERSATIONS`, everything else from the logs, by way of what the bus
//! republishes; where something was missed the log is read again.

mod agent_text;
mod conversation;
mod directory;
mod follow;
mod info;
mod load;
mod pulse;
mod records;
mod save;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use ports::buckets::{CONVERSATIONS, PROJECTIONS};
use ports::{Error, Ports};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::conversation::{ConversationRecord, Status};
use types::{ConversationId, SandboxId, Seq, TenantId};

pub use agent_text::drop_nulls;
pub use conversation::ConversationState;
use directory::Directory;
pub use directory::Sort;
pub use info::{ConversationInfo, RuntimeInfo, View, persistence_dir};
pub use records::Created;

/// How long the bus may take before the log is asked instead.
const BUS_PATIENCE: Duration = Duration::from_millis(250);

/// The conversations there are. Cheap to clone.
#[derive(Clone)]
pub struct Index(Arc<Inner>);

struct Inner {
    ports: Ports,
    directory: RwLock<Directory>,
}

impl Index {
    /// Loads what is stored and follows it, in `tasks`, until `drain` is cancelled.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start(ports: &Ports, tasks: &TaskTracker, drain: &CancellationToken) -> ports::Result<Self> {
        let index = Self(Arc::new(Inner { ports: ports.clone(), directory: RwLock::default() }));
        let feeds = follow::subscribe(ports).await?;
        load::all(&index).await?;
        follow::spawn(&index, feeds, tasks, drain);
        save::spawn(&index, tasks, drain);
        Ok(index)
    }

    /// A conversation of `tenant`; another's is not there.
    #[must_use]
    pub fn get(&self, tenant: &TenantId, id: ConversationId) -> Option<Arc<ConversationState>> {
        self.any(id).filter(|entry| entry.tenant == *tenant)
    }

    /// A conversation, whoever it belongs to: not for what a client asks.
    #[must_use]
    pub fn any(&self, id: ConversationId) -> Option<Arc<ConversationState>> {
        self.directory().get(id).cloned()
    }

    /// The record of a conversation of `tenant`: secrets sealed, `agent` null.
    #[must_use]
    pub fn record(&self, tenant: &TenantId, id: ConversationId) -> Option<Arc<ConversationRecord>> {
        self.get(tenant, id).map(|entry| entry.record())
    }

    #[must_use]
    pub fn count(&self, tenant: &TenantId, status: Option<Status>) -> usize {
        self.directory().count(tenant, status)
    }

    /// Up to `limit` of a tenant's conversations from `from` on (from the start, if that is not there), and
    /// the id of the one after them.
    #[must_use]
    pub fn page(
        &self,
        tenant: &TenantId,
        sort: Sort,
        from: Option<ConversationId>,
        status: Option<Status>,
        limit: usize,
    ) -> (Vec<Arc<ConversationState>>, Option<ConversationId>) {
        self.directory().page(tenant, sort, from, status, limit)
    }

    #[must_use]
    pub fn children_of(&self, id: ConversationId) -> Vec<ConversationId> {
        self.directory().children_of(id)
    }

    #[must_use]
    pub fn all(&self) -> Vec<Arc<ConversationState>> {
        self.directory().all()
    }

    /// The conversations of a sandbox.
    #[must_use]
    pub fn in_sandbox(&self, sandbox: &SandboxId) -> Vec<Arc<ConversationState>> {
        let mut entries = self.all();
        entries.retain(|entry| entry.log.sandbox() == sandbox);
        entries
    }

    /// Waits until records up to `seq` are folded in, so that who was told of a write reads it.
    ///
    /// # Errors
    /// `Unavailable` when `deadline` passes, `NotFound` when the log does not go that far.
    pub async fn wait_for(
        &self,
        entry: &Arc<ConversationState>,
        seq: Seq,
        deadline: Duration,
    ) -> ports::Result<()> {
        let mut folded = entry.watch();
        let arrived = folded.wait_for(|mark| mark.at >= seq);
        if tokio::time::timeout(BUS_PATIENCE.min(deadline), arrived).await.is_ok() {
            return Ok(());
        }
        let caught_up = tokio::time::timeout(deadline, self.catch_up(entry)).await;
        caught_up.map_err(|_| Error::Unavailable("the log did not answer in time".to_owned()))??;
        if entry.seq() < seq { Err(Error::NotFound) } else { Ok(()) }
    }

    /// Folds in everything the log of `entry` has.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn catch_up(&self, entry: &Arc<ConversationState>) -> ports::Result<()> {
        let outcome = entry.followed.catch_up(self.0.ports.log.as_ref()).await;
        self.directory_mut().reorder(entry);
        outcome
    }

    fn directory(&self) -> RwLockReadGuard<'_, Directory> {
        self.0.directory.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn directory_mut(&self) -> RwLockWriteGuard<'_, Directory> {
        self.0.directory.write().unwrap_or_else(PoisonError::into_inner)
    }
}
