//! A worker that was called for something is not stopped by a pause that was decided before.

use std::future::ready;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ports::rpc::{Address, Call, Limits, Server};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::Epoch;
use types::buckets::{LEASES, SANDBOXES};
use types::calls::RestCall;
use types::placement::{Lease, Want, Wanted};

use super::{SECOND, World, instance, world};
use crate::reconcile::Reconciler;

/// Idle for as long as it may be, after seven calls. Beside it, what its worker is asked; it answers `rests`.
async fn idle(rests: bool) -> (World, Reconciler, Arc<Mutex<Vec<u64>>>) {
    let world = world().await;
    world.want("a", Want::Running, 1).await;
    let mut supervisor = world.supervisor();
    supervisor.settle(world.start).await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    let answer = move |call: Call<RestCall>| {
        heard.lock().unwrap().push(call.body.calls);
        ready(Ok((rests, Bytes::new())))
    };
    let server = Server::new(world.ports.bus.clone(), TaskTracker::new(), CancellationToken::new());
    let address = Address::of_worker(&instance("a", 1).sandbox, Some(Epoch(1)));
    server.serve(&address, None, Limits::new(4, 1 << 16), answer).await.unwrap();
    let since = "2026-11-23T00:00:00.000000Z".to_owned();
    world.put(LEASES, "a", &Lease { epoch: Epoch(1), since, idle_seconds: 700, runs: 0, calls: 7 }).await;
    (world, supervisor, asked)
}

#[tokio::test]
async fn a_pause_is_taken_back_where_the_worker_was_called_after_it_was_decided() {
    let (world, mut supervisor, asked) = idle(false).await;
    let now = world.start + 700 * SECOND;
    supervisor.settle(now).await;
    assert_eq!(world.workers.instances(), [instance("a", 1)]);
    assert!(world.workers.stopped.lock().unwrap().is_empty());
    assert_eq!(*asked.lock().unwrap(), [7], "by what was known of it, and once");
    let wanted: Wanted = world.get(SANDBOXES, "a").await.unwrap();
    assert_eq!((wanted.want, wanted.touched_at, wanted.quiet_after), (Want::Running, now.unix_ms, None));
}

#[tokio::test]
async fn a_worker_that_rests_is_stopped() {
    let (world, mut supervisor, asked) = idle(true).await;
    supervisor.settle(world.start + 700 * SECOND).await;
    assert_eq!(*asked.lock().unwrap(), [7]);
    assert!(world.workers.instances().is_empty());
    assert_eq!(world.wanted("a").await, Some(Want::Paused));
}

#[tokio::test]
async fn a_worker_that_does_not_answer_is_stopped_all_the_same() {
    let (world, ..) = idle(true).await;
    let wanted = Wanted { quiet_after: Some(1), ..super::wanted(Want::Paused, 1) };
    world.workers.set(instance("b", 1), crate::InstanceState::Running);
    world.put(SANDBOXES, "b", &wanted).await;
    world.supervisor().settle(world.start).await;
    assert_eq!(world.workers.instances(), [instance("a", 1)]);
}
