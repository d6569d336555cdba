//! The store goes away and comes back without the leases.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ports::doubles::KvDouble;
use ports::{Error, Expect, Kv, Result};
use types::buckets::LEASES;
use types::placement::Want;

use super::{SECOND, instance, world};
use crate::pulse::STARTING;

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
    let looked = supervisor.look(world.start + 5 * SECOND).await;
    assert!(matches!(looked, Err(Error::Unavailable(_))), "{looked:?}");
    store.is_away.store(false, Ordering::Relaxed);
    let back = world.start + 60 * SECOND;
    supervisor.settle(back).await;
    supervisor.settle(back + (STARTING - SECOND)).await;
    assert_eq!(world.workers.instances(), [instance("a", 1)], "nobody could have renewed the lease");
    supervisor.settle(back + STARTING).await;
    assert!(world.workers.instances().is_empty(), "it had its time");
}
