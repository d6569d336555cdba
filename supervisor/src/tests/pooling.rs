//! The warm pool, and the limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ports::doubles::KvDouble;
use ports::{Expect, Kv, Result, Scan};
use types::TenantId;
use types::buckets::{ALLOCATIONS, SANDBOXES};
use types::placement::{Allocation, FailureReason, Want, Wanted};

use super::{SECOND, World, instance, wanted, world};
use crate::Limits;
use crate::scope::Scope;

impl World {
    async fn unclaimed(&self) -> Vec<String> {
        let records = self.ports.kv.list(SANDBOXES).await.unwrap();
        let waits = |value: &[u8]| {
            let wanted: Wanted = serde_json::from_slice(value).unwrap();
            wanted.tenant.is_none() && wanted.want == Want::Running
        };
        records.into_iter().filter(|(_, entry)| waits(&entry.value)).map(|(key, _)| key).collect()
    }

    async fn claim(&self, sandbox: &str, tenant: &str) {
        let tenant = TenantId::parse(tenant);
        self.put(SANDBOXES, sandbox, &Wanted { tenant, ..wanted(Want::Running, 1) }).await;
    }
}

#[tokio::test]
async fn the_pool_is_filled_and_filled_again_after_a_claim() {
    let mut world = world().await;
    world.rules.warm_workers = 2;
    let mut supervisor = world.supervisor();
    supervisor.settle(world.start).await;
    let pool = world.unclaimed().await;
    assert_eq!((pool.len(), world.workers.instances().len()), (2, 2));
    world.claim(&pool[0], "acme").await;
    supervisor.settle(world.start + SECOND).await;
    assert_eq!((world.unclaimed().await.len(), world.workers.instances().len()), (2, 3));
    assert!(world.workers.instances().contains(&instance(&pool[0], 1)), "the claimed one goes on running");
}

#[tokio::test]
async fn a_smaller_pool_gives_up_what_is_too_much() {
    let mut world = world().await;
    world.rules.warm_workers = 3;
    world.supervisor().settle(world.start).await;
    world.rules.warm_workers = 1;
    world.supervisor().settle(world.start).await;
    assert_eq!((world.unclaimed().await.len(), world.workers.instances().len()), (1, 1));
}

#[tokio::test]
async fn the_pool_gives_way_to_tenants() {
    let mut world = world().await;
    (world.rules.warm_workers, world.rules.limits.per_node) = (2, Some(2));
    let mut supervisor = world.supervisor();
    supervisor.settle(world.start).await;
    for (sandbox, left) in [("a", 1), ("b", 0)] {
        world.claim(sandbox, "acme").await;
        supervisor.settle(world.start).await;
        assert_eq!(world.unclaimed().await.len(), left);
        assert_eq!(world.workers.instances().len(), 2);
        assert!(world.workers.instances().contains(&instance(sandbox, 1)));
    }
}

#[tokio::test]
async fn a_tenant_gets_no_more_than_its_limit_and_others_get_theirs() {
    let mut world = world().await;
    world.rules.limits = Limits { per_tenant: Some(2), per_node: None };
    for sandbox in ["a", "b", "c"] {
        world.claim(sandbox, "acme").await;
    }
    world.claim("z", "zeta").await;
    let mut supervisor = world.supervisor();
    supervisor.settle(world.start).await;
    assert_eq!(world.workers.instances(), [instance("a", 1), instance("b", 1), instance("z", 1)]);
    let failure = world.allocation("c").await.failure.unwrap();
    assert_eq!((failure.reason, failure.is_final), (FailureReason::NoRoom, false));

    world.want("a", Want::Paused, 1).await;
    supervisor.settle(world.start + SECOND).await;
    assert_eq!(world.workers.instances(), [instance("b", 1), instance("c", 1), instance("z", 1)]);
}

