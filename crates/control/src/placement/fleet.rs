//! The sandboxes of a cluster as this gateway sees them, and waking them.
//!
//! ```text
//!              wake: want = running          takes the next epoch, starts        takes its lease
//!  (paused) ───────────────────────▶ wanted ──────────────────────────▶ arranged ────────────────▶ living
//!      ▲            this file                     the supervisor            │         the worker       │
//!      └──────────── want = paused, instance given back ◀── failed: noted in the allocation ◀──────────┘
//! ```
//!
//! *Who owns what.* Four buckets tell all that there is to know, and each has one kind of writer. Gateways say what they
//! want (`SANDBOXES`) and which sandbox a placement key means (`PLACES`); the supervisor says what it has arranged
//! (`ALLOCATIONS`): the epoch, the instance, why it failed; a worker says that it lives (`LEASES`). A [`Fleet`] follows
//! all four in memory ([`Mirror`]) and decides nothing that another gateway could not decide differently at the same
//! time: what it writes is by compare-and-set, and says only what is wanted.
//!
//! *Ready* is a sandbox that is wanted to run and whose newest instance holds a lease. The mirrors lag, so that is a guess.
//! A wrong one costs a call that nobody takes, after which [`Fleet::wait_for_another`] asks once more; it never costs
//! safety, for an older instance is fenced off by its epoch and not by what anybody believes about it.
//!
//! *Over* is an instance once a newer epoch is arranged or its own is given back. A lease that is gone says nothing: while
//! the store is away nobody can renew, and the worker goes on with what it has begun. So a call is given up by
//! [`Fleet::wait_until_over`] only when its worker cannot answer any more.
//!
//! *Waiting* is always for a change of a mirror or for `patience`, whichever comes first. A failure counts only if it is
//! newer than the wait: the one that is noted when a wait begins is the reason why somebody tries again. Who comes while
//! a sandbox starts waits with the others; only a touch that is [`RECENT`] is left out, so that a crowd makes one write.
//!
//! *How it ends.* The mirrors end with the server's tasks; whoever waits for a change then returns. Nothing has to be
//! given back: what this gateway wanted stands in the buckets, and any other goes on with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ports::mutants::{self, Mutant};
use ports::rpc::{Code, Fault, Reason};
use ports::{Kv, Ports};
use readmodel::index::Index;
use tokio::time::Instant;
use types::buckets::{ALLOCATIONS, LEASES, PLACES, SANDBOXES, lifetime};
use types::placement::{Allocation, Failure, Lease, Want, Wanted};
use types::time::unix_ms;
use types::{Epoch, SandboxId};

use super::mirror::{Mirror, Seen};
use super::resting::Resting;
use super::{Cluster, records};
use crate::Tasks;

/// A sandbox that was touched so recently need not be touched again, in milliseconds.
const RECENT: u64 = 1_000;

pub struct Fleet {
    pub(super) index: Index,
    pub(super) kv: Arc<dyn Kv>,
    pub(super) cluster: Cluster,
    pub(super) places: Arc<Mirror<SandboxId>>,
    pub(super) wanted: Arc<Mirror<Wanted>>,
    pub(super) allocations: Arc<Mirror<Allocation>>,
    pub(super) leases: Arc<Mirror<Lease>>,
    pub(super) resting: Resting,
}

impl Fleet {
    pub(crate) async fn start(
        cluster: Cluster,
        ports: &Ports,
        index: &Index,
        tasks: &Tasks,
    ) -> ports::Result<Self> {
        let kv = ports.kv.clone();
        let (places, wanted, allocations, leases) = tokio::try_join!(
            Mirror::start(&kv, PLACES, tasks),
            Mirror::start(&kv, SANDBOXES, tasks),
            Mirror::start(&kv, ALLOCATIONS, tasks),
            Mirror::start(&kv, LEASES, tasks),
        )?;
        let (index, resting) = (index.clone(), Resting::default());
        Ok(Self { index, kv, cluster, places, wanted, allocations, leases, resting })
    }

    /// Returns once a worker of `sandbox` is alive; starts it if it is not wanted to run.
    pub(super) async fn wait_until_ready(&self, sandbox: &SandboxId) -> Result<Epoch, Fault> {
        if let Some(epoch) = self.living(sandbox).filter(|_| self.is_wanted(sandbox)) {
            return Ok(epoch);
        }
        let give_up = Instant::now() + self.cluster.patience;
        let (mut leases, mut allocations) = (self.leases.changes(), self.allocations.changes());
        let known = match mutants::is(Mutant::OldFailure) {
            true => 0,
            false => self.allocations.get(sandbox.as_str()).map_or(0, |seen| seen.revision),
        };
        self.wake(sandbox).await?;
        loop {
            if let Some(epoch) = self.living(sandbox) {
                return Ok(epoch);
            }
            let allocation = self.allocations.get(sandbox.as_str());
            if let Some(failure) =
                allocation.filter(|seen| seen.revision > known).and_then(|seen| seen.value.failure)
            {
                return Err(not_started(&failure));
            }
            tokio::select! {
                _ = leases.changed() => {}
                _ = allocations.changed() => {}
                () = tokio::time::sleep_until(give_up) => return Err(self.too_late(sandbox)),
            }
        }
    }

