//! What hostile workers and tenants make of leases, epochs and files.

use std::sync::atomic::Ordering;

use ports::Expect;
use types::Epoch;
use types::buckets::LEASES;
use types::placement::{Allocation, Want};

use super::{SECOND, instance, world};
use crate::pulse::STARTING;
use crate::scope::Scope;

#[tokio::test]
async fn a_lease_that_cannot_be_read_does_not_take_its_sandbox_out_of_management() {
    let world = world().await;
    world.want("a", Want::Running, 1).await;
    let mut supervisor = world.supervisor();
    supervisor.settle(world.start).await;
    world.ports.kv.put(LEASES, "a", "x".into(), Expect::Anything).await.unwrap();
    supervisor.settle(world.start + (STARTING - SECOND)).await;
    supervisor.settle(world.start + STARTING).await;
    assert!(world.workers.instances().is_empty(), "it had its time to take a lease");
    assert_eq!(world.ports.kv.get(LEASES, "a").await, Ok(None), "and nothing of it stays");

    supervisor.settle(world.start + STARTING + 2 * SECOND).await;
    assert_eq!(world.workers.instances(), [instance("a", 2)]);
    world.ports.kv.put(LEASES, "a", "x".into(), Expect::Anything).await.unwrap();
    world.want("a", Want::Deleted, 2).await;
    supervisor.settle(world.start + STARTING + 3 * SECOND).await;
    assert!(world.workers.instances().is_empty());
    assert_eq!(world.wanted("a").await, None);
}

#[tokio::test]
async fn after_the_last_epoch_there_is_none_and_the_others_go_on() {
    let world = world().await;
    let last = Allocation { epoch: Epoch(u64::MAX), ..Allocation::default() };
    world.put(types::buckets::ALLOCATIONS, "a", &last).await;
    world.want("a", Want::Running, 1).await;
    world.want("b", Want::Running, 1).await;
    world.supervisor().settle(world.start).await;
    assert_eq!(world.workers.instances(), [instance("b", 1)]);
    assert_eq!(world.allocation("a").await, last, "no epoch comes a second time");
}

#[tokio::test]
async fn files_that_take_long_to_be_removed_keep_nobody_from_starting() {
    let world = world().await;
    world.workers.files_are_many.store(true, Ordering::Relaxed);
    for number in 0..100 {
        world.want(&format!("a{number}"), Want::Deleted, 1).await;
    }
    world.want("b", Want::Running, 1).await;
    let mut supervisor = world.supervisor();
    supervisor.look(Scope::All, world.start).await.unwrap();
    world.until_running(1).await;
    assert_eq!(world.workers.instances(), [instance("b", 1)]);
}
