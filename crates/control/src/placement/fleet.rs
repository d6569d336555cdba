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
//! *Ready* is a sandbox that is wanted to run and whose newest instance holds a lease; one that was claimed from the warm pool
//! also has to be granted, for what a tenant may have is counted by the supervisor. The mirrors lag, so that is a guess.
//! A wrong one costs a call that nobody takes, after which [`Fleet::wait_for_another`] asks once more; it never costs
//! safety, for an older instance is fenced off by its epoch and not by what anybody believes about it.
//!
//! *Over* is an instance once a newer epoch is arranged or its own is given back. A lease that is gone says nothing: while
//! the store is away nobody can renew, and the worker goes on with what it has begun. So a call is given up by
//! [`Fleet::wait_until_over`] only when its worker cannot answer any more.
//!
//! *Waiting* is always for a change of a mirror or for `patience`, whichever comes first. Each wake has a number, and a
//! failure says which it answers: one that answers an earlier wake is the reason why somebody tries again. Who comes while
//! a sandbox starts waits with the others; only a touch that is [`RECENT`] is left out, so that a crowd makes one write.
//! No clock of a machine is compared with another's: what is recent is what was heard of here a moment ago.
//!
//! *How it ends.* The mirrors end with the server's tasks, and so does whoever waits for a change. Nothing has to be
//! given back: what this gateway wanted stands in the buckets, and any other goes on with it.

use std::sync::Arc;
use std::time::Duration;

use ports::mutants::{self, Mutant};
use ports::rpc::{Code, Fault, Reason};
use ports::{Kv, Ports, Versioned};
use readmodel::index::Index;
use tokio::time::Instant;
use types::buckets::{ALLOCATIONS, LEASES, PLACES, SANDBOXES, lifetime};
use types::placement::{Allocation, Failure, Lease, Want, Wanted};
use types::time::unix_ms;
use types::{Epoch, SandboxId};

use super::mirror::Mirror;
use super::resting::Resting;
use super::{Cluster, failure_of, records};
use crate::Tasks;

