//! How much is looked at where little has changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ports::doubles::KvDouble;
use ports::{Kv, Result, Scan};
use tokio_util::sync::CancellationToken;
use types::SandboxId;
use types::placement::{FailureReason, Want};

use super::running::cluster;
use super::{SECOND, instance, world};
use crate::scope::Scope;
use crate::{Limits, StartError};

/// Counts how often a whole bucket is read.
struct Counted {
    inner: Arc<dyn Kv>,
    scans: AtomicUsize,
}

impl KvDouble for Counted {
    fn inner(&self) -> Result<&dyn Kv> {
        Ok(self.inner.as_ref())
    }

    fn scan<'a>(&'a self, bucket: &'a str) -> Scan<'a> {
        self.scans.fetch_add(1, Ordering::Relaxed);
        self.inner.scan(bucket)
    }
}

fn only(sandbox: &str) -> Scope {
    Scope::of(SandboxId::parse(sandbox))
}

#[tokio::test]
async fn what_happens_to_one_sandbox_is_no_reason_to_look_at_all_others() {
    const CHANGES: usize = 30;
    let mut world = world().await;
    let counted = Arc::new(Counted { inner: world.ports.kv.clone(), scans: AtomicUsize::new(0) });
    world.ports.kv = counted.clone();
    for number in 0..100 {
        world.want(&format!("s{number}"), Want::Running, 1).await;
    }
    let shutdown = CancellationToken::new();
    let running =
        tokio::spawn(crate::run(cluster(), world.ports.clone(), world.workers.clone(), shutdown.clone()));
    world.until_running(100).await;
    let reads = || (counted.scans.load(Ordering::Relaxed), world.workers.lists.load(Ordering::Relaxed));
    let before = reads();
    for change in 0..CHANGES {
        let (want, left) = if change % 2 == 0 { (Want::Paused, 99) } else { (Want::Running, 100) };
        world.want("s7", want, 1).await;
        world.until_running(left).await;
    }
    let after = reads();
    // What the starts have left to be heard of, and what is due by itself.
    assert!(
        after.1 - before.1 <= 5 && after.0 - before.0 <= 15,
        "{before:?} {after:?} for {CHANGES} changes"
    );
    assert!(world.workers.finds.load(Ordering::Relaxed) + after.1 - before.1 >= CHANGES);
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_waits_for_room_is_started_once_somebody_else_has_gone() {
    let mut world = world().await;
    world.rules.limits = Limits { per_node: Some(1), ..Limits::default() };
    world.want("a", Want::Running, 1).await;
    world.want("b", Want::Running, 1).await;
    let mut supervisor = world.supervisor();
    supervisor.settle(world.start).await;
    assert_eq!(world.workers.instances(), [instance("a", 1)]);
    world.want("a", Want::Paused, 2).await;
    supervisor.settle_from(only("a"), world.start + SECOND).await;
    assert_eq!(world.workers.instances(), [instance("b", 1)]);
}

#[tokio::test]
async fn who_waits_for_room_is_tried_once_the_start_that_had_it_has_failed() {
    let mut world = world().await;
    world.rules.limits = Limits { per_node: Some(1), ..Limits::default() };
    for sandbox in ["a", "b", "c"] {
        world.want(sandbox, Want::Running, 1).await;
    }
    let mut supervisor = world.supervisor();
    supervisor.settle(world.start).await;
    assert_eq!(world.workers.instances(), [instance("a", 1)]);
    world.workers.refuse(Some(StartError::Failed("no".to_owned())));
    world.want("a", Want::Paused, 2).await;
    supervisor.settle_from(only("a"), world.start + SECOND).await;
    for sandbox in ["b", "c"] {
        let failure = world.allocation(sandbox).await.failure.unwrap();
        assert_eq!(failure.reason, FailureReason::StartFailed, "{sandbox}");
    }
}

#[tokio::test]
async fn of_whom_the_engine_says_nothing_keeps_its_room() {
    let mut world = world().await;
    world.rules.limits = Limits { per_node: Some(1), ..Limits::default() };
    world.want("a", Want::Running, 1).await;
    let mut supervisor = world.supervisor();
    supervisor.settle(world.start).await;
    world.workers.is_away.store(true, Ordering::Relaxed);
    supervisor.look(only("a"), world.start).await.unwrap();
    world.workers.is_away.store(false, Ordering::Relaxed);
    world.want("b", Want::Running, 1).await;
    supervisor.settle_from(only("b"), world.start).await;
    assert_eq!(world.workers.instances(), [instance("a", 1)]);
}

#[tokio::test]
async fn who_waits_for_others_to_be_started_comes_next() {
    let world = world().await;
    let names: Vec<String> = (10..60).map(|number| format!("s{number}")).collect();
    for name in &names {
        world.want(name, Want::Running, 1).await;
    }
    let mut supervisor = world.supervisor();
    supervisor.settle(world.start).await;
    let expected: Vec<_> = names.iter().map(|name| instance(name, 1)).collect();
    assert_eq!(world.workers.instances(), expected);
}

#[tokio::test]
async fn of_what_is_gone_nothing_is_remembered() {
    let world = world().await;
    world.want("a", Want::Running, 1).await;
    let mut supervisor = world.supervisor();
    supervisor.settle(world.start).await;
    world.want("a", Want::Deleted, 1).await;
    supervisor.settle_from(only("a"), world.start).await;
    assert!(world.workers.instances().is_empty() && world.wanted("a").await.is_none());
    world.want("a", Want::Running, 1).await;
    supervisor.settle_from(only("a"), world.start).await;
    assert_eq!(world.workers.instances(), [instance("a", 1)]);
}
