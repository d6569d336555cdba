//! All there is to know about each sandbox, read at one time.

use std::collections::{BTreeMap, BTreeSet};

use ports::{Error, Expect, Kv, Result};
use telemetry::metrics::SandboxCounts;
use types::buckets::{ALLOCATIONS, LEASES, SANDBOXES};
use types::placement::{Allocation, Lease, Want, Wanted};
use types::{Epoch, SandboxId, TenantId};

use crate::records::{self, Record};
use crate::{Driver, Found};

pub struct View {
    pub sandbox: SandboxId,
    pub wanted: Option<Record<Wanted>>,
    pub allocation: Record<Allocation>,
    pub lease: Option<Record<Lease>>,
    /// `None`: the driver does not answer.
    pub instances: Option<Vec<Found>>,
}

impl View {
    /// Of the instance that is there, or else of the last that was.
    pub fn epoch(&self) -> Epoch {
        self.newest_instance().map_or(self.allocation.value.epoch, |found| found.instance.epoch)
    }

    /// Higher than any that was ever handed out, also where the allocation comes from a backup. `None` after the last
    /// one there is.
    pub fn next_epoch(&self) -> Option<Epoch> {
        let leased = self.lease.as_ref().map_or(Epoch(0), |lease| lease.value.epoch);
        let newest = self.epoch().max(self.allocation.value.epoch).max(leased);
        newest.0.checked_add(1).map(Epoch)
    }

    pub fn newest_instance(&self) -> Option<&Found> {
        self.instances.iter().flatten().max_by_key(|found| found.instance.epoch)
    }

    /// Whether there is an instance, or one was arranged where the driver does not say.
    pub fn may_run(&self) -> bool {
        match &self.instances {
            Some(instances) => !instances.is_empty(),
            None => !self.allocation.value.instance.is_empty(),
        }
    }

    /// The lease, if it is that of the instance that is there.
    pub fn own_lease(&self) -> Option<&Record<Lease>> {
        self.lease.as_ref().filter(|lease| lease.value.epoch == self.epoch())
    }

    pub fn wants_running(&self) -> bool {
        self.wanted.as_ref().is_some_and(|wanted| wanted.value.want == Want::Running)
    }

    /// Whether a gateway has taken it from the warm pool, and nobody has asked yet whether there is room for it.
    pub fn is_claimed(&self) -> bool {
        self.wanted.as_ref().is_some_and(|wanted| wanted.value.is_claimed)
    }

    /// How often it was woken.
    pub fn wakes(&self) -> u64 {
        self.wanted.as_ref().map_or(0, |wanted| wanted.value.wakes)
    }

    /// `None` for what waits in the warm pool, or is not wanted at all.
    pub fn tenant(&self) -> Option<&TenantId> {
        self.wanted.as_ref()?.value.tenant.as_ref()
    }
}

/// Which sandboxes are wanted.
#[derive(Clone, Debug)]
pub enum Demand {
    Always(Vec<SandboxId>),
    Recorded,
}

impl Demand {
    async fn read(
        &self,
        kv: &dyn Kv,
        damaged: &mut BTreeSet<SandboxId>,
    ) -> Result<BTreeMap<SandboxId, Record<Wanted>>> {
        match self {
            Self::Recorded => records::list(kv, SANDBOXES, damaged).await,
            Self::Always(sandboxes) => {
                Ok(sandboxes.iter().map(|sandbox| (sandbox.clone(), always(sandbox))).collect())
            }
        }
    }

    async fn read_one(&self, kv: &dyn Kv, sandbox: &SandboxId) -> Result<Option<Result<Record<Wanted>>>> {
        match self {
            Self::Recorded => records::get(kv, SANDBOXES, sandbox).await,
            Self::Always(sandboxes) => Ok(sandboxes.contains(sandbox).then(|| Ok(always(sandbox)))),
        }
    }
}

fn always(sandbox: &SandboxId) -> Record<Wanted> {
    let value = Wanted {
        tenant: Some(TenantId::default()),
        place: sandbox.as_str().to_owned(),
        want: Want::Running,
        ..Wanted::default()
    };
    Record { value, expect: Expect::Absent }
}

