//! Which sandbox serves a call, and whether its worker is awake.
//!
//! In one process there is one sandbox and its worker is always there. In a cluster sandboxes have records
//! (`types::placement`); gateways say what they want of them, the supervisor brings it about, and the workers'
//! leases tell that it is so.

mod abandoned;
mod cluster;
mod fleet;
mod mirror;
mod places;
mod policy;
mod records;
mod recover;
mod resting;
mod settings;
mod single;
mod workers;
#[cfg(test)]
mod world;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use ports::Ports;
use ports::rpc::Fault;
use readmodel::index::{Index, RuntimeError, RuntimeInfo, RuntimeStatus};
use types::conversation::ConversationRecord;
use types::placement::{Allocation, Failure, FailureReason, Lease, Want};
use types::{ConversationId, Epoch, SandboxId, TenantId};

pub(crate) use fleet::Fleet;
pub use policy::Policy;
pub(crate) use records::located;
pub(crate) use recover::{follow as close_cut_off_runs, follow_fleet as close_cut_off_runs_of};
pub use settings::Cluster;
pub(crate) use single::Single;
pub use workers::Workers;

use crate::Tasks;

/// Where a cluster places what is brought into it, for who serves neither clients nor workers; until `tasks` are drained.
///
/// # Errors
/// When the store cannot be read.
pub async fn of_cluster(cluster: Cluster, ports: &Ports, tasks: &Tasks) -> ports::Result<Arc<dyn Placement>> {
    let index = Index::start(ports, &tasks.tracker, &tasks.drain).await?;
    Ok(Arc::new(Fleet::start(cluster, ports, &index, tasks).await?))
}

/// Which sandbox serves whom, and its workers.
///
/// A sandbox never serves two tenants. Its workers come one after the other, each an incarnation with an epoch.
#[async_trait]
pub trait Placement: Send + Sync {
    /// Where conversations may run, in the API's words.
    fn runtimes(&self) -> Runtimes;

    /// When a new conversation is there for its client.
    fn creation(&self) -> Creation;

    /// The sandbox of an absolute path.
    ///
    /// # Errors
    /// Those of the store.
    async fn at(&self, tenant: &TenantId, path: &str) -> ports::Result<SandboxId>;

    /// The same for who only looks: none is made for the path. Where it has none it is looked for where everything is that has
    /// no place of its own.
    ///
    /// # Errors
    /// Those of the store.
    async fn seen_at(&self, tenant: &TenantId, path: &str) -> ports::Result<SandboxId>;

    /// The sandbox of a new conversation; `alone`: one of its own, whatever the policy.
    ///
    /// # Errors
    /// Those of the store.
    async fn of_new(&self, record: &ConversationRecord, alone: bool) -> ports::Result<SandboxId>;

    /// To be called when the record of a conversation is stored. Whether its sandbox stays for it: somebody else may have
    /// given it up in the meantime, as that of the last conversation that was in it.
    ///
    /// # Errors
    /// Those of the store.
    async fn kept(&self, record: &ConversationRecord) -> ports::Result<bool>;

    /// Returns once the sandbox has a worker, which is started if need be; answers which, where there are several
    /// one after the other.
    ///
    /// # Errors
    /// `Absent` with a sentence for the user when it does not start, `NotFound` when the sandbox is gone.
    async fn ready(&self, sandbox: &SandboxId) -> Result<Option<Epoch>, Fault>;

    /// As [`Placement::ready`] of a worker that is alive; starts none.
    ///
    /// # Errors
    /// `Absent` where none is.
    fn awake(&self, sandbox: &SandboxId) -> Result<Option<Epoch>, Fault>;

    /// The worker that is alive, where there are several one after the other.
    fn incarnation(&self, sandbox: &SandboxId) -> Option<Epoch>;

    /// The worker that is alive by what is stored, also where that is not known here yet. One whose time is over may be told, too.
    ///
    /// # Errors
    /// Those of the store.
    async fn stored_incarnation(&self, sandbox: &SandboxId) -> ports::Result<Option<Epoch>>;

    /// Returns once that worker is over and answers no more; never where there is but one.
    ///
    /// # Cancel safety
    /// Safe: it only looks.
    async fn ended(&self, sandbox: &SandboxId, incarnation: Option<Epoch>);

    /// After nobody took a call that went to a sandbox which seemed ready: waits a little for its worker.
    ///
    /// # Errors
    /// `fault`, where no other worker can come. As [`Placement::ready`].
    async fn missed(&self, sandbox: &SandboxId, fault: Fault) -> Result<(), Fault>;

    /// A conversation of the sandbox was deleted; what nobody needs any more is given back. Whether nobody is in a sandbox
    /// that stays: then [it may rest](Placement::rest_empty).
    ///
    /// # Errors
    /// Those of the store.
    async fn left(&self, sandbox: &SandboxId, id: ConversationId) -> ports::Result<bool>;

