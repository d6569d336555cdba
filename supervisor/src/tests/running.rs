//! What is wanted runs, once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use ports::rpc::{Address, Call, Limits as Room, Server, VERSION};
use ports::{Delivery, Error, Expect, Parcel};
use telemetry::metrics::Metrics;
use tokio::sync::Barrier;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use types::buckets::{ALLOCATIONS, SANDBOXES};
use types::placement::{Allocation, Renewal, Want};
use types::{Epoch, SandboxId};

use super::{SECOND, World, instance, world};
use crate::InstanceState;
use crate::decide::Step;
use crate::memory::Memory;
use crate::view::{self, Demand};
use crate::{Cluster, Config, Limits, NoCredentials, RESYNC};

#[tokio::test]
async fn a_wanted_sandbox_gets_one_worker() {
    let world = world().await;
    world.want("a", Want::Running, 1).await;
    let mut supervisor = world.supervisor();
    supervisor.settle(world.start).await;
    supervisor.settle(world.start + SECOND).await;
    assert_eq!(world.workers.started(), [instance("a", 1)]);
    let expected =
        Allocation { epoch: Epoch(1), instance: "mh-test-a-1".to_owned(), failures: 0, failure: None };
    assert_eq!(world.allocation("a").await, expected);
}

#[tokio::test]
async fn a_supervisor_that_starts_anew_takes_over_what_runs() {
    let world = world().await;
    world.want("a", Want::Running, 1).await;
    world.supervisor().settle(world.start).await;
    world.lease("a", 1, 0).await;
    let mut successor = world.supervisor();
    successor.settle(world.start).await;
    successor.settle(world.start + 10 * SECOND).await;
    assert_eq!(world.workers.instances(), [instance("a", 1)]);
    assert_eq!((world.workers.started().len(), world.workers.stopped()), (1, vec![]));
}

#[tokio::test]
async fn a_worker_whose_allocation_was_lost_is_adopted_with_its_epoch() {
    let world = world().await;
    world.want("a", Want::Running, 1).await;
    world.workers.set(instance("a", 7), InstanceState::Running);
    world.lease("a", 7, 0).await;
    world.supervisor().settle(world.start).await;
    assert_eq!(world.workers.instances(), [instance("a", 7)]);
    assert_eq!(world.allocation("a").await.epoch, Epoch(7));
}

#[tokio::test]
async fn a_new_epoch_is_above_that_of_every_lease() {
    let world = world().await;
    world.want("a", Want::Running, 1).await;
    world.lease("a", 41, 0).await;
    world.supervisor().settle(world.start).await;
    assert_eq!(world.workers.instances(), [instance("a", 42)]);
}

#[tokio::test]
async fn older_incarnations_are_stopped_and_the_newest_stays() {
    let world = world().await;
    world.want("a", Want::Running, 1).await;
    for epoch in [3, 5, 4] {
        world.workers.set(instance("a", epoch), InstanceState::Running);
    }
    world.supervisor().settle(world.start).await;
    assert_eq!(world.workers.instances(), [instance("a", 5)]);
}

#[tokio::test]
async fn of_two_supervisors_that_saw_the_same_one_starts_the_worker() {
    let world = world().await;
    world.want("a", Want::Running, 1).await;
    let (kv, driver) = (world.ports.kv.as_ref(), world.workers.as_ref());
    let mut taken = Vec::new();
    let (seen_by_one, _) = view::read(kv, driver, &Demand::Recorded).await.unwrap();
    let (seen_by_other, _) = view::read(kv, driver, &Demand::Recorded).await.unwrap();
    for views in [seen_by_one, seen_by_other] {
        let step = Step::Start(views[0].next_epoch().unwrap());
        taken.push(world.actor().take(step, &views[0], &mut Memory::default(), world.start).await);
    }
    assert!(matches!(taken[..], [Ok(()), Err(Error::Conflict { .. })]), "{taken:?}");
    assert_eq!(world.workers.started(), [instance("a", 1)]);
}

