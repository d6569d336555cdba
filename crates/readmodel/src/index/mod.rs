//! The conversations there are, held in memory: the list, its orders and counts, and the state of each.
//!
//! **What is where.** The `Directory` has every conversation once, and knows the orders in which a tenant lists them,
//! their counts, and which sandbox they are in. A [`ConversationState`] has the record of one and the fold of its log, a
//! [`FollowedLog`](crate::followed::FollowedLog). Both are copies: the bucket `CONVERSATIONS` and the logs are the truth,
//! and everything here can be made from them again.
//!
//! ```text
//!   bus: every stored record ──▶ deal ──▶ partition 0 ─┐
//!                                 (by log)     …       ├─▶ fold ──▶ Directory ──▶ lists, sockets, waiters
//!                                         partition 3 ─┘     │
//!   bucket: every changed record ──────────▶ take ───────────┤ a gap, a lag, a record not known
//!                                                            ▼
//!                                             behind: a task a conversation reads the store
//! ```
//!
//! **Fresh goes before late.** The tasks that fold wait for nothing but the next record, so no conversation holds up
//! another. Records of one log always come to the same partition, in their order. Where one names a record before it that
//! is not known, the conversation is *behind*, and a task of its own reads the log (`behind`), one a conversation, again if
//! it was asked again meanwhile, and `follow::PARALLEL_READS` of them at a time, a page a turn. A store that is away is
//! asked again until it is back: what was missed is never given up.
//!
//! **Lag.** When the subscription has dropped records they may be those of any log. The word of it goes through the
//! partitions behind the records that came before it; then each looks, beside its folding, where the logs of its
//! conversations end, with turns of its own, and has those read that end behind what is known. A conversation whose next
//! record was folded since then has missed nothing. When the watch of the bucket lags, the bucket is scanned, and the records
//! that differ are read.
//!
//! **A conversation comes in** by its own creation here, or when the watch or a scan tells of its record. It is read
//! before it is shown, put in, and read once more, for between the two nobody told it of anything. Its record may only be
//! replaced by one of a later revision, and only if it is the same conversation: another with the same id is another state.
//!
//! **It goes** when its record does. While it is deleted here it is hidden, and nobody puts it in again.
//!
//! **Who follows all** conversations of a tenant is told which of them are not as they were ([`Index::news`]), whatever has changed
//! them, and looks at those when he gets to it.
//!
//! **Who waits** for a write to be visible watches the position ([`Index::wait_for`]), and reads the log himself when the
//! bus is late. **At start** all is loaded from the bucket, the saved folds and what the logs have beyond them, with the
//! subscriptions made before. **It ends** when `drain` is cancelled: all of its tasks stop where they wait. A panic over one
//! record or one conversation is contained; a task that ends nevertheless, or a subscription, ends the server (`vital`).

mod agent_text;
mod behind;
mod brief;
mod conversation;
mod cursor;
mod directory;
mod follow;
mod info;
mod interned;
mod load;
mod news;
mod pulse;
mod records;
mod save;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use ports::{Error, Ports};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::buckets::{CONVERSATIONS, PROJECTIONS};
use types::conversation::{ConversationRecord, Status};
use types::{ConversationId, SandboxId, Seq, TenantId};

use agent_text::SharedTexts;
use behind::Behind;
pub use brief::{Brief, ConversationBrief};
pub use conversation::ConversationState;
pub use cursor::Cursor;
use directory::Directory;
pub use directory::Sort;
pub use info::{
    ConversationInfo, RuntimeError, RuntimeInfo, RuntimeStatus, View, full_state, persistence_dir,
};
pub use news::News;
pub use records::Created;

use crate::vital;

/// How long the bus may take before the log is asked instead.
const BUS_PATIENCE: Duration = Duration::from_millis(250);

/// The conversations there are. Cheap to clone.
#[derive(Clone)]
pub struct Index(Arc<Inner>);

struct Inner {
    ports: Ports,
    directory: RwLock<Directory>,
    behind: Behind,
    texts: SharedTexts,
    tasks: TaskTracker,
    drain: CancellationToken,
}

impl Index {
    /// Loads what is stored and follows it, in `tasks`, until `drain` is cancelled.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start(ports: &Ports, tasks: &TaskTracker, drain: &CancellationToken) -> ports::Result<Self> {
        let index = Self(Arc::new(Inner {
            ports: ports.clone(),
            directory: RwLock::default(),
            behind: Behind::default(),
            texts: SharedTexts::default(),
            tasks: tasks.clone(),
            drain: drain.clone(),
        }));
        let feeds = follow::subscribe(ports).await?;
        load::all(&index).await?;
        follow::spawn(&index, feeds);
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

    /// Up to `limit` of a tenant's conversations from `from` on (from the start, if that names nothing), and where
    /// those after them begin.
    #[must_use]
    pub fn page(
        &self,
        tenant: &TenantId,
        sort: Sort,
        from: Option<Cursor>,
        status: Option<Status>,
        limit: usize,
    ) -> (Vec<Arc<ConversationState>>, Option<Cursor>) {
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
        self.directory().in_sandbox(sandbox)
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

    /// Runs `work` until the server stops, or it ends.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn(self.0.drain.clone().run_until_cancelled_owned(work));
    }

    /// Runs `work`, without which the index would grow old, until the server stops.
    fn spawn_vital(&self, what: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        vital::spawn(&self.0.tasks, &self.0.drain, what, work);
    }

    fn directory(&self) -> RwLockReadGuard<'_, Directory> {
        self.0.directory.read()
    }

    fn directory_mut(&self) -> RwLockWriteGuard<'_, Directory> {
        self.0.directory.write()
    }
}