    /// A conversation that a sandbox was chosen for is not made after all: one that was for it alone is given back.
    ///
    /// # Errors
    /// Those of the store.
    async fn unused(&self, sandbox: &SandboxId, id: ConversationId) -> ports::Result<()>;

    /// Stops the worker of a sandbox that no conversation is in, once it has nothing to do.
    ///
    /// # Errors
    /// Those of the store.
    async fn rest_empty(&self, sandbox: &SandboxId) -> ports::Result<()>;

    /// A conversation was paused. If no other is in its sandbox, the worker is stopped once the last step is over.
    ///
    /// # Errors
    /// Those of the store.
    async fn rest(&self, conversation: ConversationId) -> ports::Result<()>;

    /// The folder of the working trees that are made of the repository at a path, where that decides which sandbox they are in;
    /// `None`: anywhere outside of the workspaces.
    fn worktrees_of(&self, path: &str) -> Option<PathBuf>;

    /// Where the sandbox stands; `None` where it always runs.
    fn status(&self, sandbox: &SandboxId) -> Option<SandboxStatus>;
}

/// Where a conversation runs unless it says so, and what it may choose from; nothing: it has no choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runtimes {
    pub default: &'static str,
    pub choice: &'static [&'static str],
    /// Whether a conversation can have a sandbox of its own.
    pub has_containers: bool,
}

impl Runtimes {
    /// Of a server that is one process.
    pub const LOCAL: Self = Self { default: "local", choice: &[], has_containers: false };
}

/// When a new conversation is there for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// When its workspace is made and its first message delivered: the worker is at hand.
    Complete,
    /// At once. The rest is done when its worker has come, which may take long.
    BeforeItsWorker,
}

/// Where a sandbox stands.
pub struct SandboxStatus {
    pub want: Want,
    pub allocation: Option<Allocation>,
    /// Of a worker that is alive.
    pub lease: Option<Lease>,
}

/// How a sandbox is to who would use it, in the API's words. One that is paused is at hand: the next call wakes it.
#[must_use]
pub fn runtime_info(status: Option<SandboxStatus>) -> RuntimeInfo {
    use RuntimeStatus::{Available, Error, Missing, Starting};
    let Some(SandboxStatus { want, allocation, lease }) = status else { return told(Available, None) };
    let failure = allocation.and_then(failure_of);
    match (want, lease, failure) {
        (Want::Deleted, _, _) => told(Missing, None),
        (Want::Running | Want::Paused, Some(_), _) | (Want::Paused, None, None) => told(Available, None),
        (Want::Running | Want::Paused, None, Some(failure)) => told(Error, Some(failure)),
        (Want::Running, None, None) => told(Starting, None),
    }
}

/// That of an earlier instance says nothing of one that is on its way.
fn failure_of(Allocation { instance, failure, .. }: Allocation) -> Option<Failure> {
    failure.filter(|failure| instance.is_empty() || failure.reason == FailureReason::DriverUnavailable)
}

fn told(runtime_status: RuntimeStatus, failure: Option<Failure>) -> RuntimeInfo {
    let runtime_error = failure.map(|Failure { reason: code, message, .. }| RuntimeError { code, message });
    RuntimeInfo { can_resume: runtime_status != RuntimeStatus::Missing, runtime_status, runtime_error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_of(want: Want, lease: Option<Lease>, failure: Option<Failure>) -> RuntimeStatus {
        let allocation = Some(Allocation { failure, ..Allocation::default() });
        runtime_info(Some(SandboxStatus { want, allocation, lease })).runtime_status
    }

    #[test]
    fn a_sandbox_is_called_available_only_where_the_next_call_is_answered() {
        let lease =
            || Some(Lease { epoch: Epoch(1), since: String::new(), idle_seconds: 0, runs: 0, calls: 0 });
        let failure = || {
            let (message, log, at) = ("All sandboxes are taken.".to_owned(), String::new(), String::new());
            Some(Failure {
                reason: FailureReason::NoRoom,
                message,
                log,
                at,
                retry_at: 0,
                is_final: false,
                answers: 0,
            })
        };
        assert_eq!(runtime_info(None).runtime_status, RuntimeStatus::Available, "it is always there");
        assert_eq!(status_of(Want::Running, lease(), failure()), RuntimeStatus::Available);
        assert_eq!(status_of(Want::Paused, None, None), RuntimeStatus::Available, "a call wakes it");
        assert_eq!(status_of(Want::Running, None, None), RuntimeStatus::Starting);
        assert_eq!(status_of(Want::Running, None, failure()), RuntimeStatus::Error);
        assert_eq!(status_of(Want::Paused, None, failure()), RuntimeStatus::Error);
        assert_eq!(status_of(Want::Deleted, None, failure()), RuntimeStatus::Missing);
        let on_its_way =
            Allocation { failure: failure(), instance: "unit".to_owned(), ..Allocation::default() };
        let status = SandboxStatus { want: Want::Running, allocation: Some(on_its_way), lease: None };
        assert_eq!(runtime_info(Some(status)).runtime_status, RuntimeStatus::Starting);
    }
}
