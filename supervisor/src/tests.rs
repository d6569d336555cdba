//! Reconciling against a driver whose workers can be made to fail and to end.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ports::{Driver, Error, Ports, Result, Unit};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use types::{Epoch, SandboxId};

use crate::RESYNC;
use crate::reconcile::Reconciler;

#[derive(Default)]
struct Workers {
    running: Mutex<Vec<Unit>>,
    cannot_start: Mutex<bool>,
    changed: Notify,
}

impl Workers {
    fn running(&self) -> Vec<Unit> {
        self.running.lock().unwrap().clone()
    }

    fn end_all(&self) {
        self.running.lock().unwrap().clear();
        self.changed.notify_one();
    }
}

#[async_trait]
impl Driver for Workers {
    async fn list(&self) -> Result<Vec<Unit>> {
        Ok(self.running())
    }

    async fn start(&self, unit: &Unit) -> Result<()> {
        if *self.cannot_start.lock().unwrap() {
            return Err(Error::Unavailable("no room".to_owned()));
        }
        self.running.lock().unwrap().push(unit.clone());
        self.changed.notify_one();
        Ok(())
    }

    async fn stop(&self, unit: &Unit) -> Result<()> {
        self.running.lock().unwrap().retain(|other| other != unit);
        Ok(())
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }
}

struct World {
    workers: Arc<Workers>,
    ports: Ports,
    _store: embedded::Guard,
    _folder: TempDir,
}

async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let options = embedded::Options {
        root: folder.path().join("store"),
        conversations: folder.path().join("conversations"),
        bash_events: folder.path().join("bash_events"),
        fsync: embedded::Fsync::Interval,
    };
    let (ports, store) = embedded::open(options).await.unwrap();
    World { workers: Arc::default(), ports, _store: store, _folder: folder }
}

impl World {
    fn reconciler(&self) -> Reconciler {
        Reconciler::new(vec![SandboxId::shared()], self.ports.kv.clone(), self.workers.clone())
    }
}

fn unit(sandbox: &str, epoch: u64) -> Unit {
    Unit { sandbox: SandboxId::parse(sandbox).unwrap(), epoch: Epoch(epoch) }
}

#[tokio::test]
async fn what_is_missing_is_started_once() {
    let world = world().await;
    let mut reconciler = world.reconciler();
    for _ in 0..2 {
        assert_eq!(reconciler.step(Instant::now()).await, Ok(RESYNC));
        assert_eq!(world.workers.running(), [unit("default", 1)]);
    }
}

#[tokio::test]
async fn every_incarnation_has_an_epoch_of_its_own() {
    let world = world().await;
    for epoch in 1..4 {
        world.workers.end_all();
        world.reconciler().step(Instant::now()).await.unwrap();
        assert_eq!(world.workers.running(), [unit("default", epoch)]);
    }
}

#[tokio::test]
async fn a_worker_that_ended_comes_back_after_a_wait() {
    let world = world().await;
    let mut reconciler = world.reconciler();
    let start = Instant::now();
    reconciler.step(start).await.unwrap();
    world.workers.end_all();
    let wait = reconciler.step(start).await.unwrap();
    assert!(wait > Duration::ZERO && wait < RESYNC, "{wait:?}");
    assert!(world.workers.running().is_empty());
    reconciler.step(start + wait).await.unwrap();
    assert_eq!(world.workers.running(), [unit("default", 2)]);
}

#[tokio::test]
async fn a_failed_start_is_tried_again_with_growing_waits() {
    let world = world().await;
    let mut reconciler = world.reconciler();
    *world.workers.cannot_start.lock().unwrap() = true;
    let mut now = Instant::now();
    let first = reconciler.step(now).await.unwrap();
    now += first;
    let second = reconciler.step(now).await.unwrap();
    assert!(second > first, "{first:?}, then {second:?}");
    *world.workers.cannot_start.lock().unwrap() = false;
    reconciler.step(now + second).await.unwrap();
    assert_eq!(world.workers.running().len(), 1);
}

#[tokio::test]
async fn strangers_and_old_incarnations_are_stopped() {
    let world = world().await;
    let found = [unit("default", 3), unit("default", 4), unit("stranger", 9)];
    world.workers.running.lock().unwrap().extend(found);
    world.reconciler().step(Instant::now()).await.unwrap();
    assert_eq!(world.workers.running(), [unit("default", 4)]);
}

#[tokio::test]
async fn shutdown_stops_every_worker() {
    let world = world().await;
    let shutdown = CancellationToken::new();
    let config = crate::Config { always: vec![SandboxId::shared()] };
    let running =
        tokio::spawn(crate::run(config, world.ports.clone(), world.workers.clone(), shutdown.clone()));
    world.workers.changed.notified().await;
    assert_eq!(world.workers.running().len(), 1);
    shutdown.cancel();
    running.await.unwrap().unwrap();
    assert!(world.workers.running().is_empty());
}