    /// After nobody took a call although a lease says that a worker lives: waits a little for another one.
    pub(super) async fn wait_for_another(&self, sandbox: &SandboxId) -> Result<(), Fault> {
        const PAUSE: Duration = Duration::from_millis(100);
        let mut leases = self.leases.changes();
        self.wake(sandbox).await?;
        let _ = tokio::time::timeout(PAUSE, leases.changed()).await;
        Ok(())
    }

    /// Returns once `epoch` is over: a newer one has begun, which none does while the instance of the last is there, or
    /// its instance was given back. Cancel safe.
    pub(super) async fn wait_until_over(&self, sandbox: &SandboxId, epoch: Epoch) {
        let (mut leases, mut allocations) = (self.leases.changes(), self.allocations.changes());
        while !self.has_ended(sandbox, epoch) {
            let changed = tokio::select! {
                changed = leases.changed() => changed,
                changed = allocations.changed() => changed,
            };
            // An error says that the server stops.
            if changed.is_err() {
                return;
            }
        }
    }

    /// A lease alone tells nothing: it may run out while the store is away.
    fn has_ended(&self, sandbox: &SandboxId, epoch: Epoch) -> bool {
        let allocation = self.allocations.get(sandbox.as_str()).map(|seen| seen.value).unwrap_or_default();
        allocation.epoch > epoch || allocation.instance.is_empty() && self.living(sandbox) != Some(epoch)
    }

    /// Returns when the worker reports, from now on, what `is_quiet` tells by; or is gone. Answers how many calls it had
    /// been sent by then.
    pub(super) async fn quiet(&self, sandbox: &SandboxId, is_quiet: impl Fn(&Lease) -> bool) -> Option<u64> {
        let mut leases = self.leases.changes();
        let known = self.leases.get(sandbox.as_str()).map_or(0, |seen| seen.revision);
        let is_over = |leases: &BTreeMap<String, Seen<Lease>>| {
            leases.get(sandbox.as_str()).is_none_or(|seen| seen.revision > known && is_quiet(&seen.value))
        };
        // An error says that the server stops.
        let leases = leases.wait_for(is_over).await.ok()?;
        leases.get(sandbox.as_str()).map(|seen| seen.value.calls)
    }

    /// The newest incarnation, if it is alive.
    pub(super) fn living(&self, sandbox: &SandboxId) -> Option<Epoch> {
        self.current_lease(sandbox.as_str()).map(|lease| lease.epoch)
    }

    /// The lease of the newest incarnation, unless it is out of date.
    pub(super) fn current_lease(&self, sandbox: &str) -> Option<Lease> {
        let newest = self.allocations.get(sandbox).map(|seen| seen.value.epoch).unwrap_or_default();
        let lifetime = lifetime(LEASES).unwrap_or(Duration::MAX);
        let seen = self.leases.get(sandbox)?;
        (seen.at.elapsed() < lifetime && seen.value.epoch >= newest).then_some(seen.value)
    }

    /// Has a sandbox paused, unless its worker is called for something after the first `quiet_after` calls. One without a worker
    /// cannot be asked: it is not paused if it was wanted since it was `touched`, or may have been.
    pub(super) async fn pause(
        &self,
        sandbox: &SandboxId,
        quiet_after: Option<u64>,
        touched: u64,
    ) -> ports::Result<()> {
        let pause = |wanted: &mut Wanted| {
            let age = unix_ms().saturating_sub(wanted.touched_at);
            let is_quiet = quiet_after.is_some() || wanted.touched_at <= touched && age >= RECENT;
            let runs = wanted.want == Want::Running && is_quiet;
            if runs {
                (wanted.want, wanted.quiet_after) = (Want::Paused, quiet_after);
            }
            runs
        };
        records::change(self.kv.as_ref(), sandbox, pause).await.map(drop)
    }

    fn is_wanted(&self, sandbox: &SandboxId) -> bool {
        self.wanted.get(sandbox.as_str()).is_some_and(|seen| seen.value.want == Want::Running)
    }

    async fn wake(&self, sandbox: &SandboxId) -> Result<(), Fault> {
        // One that has failed since it was touched is tried again only when it is touched again.
        let has_failed = self.failure(sandbox).is_some();
        let touch = |wanted: &mut Wanted| {
            let now = unix_ms();
            let is_recent = now.saturating_sub(wanted.touched_at) < RECENT;
            let is_fresh = wanted.want == Want::Running && is_recent && !has_failed;
            if is_fresh || wanted.want == Want::Deleted {
                return false;
            }
            (wanted.want, wanted.touched_at, wanted.quiet_after) = (Want::Running, now, None);
            true
        };
        match records::change(self.kv.as_ref(), sandbox, touch).await? {
            Some(wanted) if wanted.want != Want::Deleted => Ok(()),
            _ => Err(Reason::SandboxDeleted.into()),
        }
    }

    fn failure(&self, sandbox: &SandboxId) -> Option<Failure> {
        self.allocations.get(sandbox.as_str())?.value.failure
    }

    fn too_late(&self, sandbox: &SandboxId) -> Fault {
        match self.failure(sandbox) {
            Some(failure) => not_started(&failure),
            None => Reason::SandboxStarting.into(),
        }
    }
}

/// The log of the worker is of the inside.
fn not_started(failure: &Failure) -> Fault {
    Fault::new(Code::Absent, failure.message.clone())
}