#[tokio::test]
async fn a_full_node_refuses_each_wake_anew() {
    let mut world = world().await;
    world.rules.limits = Limits { per_tenant: None, per_node: Some(1) };
    world.claim("a", "acme").await;
    world.claim("b", "zeta").await;
    let mut supervisor = world.supervisor();
    supervisor.settle(world.start).await;
    let first = world.allocation("b").await.failure.unwrap();
    let later = world.start + 5 * SECOND;
    world.want("b", Want::Running, 2).await;
    supervisor.settle(later).await;
    let second = world.allocation("b").await.failure.unwrap();
    assert_eq!((first.reason, second.reason), (FailureReason::NoRoom, FailureReason::NoRoom));
    assert!(second.at > first.at, "the second wake was not answered");
}

#[tokio::test]
async fn what_is_taken_from_the_pool_counts_as_what_is_started() {
    for limits in
        [Limits { per_tenant: Some(1), per_node: None }, Limits { per_tenant: None, per_node: Some(1) }]
    {
        let mut world = world().await;
        (world.rules.warm_workers, world.rules.limits) = (2, Limits::default());
        world.supervisor().settle(world.start).await;
        let mut pool = world.unclaimed().await;
        pool.sort();
        (world.rules.warm_workers, world.rules.limits) = (0, limits);
        for sandbox in &pool {
            let tenant = TenantId::parse("acme");
            let claimed = Wanted { tenant, is_claimed: true, ..wanted(Want::Running, 1) };
            world.put(SANDBOXES, sandbox, &claimed).await;
        }
        let mut supervisor = world.supervisor();
        supervisor.settle(world.start).await;
        for sandbox in &pool {
            let claimed: Wanted = world.get(SANDBOXES, sandbox).await.unwrap();
            assert_eq!((claimed.is_claimed, claimed.want), (false, Want::Running), "it is answered");
        }
        let [granted, refused] = pool.as_slice() else { panic!("two of them") };
        assert_eq!(world.workers.instances(), [instance(granted, 1)]);
        let allocation = world.allocation(refused).await;
        let failure = allocation.failure.unwrap();
        assert_eq!((failure.reason, failure.answers), (FailureReason::NoRoom, 1));
        assert_eq!(allocation.instance, "");

        world.want(granted, Want::Paused, 1).await;
        supervisor.settle(world.start + SECOND).await;
        assert_eq!(world.workers.instances(), [instance(refused, 2)], "there is room now");
    }
}

#[tokio::test]
async fn room_that_a_claimed_sandbox_got_for_its_start_is_kept_for_it() {
    let mut world = world().await;
    world.rules.warm_workers = 1;
    world.supervisor().settle(world.start).await;
    let [claimed] = world.unclaimed().await.try_into().unwrap();
    world.workers.lose(&instance(&claimed, 1));
    let record = Wanted { tenant: TenantId::parse("acme"), is_claimed: true, ..wanted(Want::Running, 1) };
    world.put(SANDBOXES, &claimed, &record).await;
    world.rules.warm_workers = 0;
    world.rules.limits = Limits { per_tenant: Some(1), per_node: None };
    let mut supervisor = world.supervisor();
    supervisor.look(Scope::All, world.start).await.unwrap();
    supervisor.finish().await;
    assert_eq!(world.workers.instances(), [instance(&claimed, 2)]);
    // It comes first in each look.
    world.claim("0", "acme").await;
    supervisor.settle(world.start).await;
    assert_eq!(world.workers.instances(), [instance(&claimed, 2)]);
    assert_eq!(world.allocation("0").await.failure.unwrap().reason, FailureReason::NoRoom);
}