/// The views of all sandboxes that are wanted, allocated or running, in their order. Where a record of ours is damaged
/// nobody knows what should be: such a sandbox is left as it is. A lease that cannot be read is none: workers have a say in
/// it, and shall not take their sandboxes out of our hands.
///
/// Beside them, why the driver does not answer: that is part of the picture.
///
/// # Errors
/// When the records cannot be read.
pub async fn read(kv: &dyn Kv, driver: &dyn Driver, demand: &Demand) -> Result<(Vec<View>, Option<Error>)> {
    let mut damaged = BTreeSet::new();
    let mut wanted = demand.read(kv, &mut damaged).await?;
    let mut allocations = records::list(kv, ALLOCATIONS, &mut damaged).await?;
    let mut leases = match demand {
        Demand::Recorded => records::list_readable(kv, LEASES).await?,
        Demand::Always(_) => BTreeMap::new(),
    };
    let (mut instances, outage) = match driver.list().await {
        Ok(found) => (Some(by_sandbox(found)), None),
        Err(error) => (None, Some(error)),
    };
    let running = instances.iter().flat_map(BTreeMap::keys);
    let known: BTreeSet<SandboxId> =
        wanted.keys().chain(allocations.keys()).chain(running).cloned().collect();
    let view = |sandbox: SandboxId| View {
        wanted: wanted.remove(&sandbox),
        allocation: allocations.remove(&sandbox).unwrap_or_default(),
        lease: leases.remove(&sandbox),
        instances: instances.as_mut().map(|instances| instances.remove(&sandbox).unwrap_or_default()),
        sandbox,
    };
    let views = known.into_iter().filter(|sandbox| !damaged.contains(sandbox)).map(view).collect();
    Ok((views, outage))
}

/// The view of one sandbox, as [`read`] has it; `None` where there is none.
///
/// # Errors
/// When the records cannot be read.
pub async fn read_one(
    kv: &dyn Kv,
    driver: &dyn Driver,
    demand: &Demand,
    sandbox: &SandboxId,
) -> Result<(Option<View>, Option<Error>)> {
    let wanted = demand.read_one(kv, sandbox).await?.transpose();
    let allocation = records::get(kv, ALLOCATIONS, sandbox).await?.transpose();
    let lease = match demand {
        Demand::Recorded => records::get(kv, LEASES, sandbox).await?.and_then(Result::ok),
        Demand::Always(_) => None,
    };
    let (wanted, allocation) = match (wanted, allocation) {
        (Ok(wanted), Ok(allocation)) => (wanted, allocation),
        (wanted, allocation) => {
            let damaged = [(SANDBOXES, wanted.err()), (ALLOCATIONS, allocation.err())];
            for (bucket, error) in damaged {
                error.inspect(|error| records::tell_of_damage(sandbox, bucket, error));
            }
            return Ok((None, None));
        }
    };
    let (instances, outage) = match driver.find(sandbox).await {
        Ok(found) => (Some(found), None),
        Err(error) => (None, Some(error)),
    };
    let is_there = wanted.is_some() || allocation.is_some() || instances.iter().flatten().next().is_some();
    let view = is_there.then(|| View {
        sandbox: sandbox.clone(),
        wanted,
        allocation: allocation.unwrap_or_default(),
        lease,
        instances,
    });
    Ok((view, outage))
}

/// How many of them stand how.
pub fn counts<'a>(views: impl Iterator<Item = &'a View>) -> SandboxCounts {
    let mut counts = SandboxCounts::default();
    for view in views {
        let Some(wanted) = &view.wanted else { continue };
        let count = match (wanted.value.want, view.own_lease()) {
            (Want::Running, None) => &mut counts.waiting,
            (Want::Running, Some(_)) if wanted.value.tenant.is_none() => &mut counts.warm,
            (Want::Running, Some(_)) => &mut counts.running,
            (Want::Paused, _) => &mut counts.paused,
            (Want::Deleted, _) => continue,
        };
        *count += 1;
        counts.runs = counts.runs.saturating_add(view.own_lease().map_or(0, |lease| lease.value.runs));
    }
    counts
}

fn by_sandbox(found: Vec<Found>) -> BTreeMap<SandboxId, Vec<Found>> {
    let mut instances: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for found in found {
        instances.entry(found.instance.sandbox.clone()).or_default().push(found);
    }
    instances
}