#[tokio::test]
async fn two_supervisors_at_once_start_every_sandbox_once() {
    let world = world().await;
    for number in 0..20 {
        world.want(&format!("s{number}"), Want::Running, 1).await;
    }
    let (mut one, mut other) = (world.supervisor(), world.supervisor());
    tokio::join!(one.settle(world.start), other.settle(world.start));
    let mut started = world.workers.started();
    started.sort_by(|a, b| a.sandbox.cmp(&b.sandbox));
    started.dedup_by(|a, b| a.sandbox == b.sandbox);
    assert_eq!((started.len(), world.workers.started().len()), (20, 20));
}

#[tokio::test]
async fn a_damaged_record_stops_work_on_its_sandbox_alone() {
    let world = world().await;
    world.want("good", Want::Running, 1).await;
    world.want("bad", Want::Running, 1).await;
    let damaged = Bytes::from_static(b"{");
    world.ports.kv.put(ALLOCATIONS, "bad", damaged.clone(), Expect::Anything).await.unwrap();
    world.workers.set(instance("odd", 1), InstanceState::Running);
    world.ports.kv.put(SANDBOXES, "odd", damaged, Expect::Anything).await.unwrap();
    let mut supervisor = world.supervisor();
    supervisor.settle(world.start).await;
    supervisor.settle(world.start + 100 * SECOND).await;
    assert!(world.workers.instances().contains(&instance("odd", 1)), "nobody knows whether it is wanted");
    assert!(world.workers.started().iter().all(|instance| instance.sandbox.as_str() == "good"));
}

#[tokio::test]
async fn a_running_worker_gets_new_credentials_once_they_are_due() {
    let world = world().await;
    world.want("a", Want::Running, 1).await;
    let mut supervisor = world.supervisor();
    supervisor.settle(world.start).await;
    let mut at = async |later: u32| {
        world.lease("a", 1, 0).await;
        supervisor.settle(world.start + later * SECOND).await;
    };
    const HOUR: u32 = 3_600;
    at(1).await;
    // Nobody hears it.
    at(12 * HOUR).await;
    let (taken, _serving) = worker_that_takes_credentials(&world, Epoch(1)).await;
    for (when, times) in [
        (12 * HOUR + 1, 0),
        (13 * HOUR - 1, 0),
        (13 * HOUR, 1),
        (13 * HOUR + 1, 1),
        (25 * HOUR - 1, 1),
        (25 * HOUR, 2),
    ] {
        at(when).await;
        assert_eq!(*taken.lock(), vec!["jwt of a 1 with seed"; times], "after {when} s");
    }
}

/// Who took a worker over does not know how old its credentials are.
#[tokio::test]
async fn another_supervisor_gives_new_credentials_within_the_hour_and_not_to_all_at_once() {
    let world = world().await;
    let names: Vec<String> = (0..20).map(|number| format!("a{number}")).collect();
    for name in &names {
        world.want(name, Want::Running, 1).await;
    }
    world.supervisor().settle(world.start).await;
    let mut next = world.supervisor();
    let asked = Arc::new(AtomicUsize::new(0));
    let (bus, counted) = (world.ports.bus.clone(), asked.clone());
    let mut renewals = bus.subscribe("mh.cmd.*.creds.1", None).await.unwrap();
    tokio::spawn(async move {
        while let Some(Delivery::Message(renewal)) = renewals.next().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let taken = format!(r#"{{"v":{VERSION},"body":null}}"#);
            bus.publish(&renewal.reply.unwrap(), Parcel::json(taken)).await.unwrap();
        }
    });
    let mut due = Vec::new();
    for minutes in 0..60 {
        for name in &names {
            world.lease(name, 1, 0).await;
        }
        next.settle(world.start + minutes * 60 * SECOND).await;
        due.push(asked.swap(0, Ordering::SeqCst));
    }
    assert_eq!(due.iter().sum::<usize>(), names.len(), "{due:?}");
    assert!(due.iter().all(|now| *now <= 5), "{due:?}");
}

/// What it has taken, for as long as the guard is there.
async fn worker_that_takes_credentials(world: &World, epoch: Epoch) -> (Arc<Mutex<Vec<String>>>, DropGuard) {
    let (taken, stop) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
    let server = Server::new(world.ports.bus.clone(), TaskTracker::new(), stop.clone());
    let take = {
        let taken = taken.clone();
        move |call: Call<Renewal>| {
            taken.lock().push(format!("{} with {}", call.body.jwt, call.body.seed));
            std::future::ready(Ok(((), Bytes::new())))
        }
    };
    let address = Address::of_worker(&SandboxId::parse("a").unwrap(), Some(epoch));
    server.serve(&address, None, Room::new(1, 1 << 20), take).await.unwrap();
    (taken, stop.drop_guard())
}