/// A sandbox that was heard to be touched so recently need not be touched again.
const RECENT: Duration = Duration::from_secs(1);

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
        if let Some(epoch) = self.living(sandbox).filter(|_| self.is_granted(sandbox)) {
            return Ok(epoch);
        }
        let give_up = Instant::now() + self.cluster.patience;
        let key = sandbox.as_str();
        let (mut leases, mut allocations) = (self.leases.changes_of(key), self.allocations.changes_of(key));
        let mut wanted = self.wanted.changes_of(key);
        let mut wish = self.wake(sandbox).await?;
        loop {
            if let Some(epoch) = self.living(sandbox).filter(|_| self.is_granted(sandbox)) {
                return Ok(epoch);
            }
            let is_answer =
                |failed: &Failure| failed.answers >= wish.value.wakes || mutants::is(Mutant::OldFailure);
            if let Some(failure) = self.failure(sandbox).filter(is_answer) {
                return Err(not_started(&failure));
            }
            if self.is_paused_since(sandbox, wish.revision) {
                wish = self.wake(sandbox).await?;
                continue;
            }
            tokio::select! {
                () = leases.next() => {}
                () = allocations.next() => {}
                () = wanted.next() => {}
                () = tokio::time::sleep_until(give_up) => return Err(self.too_late(sandbox)),
            }
        }
    }

    /// After nobody took a call although a lease says that a worker lives: waits a little for another one.
    pub(super) async fn wait_for_another(&self, sandbox: &SandboxId) -> Result<(), Fault> {
        const PAUSE: Duration = Duration::from_millis(100);
        let mut leases = self.leases.changes_of(sandbox.as_str());
        self.wake(sandbox).await?;
        let _ = tokio::time::timeout(PAUSE, leases.next()).await;
        Ok(())
    }

    /// Returns once `epoch` is over: a newer one has begun, which none does while the instance of the last is there, or
    /// its instance was given back. Cancel safe.
    pub(super) async fn wait_until_over(&self, sandbox: &SandboxId, epoch: Epoch) {
        let key = sandbox.as_str();
        let (mut leases, mut allocations) = (self.leases.changes_of(key), self.allocations.changes_of(key));
        while !self.has_ended(sandbox, epoch) {
            tokio::select! {
                () = leases.next() => {}
                () = allocations.next() => {}
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
        let mut changes = self.leases.changes_of(sandbox.as_str());
        let known = self.leases.get(sandbox.as_str()).map_or(0, |seen| seen.revision);
        loop {
            // Without a lease it is gone.
            let seen = self.leases.get(sandbox.as_str())?;
            if seen.revision > known && is_quiet(&seen.value) {
                return Some(seen.value.calls);
            }
            changes.next().await;
        }
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
    /// cannot be asked: it is paused only if what is wanted of it is as it was `seen`, and nobody may have found that recent.
    pub(super) async fn pause(
        &self,
        sandbox: &SandboxId,
        quiet_after: Option<u64>,
        seen: Option<&Wanted>,
    ) -> ports::Result<()> {
        let may_be_waited_for = self.is_recent(sandbox);
        let pause = |wanted: &mut Wanted| {
            let is_quiet = quiet_after.is_some() || seen == Some(wanted) && !may_be_waited_for;
            let runs = wanted.want == Want::Running && is_quiet;
            if runs {
                (wanted.want, wanted.quiet_after) = (Want::Paused, quiet_after);
            }
            runs
        };
        records::change(self.kv.as_ref(), sandbox, pause).await.map(drop)
    }

    /// Whether it is wanted to run, and its tenant may use it: of one from the warm pool the supervisor says so.
    fn is_granted(&self, sandbox: &SandboxId) -> bool {
        let may_be_used =
            |wanted: &Wanted| wanted.want == Want::Running && wanted.tenant.is_some() && !wanted.is_claimed;
        self.wanted.get(sandbox.as_str()).is_some_and(|seen| may_be_used(&seen.value))
    }

    /// Whether somebody has had it paused who knew of that wish.
    fn is_paused_since(&self, sandbox: &SandboxId, wish: u64) -> bool {
        let wanted = self.wanted.get(sandbox.as_str());
        wanted.is_some_and(|seen| seen.revision > wish && seen.value.want != Want::Running)
    }

    fn is_recent(&self, sandbox: &SandboxId) -> bool {
        self.wanted.get(sandbox.as_str()).is_some_and(|seen| seen.at.elapsed() < RECENT)
    }

    /// Answers the wish that is to be fulfilled.
    async fn wake(&self, sandbox: &SandboxId) -> Result<Versioned<Wanted>, Fault> {
        let (failure, is_recent) = (self.failure(sandbox), self.is_recent(sandbox));
        let touch = |wanted: &mut Wanted| {
            // One that has failed since it was touched is tried again only when it is touched again.
            let has_failed = failure.as_ref().is_some_and(|failure| failure.answers >= wanted.wakes);
            let is_fresh = wanted.want == Want::Running && is_recent && !has_failed;
            if is_fresh || wanted.want == Want::Deleted {
                return false;
            }
            (wanted.want, wanted.touched_at, wanted.quiet_after) = (Want::Running, unix_ms(), None);
            wanted.wakes = wanted.wakes.saturating_add(1);
            true
        };
        match records::change(self.kv.as_ref(), sandbox, touch).await? {
            Some(stored) if stored.value.want != Want::Deleted => Ok(stored),
            _ => Err(Reason::SandboxDeleted.into()),
        }
    }

    /// Why there is no instance.
    fn failure(&self, sandbox: &SandboxId) -> Option<Failure> {
        failure_of(self.allocations.get(sandbox.as_str())?.value)
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

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use types::placement::FailureReason;

    use super::*;
    use crate::placement::Policy;
    use crate::placement::world::{World, wanted, world};

    fn failed(epoch: u64, instance: &str, answers: u64) -> Allocation {
        let (message, text) = ("The image is not there.".to_owned(), String::new());
        let reason = FailureReason::ImageMissing;
        let failure =
            Failure { reason, message, log: text.clone(), at: text, retry_at: 0, is_final: true, answers };
        let (epoch, instance) = (Epoch(epoch), instance.to_owned());
        Allocation { epoch, instance, failures: 5, failure: Some(failure) }
    }

    async fn until_woken(world: &World, wakes: u64) {
        while world.want("default").await.wakes < wakes {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_wakes_a_sandbox_is_not_told_why_an_earlier_start_had_failed() {
        let world = world(Policy::Shared, &[("default", wanted("default", 1))]).await;
        world.write(ALLOCATIONS, "default", &failed(1, "", 0)).await;
        let starting = async {
            until_woken(&world, 1).await;
            // What the supervisor knows so far, and then the start.
            world.write(ALLOCATIONS, "default", &failed(1, "", 0)).await;
            world.write(ALLOCATIONS, "default", &failed(2, "unit", 0)).await;
            while world.fleet.allocations.get("default").is_none_or(|seen| seen.value.epoch < Epoch(2)) {
                tokio::task::yield_now().await;
            }
            world.runs("default", 2).await;
        };
        let sandbox = SandboxId::shared();
        let (ready, ()) = tokio::join!(world.fleet.wait_until_ready(&sandbox), starting);
        assert_eq!(ready, Ok(Epoch(2)));
    }

    #[tokio::test]
    async fn a_failure_that_answers_a_wake_is_told_to_who_has_woken() {
        let world = world(Policy::Shared, &[("default", wanted("default", 1))]).await;
        let failing = async {
            until_woken(&world, 1).await;
            world.write(ALLOCATIONS, "default", &failed(1, "", 1)).await;
        };
        let sandbox = SandboxId::shared();
        let (ready, ()) = tokio::join!(world.fleet.wait_until_ready(&sandbox), failing);
        assert_eq!(ready.unwrap_err().public, "The image is not there.");
    }

    #[tokio::test]
    async fn who_waits_for_a_sandbox_that_somebody_has_paused_meanwhile_wakes_it_again() {
        let world = world(Policy::Shared, &[("default", wanted("default", 1))]).await;
        let pausing = async {
            until_woken(&world, 1).await;
            world.write(SANDBOXES, "default", &Wanted { wakes: 1, ..wanted("default", 1) }).await;
            until_woken(&world, 2).await;
            world.runs("default", 1).await;
        };
        let sandbox = SandboxId::shared();
        let (ready, ()) = tokio::join!(world.fleet.wait_until_ready(&sandbox), pausing);
        assert_eq!(ready, Ok(Epoch(1)));
    }

    #[tokio::test]
    async fn what_was_taken_from_the_warm_pool_is_used_only_once_it_is_granted() {
        let granted = Wanted { want: Want::Running, ..wanted("default", 1) };
        let claimed = Wanted { is_claimed: true, ..granted.clone() };
        let world = world(Policy::Shared, &[("default", claimed)]).await;
        world.runs("default", 1).await;
        let sandbox = SandboxId::shared();
        while world.fleet.living(&sandbox).is_none() {
            tokio::task::yield_now().await;
        }
        let mut waiting = pin!(world.fleet.wait_until_ready(&sandbox));
        let soon = tokio::time::timeout(Duration::from_millis(300), waiting.as_mut());
        assert!(soon.await.is_err(), "whether there is room for it is not known yet");
        world.write(SANDBOXES, "default", &granted).await;
        assert_eq!(waiting.await, Ok(Epoch(1)));
    }
}
