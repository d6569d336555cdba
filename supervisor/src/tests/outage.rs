//! The store goes away and comes back without the leases.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ports::doubles::KvDouble;
use ports::{Error, Expect, Kv, Result};
use types::buckets::LEASES;
use types::placement::Want;

use super::{SECOND, exited, instance, world};
use crate::pulse::STARTING;
use crate::scope::Scope;

struct Store {
    inner: Arc<dyn Kv>,
    is_away: AtomicBool,
}

impl KvDouble for Store {
    fn inner(&self) -> Result<&dyn Kv> {
        match self.is_away.load(Ordering::Relaxed) {
            true => Err(Error::Unavailable("no connection".to_owned())),
            false => Ok(self.inner.as_ref()),
        }
    }
}

#[tokio::test]
async fn after_an_outage_every_worker_gets_its_time_anew() {
    let mut world = world().await;
    let store = Arc::new(Store { inner: world.ports.kv.clone(), is_away: AtomicBool::new(false) });
    world.ports.kv = store.clone();
    world.want("a", Want::Running, 1).await;
    let mut supervisor = world.supervisor();
    supervisor.settle(world.start).await;
    world.lease("a", 1, 0).await;
    supervisor.settle(world.start).await;

    world.ports.kv.delete(LEASES, "a", Expect::Anything).await.unwrap();
    store.is_away.store(true, Ordering::Relaxed);
    let looked = supervisor.look(Scope::All, world.start + 5 * SECOND).await;
    assert!(matches!(looked, Err(Error::Unavailable(_))), "{looked:?}");
    store.is_away.store(false, Ordering::Relaxed);
    let back = world.start + 60 * SECOND;
    supervisor.settle(back).await;
    supervisor.settle(back + (STARTING - SECOND)).await;
    assert_eq!(world.workers.instances(), [instance("a", 1)], "nobody could have renewed the lease");
    supervisor.settle(back + STARTING).await;
    assert!(world.workers.instances().is_empty(), "it had its time");
}

#[tokio::test]
async fn while_no_gateway_serves_workers_nobody_is_lost_or_late_and_no_end_is_counted() {
    let world = world().await;
    for sandbox in ["ends", "late", "lives"] {
        world.want(sandbox, Want::Running, 1).await;
    }
    let mut supervisor = world.supervisor();
    supervisor.settle(world.start).await;
    world.lease("ends", 1, 0).await;
    world.lease("lives", 1, 0).await;
    supervisor.settle(world.start + SECOND).await;
    let mut epoch = 1;
    for seconds in 2..=610 {
        if seconds % 60 == 0 {
            // It has waited for a gateway long enough.
            world.workers.set(instance("ends", epoch), exited(1));
        }
        supervisor.look(Scope::All, world.start + seconds * SECOND).await.unwrap();
        supervisor.finish().await;
        epoch = world.allocation("ends").await.epoch.0;
    }
    assert_eq!(
        world.workers.instances(),
        [("ends", epoch), ("late", 1), ("lives", 1)].map(|(a, b)| instance(a, b))
    );
    assert_eq!((epoch, world.allocation("ends").await.failures), (11, 0));

    let back = world.start + 611 * SECOND;
    supervisor.settle(back).await;
    supervisor.settle(back + 15 * SECOND).await;
    assert_eq!(world.workers.instances().len(), 3, "they have the time to renew their leases");
    supervisor.settle(back + 19 * SECOND).await;
    assert!(world.workers.instances().is_empty(), "they had it");
}

#[tokio::test]
async fn a_gateway_that_may_have_ended_long_before_this_look_costs_nobody_his_lease() {
    let world = world().await;
    world.want("a", Want::Running, 1).await;
    let mut supervisor = world.supervisor();
    supervisor.settle(world.start).await;
    world.lease("a", 1, 0).await;
    supervisor.settle(world.start).await;
    // The last note of a gateway that ended right after this.
    supervisor.settle(world.start + 17 * SECOND).await;
    for seconds in 18..60 {
        supervisor.look(Scope::All, world.start + seconds * SECOND).await.unwrap();
        supervisor.finish().await;
    }
    assert_eq!(world.workers.instances(), [instance("a", 1)]);
}
