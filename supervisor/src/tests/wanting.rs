//! Pausing, waking, deleting, and what nobody wants.

use std::sync::atomic::Ordering;

use ports::Error;
use types::buckets::{ALLOCATIONS, DEPUTIES_KEY, LEASES, SANDBOXES};
use types::placement::{Allocation, Lease, Want, Wanted};

use super::{SECOND, World, instance, world};
use crate::InstanceState;
use crate::decide::{STOPPING, Step};
use crate::memory::Memory;
use crate::reconcile::Reconciler;
use crate::scope::Scope;
use crate::view::{self, Demand};

/// With a worker that holds its lease.
async fn running() -> (World, Reconciler) {
    let world = world().await;
    world.want("a", Want::Running, 1).await;
    let mut supervisor = world.supervisor();
    supervisor.settle(world.start).await;
    world.lease("a", 1, 0).await;
    supervisor.settle(world.start).await;
    (world, supervisor)
}

#[tokio::test]
async fn a_paused_sandbox_loses_its_worker_and_keeps_its_files() {
    let (world, mut supervisor) = running().await;
    world.want("a", Want::Paused, 2).await;
    supervisor.settle(world.start + SECOND).await;
    assert_eq!(*world.workers.stopped.lock().unwrap(), [(instance("a", 1), STOPPING)]);
    assert!(world.workers.erased.lock().unwrap().is_empty());
    assert_eq!(world.allocation("a").await.instance, "");
    assert_eq!(world.get::<Lease>(LEASES, "a").await, None, "a gateway must not wait for it");
}

#[tokio::test]
async fn a_woken_sandbox_comes_back_as_the_next_incarnation() {
    let (world, mut supervisor) = running().await;
    world.want("a", Want::Paused, 2).await;
    supervisor.settle(world.start + SECOND).await;
    world.want("a", Want::Running, 3).await;
    supervisor.settle(world.start + SECOND).await;
    assert_eq!(world.workers.instances(), [instance("a", 2)]);
    assert_eq!(world.allocation("a").await.failure, None, "a pause is no failure");
}

#[tokio::test]
async fn a_deleted_sandbox_leaves_nothing() {
    let (world, mut supervisor) = running().await;
    world.want("a", Want::Deleted, 2).await;
    supervisor.settle(world.start + SECOND).await;
    assert!(world.workers.instances().is_empty());
    assert_eq!(*world.workers.erased.lock().unwrap(), [instance("a", 1).sandbox]);
    for bucket in [SANDBOXES, ALLOCATIONS, LEASES] {
        let mut left = world.ports.kv.list(bucket).await.unwrap();
        left.retain(|(key, _)| key != DEPUTIES_KEY);
        assert_eq!(left, [], "{bucket}");
    }
}

#[tokio::test]
async fn a_deletion_is_finished_when_the_files_are_free() {
    let (world, mut supervisor) = running().await;
    world.workers.files_are_used.store(true, Ordering::Relaxed);
    world.want("a", Want::Deleted, 2).await;
    supervisor.look(Scope::All, world.start).await.unwrap();
    supervisor.finish().await;
    supervisor.settle(world.start).await;
    assert_eq!(world.wanted("a").await, Some(Want::Deleted), "the record is what it is tried again by");
    world.workers.files_are_used.store(false, Ordering::Relaxed);
    supervisor.settle(world.start + 2 * SECOND).await;
    assert_eq!(world.wanted("a").await, None);
}

#[tokio::test]
async fn a_sandbox_nobody_uses_is_paused() {
    let (world, mut supervisor) = running().await;
    world.lease("a", 1, 599).await;
    supervisor.settle(world.start + 700 * SECOND).await;
    assert_eq!(world.wanted("a").await, Some(Want::Running));
    world.lease("a", 1, 600).await;
    supervisor.settle(world.start + 701 * SECOND).await;
    assert_eq!(world.wanted("a").await, Some(Want::Paused));
    assert!(world.workers.instances().is_empty());
}

#[tokio::test]
async fn a_wake_the_worker_has_not_heard_of_keeps_it_running() {
    let (world, mut supervisor) = running().await;
    let now = world.start + 700 * SECOND;
    // By a gateway whose clock is an hour behind.
    let touched_at = now.unix_ms - 3_600_000;
    let woken = Wanted { touched_at, ..super::wanted(Want::Running, 2) };
    world.put(SANDBOXES, "a", &woken).await;
    world.lease("a", 1, 700).await;
    supervisor.settle(now).await;
    assert_eq!(world.wanted("a").await, Some(Want::Running));
}

#[tokio::test]
async fn a_wake_wins_against_a_pause_decided_before_it() {
    let (world, _) = running().await;
    let kv = world.ports.kv.as_ref();
    let (views, _) = view::read(kv, world.workers.as_ref(), &Demand::Recorded).await.unwrap();
    world.want("a", Want::Running, 2).await;
    let mut memory = Memory::default();
    let paused = world.actor().take(Step::Pause, &views[0], &mut memory, world.start).await;
    assert!(matches!(paused, Err(Error::Conflict { .. })), "{paused:?}");
    assert_eq!(world.wanted("a").await, Some(Want::Running));
}

#[tokio::test]
async fn what_waits_in_the_pool_is_not_paused() {
    let (mut world, _) = running().await;
    world.rules.warm_workers = 1;
    let unclaimed = Wanted { tenant: None, ..super::wanted(Want::Running, 0) };
    world.put(SANDBOXES, "a", &unclaimed).await;
    world.lease("a", 1, 10_000).await;
    world.supervisor().settle(world.start + 10_000 * SECOND).await;
    assert_eq!(world.wanted("a").await, Some(Want::Running));
}

#[tokio::test]
async fn a_worker_without_a_record_is_removed_after_a_minute_and_not_before() {
    let world = world().await;
    world.workers.set(instance("stray", 3), InstanceState::Running);
    let mut supervisor = world.supervisor();
    supervisor.settle(world.start).await;
    supervisor.settle(world.start + 59 * SECOND).await;
    assert_eq!(world.workers.instances(), [instance("stray", 3)]);
    supervisor.settle(world.start + 60 * SECOND).await;
    assert!(world.workers.instances().is_empty());
    assert_eq!(world.get::<Allocation>(ALLOCATIONS, "stray").await, None);
}