#[tokio::test]
async fn the_pool_is_not_filled_with_room_that_a_claimed_sandbox_is_about_to_get() {
    let mut world = world().await;
    (world.rules.warm_workers, world.rules.limits.per_node) = (2, Some(2));
    let mut supervisor = world.supervisor();
    supervisor.settle(world.start).await;
    let pool = world.unclaimed().await;
    let record = Wanted { tenant: TenantId::parse("acme"), is_claimed: true, ..wanted(Want::Running, 1) };
    world.put(SANDBOXES, &pool[0], &record).await;
    supervisor.look(Scope::All, world.start).await.unwrap();
    assert_eq!(world.ports.kv.list(SANDBOXES).await.unwrap().len(), 2);
    supervisor.finish().await;
}

/// Others write the records of a bucket between each look and the first steps that follow it.
struct Busy {
    inner: Arc<dyn Kv>,
    bucket: &'static str,
    /// How many steps after each look.
    each_time: AtomicUsize,
    left: AtomicUsize,
    written: AtomicUsize,
}

impl Busy {
    fn beside(world: &mut World, bucket: &'static str, each_time: usize) -> Arc<Self> {
        let (inner, each_time) = (world.ports.kv.clone(), AtomicUsize::new(each_time));
        let (left, written) = Default::default();
        let busy = Arc::new(Self { inner, bucket, each_time, left, written });
        world.ports.kv = busy.clone();
        busy
    }
}

#[async_trait]
impl KvDouble for Busy {
    fn inner(&self) -> Result<&dyn Kv> {
        Ok(self.inner.as_ref())
    }

    fn scan<'a>(&'a self, bucket: &'a str) -> Scan<'a> {
        self.left.store(self.each_time.load(Ordering::Relaxed), Ordering::Relaxed);
        self.inner.scan(bucket)
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> Result<u64> {
        let goes_on = |left: usize| left.checked_sub(1);
        if bucket == self.bucket
            && matches!(expect, Expect::Revision(_))
            && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, goes_on).is_ok()
        {
            self.written.fetch_add(1, Ordering::Relaxed);
            let there = self.inner.get(bucket, key).await?.expect("it is expected");
            self.inner.put(bucket, key, there.value, Expect::Anything).await?;
        }
        self.inner.put(bucket, key, value, expect).await
    }
}

#[tokio::test]
async fn who_writes_beside_a_claim_after_every_look_keeps_it_waiting_no_longer() {
    let mut world = world().await;
    world.rules.warm_workers = 1;
    world.supervisor().settle(world.start).await;
    let [claimed] = world.unclaimed().await.try_into().unwrap();
    let record = Wanted { tenant: TenantId::parse("acme"), is_claimed: true, ..wanted(Want::Running, 1) };
    world.put(SANDBOXES, &claimed, &record).await;
    world.rules.warm_workers = 0;
    let busy = Busy::beside(&mut world, SANDBOXES, 1);
    let mut supervisor = world.supervisor();
    for _ in 0..2 {
        supervisor.look(Scope::All, world.start).await.unwrap();
        supervisor.finish().await;
    }
    let granted: Wanted = world.get(SANDBOXES, &claimed).await.unwrap();
    assert!(!granted.is_claimed, "at the same moment still");
    assert_eq!(busy.written.load(Ordering::Relaxed), 1, "there was nothing more to take");
}

#[tokio::test]
async fn a_step_that_loses_against_a_writer_every_time_is_not_tried_in_every_look() {
    let mut world = world().await;
    world.put(ALLOCATIONS, "a", &Allocation::default()).await;
    world.want("a", Want::Running, 1).await;
    let busy = Busy::beside(&mut world, ALLOCATIONS, usize::MAX);
    let mut supervisor = world.supervisor();
    for (after, lost) in [(Duration::ZERO, 2), (SECOND, 3)] {
        for _ in 0..10 {
            supervisor.look(Scope::All, world.start + after).await.unwrap();
            supervisor.finish().await;
        }
        assert_eq!(busy.written.load(Ordering::Relaxed), lost);
    }
    busy.each_time.store(0, Ordering::Relaxed);
    supervisor.settle(world.start + 2 * SECOND).await;
    assert_eq!(world.workers.instances(), [instance("a", 1)]);
}
