//! Which sandbox serves a call, and whether its worker is awake.
//!
//! In one process there is one sandbox and its worker is always there. In a cluster sandboxes have records
//! (`types::placement`); gateways say what they want of them, the supervisor brings it about, and the workers'
//! leases tell that it is so.

mod fleet;
mod mirror;
mod places;
mod policy;
mod records;
mod recover;

use ports::Ports;
use ports::rpc::Fault;
use readmodel::index::Index;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::conversation::Record;
use types::placement::{Allocation, Lease, Want};
use types::{ConversationId, Epoch, SandboxId, TenantId};

use crate::config::Placement;
use fleet::Fleet;
pub use policy::Policy;
use policy::{DEFAULT, place_of};
pub(crate) use recover::follow as close_cut_off_runs;

/// The sandboxes; without a fleet each tenant has one, and the one of the default tenant always runs. A sandbox
/// never serves two tenants: calls of others are answered with 503 then.
pub struct Sandboxes(Option<Fleet>);

/// Where a sandbox stands.
pub(crate) struct Standing {
    pub want: Want,
    pub allocation: Option<Allocation>,
    /// Of a worker that is alive.
    pub lease: Option<Lease>,
}

impl Sandboxes {
    /// Begins to follow the cluster's records, in `tasks`, until `drain` is cancelled.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn start(
        placement: &Placement,
        ports: &Ports,
        tasks: &TaskTracker,
        drain: &CancellationToken,
    ) -> ports::Result<Self> {
        match placement {
            Placement::Single => Ok(Self(None)),
            Placement::Cluster(cluster) => {
                Fleet::start(cluster.clone(), ports, tasks, drain).await.map(|fleet| Self(Some(fleet)))
            }
        }
    }

    #[must_use]
    pub fn are_many(&self) -> bool {
        self.0.is_some()
    }

    /// Where a conversation runs unless it says so, and what it may choose from, in the API's words.
    pub(crate) fn runtimes(&self) -> (&'static str, &'static [&'static str]) {
        match self.0.as_ref().map(|fleet| fleet.cluster.policy) {
            None => ("local", &[]),
            Some(Policy::Conversation) => ("docker", &[]),
            Some(Policy::Shared | Policy::Workspace) => ("local", &["local", "docker"]),
        }
    }

    /// The sandbox of an absolute path.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn at(&self, tenant: &TenantId, path: &str) -> ports::Result<SandboxId> {
        let Some(fleet) = &self.0 else { return Ok(SandboxId::from(tenant)) };
        let place = place_of(fleet.cluster.policy, &fleet.cluster.root, path);
        fleet.at(tenant, &place).await
    }

    /// The sandbox of a new conversation; `alone`: one of its own, whatever the policy.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn of_new(&self, record: &Record, alone: bool) -> ports::Result<SandboxId> {
        let Some(fleet) = &self.0 else { return Ok(SandboxId::from(&record.tenant)) };
        if alone || fleet.cluster.policy == Policy::Conversation {
            return fleet.at(&record.tenant, &record.id.hex()).await;
        }
        self.at(&record.tenant, &record.workspace.working_dir).await
    }

    /// Returns once the sandbox has a worker, which is started if need be; answers which, where there are several
    /// one after the other.
    ///
    /// # Errors
    /// `Absent` with a sentence for the user when it does not start, `NotFound` when the sandbox is gone.
    pub async fn ready(&self, sandbox: &SandboxId) -> Result<Option<Epoch>, Fault> {
        match &self.0 {
            Some(fleet) => fleet.ready(sandbox).await.map(Some),
            None => Ok(None),
        }
    }

    /// The worker that is alive, where there are several one after the other.
    pub(crate) fn incarnation(&self, sandbox: &SandboxId) -> Option<Epoch> {
        self.0.as_ref()?.incarnation(sandbox)
    }

    /// Returns once that worker is over and answers no more; never where there is but one.
    ///
    /// # Cancel safety
    /// Safe: it only looks.
    pub(crate) async fn ended(&self, sandbox: &SandboxId, incarnation: Option<Epoch>) {
        match (&self.0, incarnation) {
            (Some(fleet), Some(epoch)) => fleet.ended(sandbox, epoch).await,
            (Some(_), None) => {}
            (None, _) => std::future::pending().await,
        }
    }

    /// After nobody took a call that went to a sandbox which seemed ready: waits a little for its worker.
    ///
    /// # Errors
    /// As [`Sandboxes::ready`].
    pub(crate) async fn missed(&self, sandbox: &SandboxId) -> Result<(), Fault> {
        match &self.0 {
            Some(fleet) => fleet.missed(sandbox).await,
            None => Ok(()),
        }
    }

    /// A conversation of the sandbox was deleted; what nobody needs any more is given back.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn left(
        &self,
        index: &Index,
        sandbox: &SandboxId,
        id: ConversationId,
    ) -> ports::Result<()> {
        let Some(fleet) = &self.0 else { return Ok(()) };
        let Some(wanted) = records::wanted(fleet.kv.as_ref(), sandbox).await? else { return Ok(()) };
        if wanted.place != id.hex() && !index.in_sandbox(sandbox).is_empty() {
            return Ok(());
        }
        if wanted.place == DEFAULT {
            return fleet.want(sandbox, Want::Paused).await;
        }
        fleet.want(sandbox, Want::Deleted).await?;
        match &wanted.tenant {
            Some(tenant) => fleet.leave(sandbox, tenant, &wanted.place).await,
            None => Ok(()),
        }
    }

    /// Waits until a paused conversation needs the sandbox no more: no run is under way in it and, unless it is the
    /// conversation's own, nothing else. Stops its worker if it still may be stopped then.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn rest(
        &self,
        sandbox: &SandboxId,
        id: ConversationId,
        may_rest: impl Fn() -> bool,
    ) -> ports::Result<()> {
        let Some(fleet) = &self.0 else { return Ok(()) };
        let is_own = fleet.wanted.get(sandbox.as_str()).is_some_and(|seen| seen.value.place == id.hex());
        fleet.quiet(sandbox, |lease| lease.runs == 0 && (is_own || lease.idle_seconds > 0)).await;
        if may_rest() { fleet.want(sandbox, Want::Paused).await } else { Ok(()) }
    }

    /// Where the sandbox stands; `None` in one process.
    pub(crate) fn standing(&self, sandbox: &SandboxId) -> Option<Standing> {
        let fleet = self.0.as_ref()?;
        let wanted = fleet.wanted.get(sandbox.as_str());
        Some(Standing {
            want: wanted.map_or(Want::Deleted, |seen| seen.value.want),
            allocation: fleet.allocations.get(sandbox.as_str()).map(|seen| seen.value),
            lease: fleet.current_lease(sandbox.as_str()),
        })
    }
}