#[tokio::test]
async fn what_embedded_mode_wants_runs_without_records_and_leases() {
    let mut world = world().await;
    world.rules.demand = Demand::Always(vec![SandboxId::shared()]);
    world.rules.leases = false;
    let mut supervisor = world.supervisor();
    for seconds in [0, 100, 1_000] {
        assert_eq!(supervisor.settle(world.start + seconds * SECOND).await, RESYNC);
        assert_eq!(world.workers.instances(), [instance("default", 1)]);
    }
}

#[tokio::test]
async fn the_end_of_embedded_mode_ends_its_workers() {
    let world = world().await;
    let shutdown = CancellationToken::new();
    let config = Config::Embedded { always: vec![SandboxId::shared()] };
    let running =
        tokio::spawn(crate::run(config, world.ports.clone(), world.workers.clone(), shutdown.clone()));
    world.until_running(1).await;
    shutdown.cancel();
    running.await.unwrap().unwrap();
    assert!(world.workers.instances().is_empty());
}

pub fn cluster() -> Config {
    Config::Cluster(Cluster {
        name: "test".to_owned(),
        warm_workers: 0,
        idle_limit: None,
        pending_limit: crate::PENDING,
        limits: Limits::default(),
        minter: Arc::new(NoCredentials),
        metrics: Metrics::default().placement,
    })
}

#[tokio::test]
async fn workers_outlive_every_supervisor_and_end_when_that_is_asked_for() {
    let world = world().await;
    let supervise = || {
        let shutdown = CancellationToken::new();
        let run = crate::run(cluster(), world.ports.clone(), world.workers.clone(), shutdown.clone());
        (tokio::spawn(run), shutdown)
    };
    let (first, stop_first) = supervise();
    world.want("a", Want::Running, 1).await;
    world.until_running(1).await;
    let (waiting, stop_waiting) = supervise();
    let end = async |patience| crate::end(&world.ports, world.workers.as_ref(), patience).await;
    assert!(matches!(end(SECOND).await, Err(Error::Unavailable(_))), "it would be started again at once");
    for (stop, running) in [(stop_waiting, waiting), (stop_first, first)] {
        stop.cancel();
        running.await.unwrap().unwrap();
        assert_eq!(world.workers.instances(), [instance("a", 1)]);
    }
    end(20 * SECOND).await.unwrap();
    assert!(world.workers.instances().is_empty());
    let (next, stop_next) = supervise();
    world.until_running(1).await;
    stop_next.cancel();
    next.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_changed_record_is_acted_on_long_before_the_next_look_is_due() {
    let world = world().await;
    let shutdown = CancellationToken::new();
    let running =
        tokio::spawn(crate::run(cluster(), world.ports.clone(), world.workers.clone(), shutdown.clone()));
    let mut allocations = world.ports.kv.watch(ALLOCATIONS).await.unwrap();
    for want in [Want::Running, Want::Paused, Want::Running, Want::Paused] {
        world.want("a", want, 1).await;
        let acted = tokio::time::timeout(5 * SECOND, allocations.next()).await;
        assert!(matches!(acted, Ok(Some(_))), "{want:?} was not acted on");
    }
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn steps_that_end_together_are_one_reason_to_look() {
    const AT_ONCE: usize = 16;
    let world = world().await;
    *world.workers.starts_together.lock().unwrap() = Some(Arc::new(Barrier::new(AT_ONCE)));
    for number in 0..10 * AT_ONCE {
        world.want(&format!("s{number}"), Want::Running, 1).await;
    }
    let shutdown = CancellationToken::new();
    let running =
        tokio::spawn(crate::run(cluster(), world.ports.clone(), world.workers.clone(), shutdown.clone()));
    world.until_running(10 * AT_ONCE).await;
    let looks = world.workers.lists.load(Ordering::Relaxed);
    assert!(looks < 5 * AT_ONCE, "{looks} looks for {} starts", 10 * AT_ONCE);
    shutdown.cancel();
    running.await.unwrap().unwrap();
}
