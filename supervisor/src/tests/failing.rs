//! What fails is recorded, tried again, and at last given up.

use std::sync::atomic::Ordering;
use std::time::Duration;

use types::Epoch;
use types::buckets::{LEASES, SANDBOXES};
use types::placement::{Allocation, Failure, FailureReason, Lease, Want, Wanted, for_clients};
use types::time::utc_of_unix;

use super::{SECOND, World, exited, instance, world};
use crate::RESYNC;
use crate::moment::Moment;
use crate::reconcile::Reconciler;
use crate::{InstanceState, StartError};

async fn started() -> (World, Reconciler) {
    let world = world().await;
    world.want("a", Want::Running, 1).await;
    let mut supervisor = world.supervisor();
    supervisor.settle(world.start).await;
    (world, supervisor)
}

impl World {
    async fn failure(&self) -> Option<Failure> {
        self.allocation("a").await.failure
    }
}

#[tokio::test]
async fn a_worker_that_ended_is_recorded_with_its_last_words_and_comes_back() {
    let (world, mut supervisor) = started().await;
    world.lease("a", 1, 0).await;
    world.workers.set(instance("a", 1), exited(3));
    assert_eq!(supervisor.settle(world.start).await, SECOND);
    let failure = Failure {
        reason: FailureReason::Exited,
        message: "The worker ended with exit code 3.".to_owned(),
        log: "last words of 1".to_owned(),
        at: utc_of_unix(world.start.unix_ms),
        retry_at: world.start.unix_ms + 1_000,
        is_final: false,
        answers: 1,
    };
    let expected =
        Allocation { epoch: Epoch(1), instance: String::new(), failures: 1, failure: Some(failure) };
    assert_eq!(world.allocation("a").await, expected);
    assert_eq!(world.get::<Lease>(LEASES, "a").await, None, "nobody holds it any more");
    supervisor.settle(world.start + SECOND).await;
    assert_eq!(world.workers.instances(), [instance("a", 2)]);
}

#[tokio::test]
async fn of_a_workers_last_words_clients_are_told_those_that_are_for_them() {
    let (world, mut supervisor) = started().await;
    let words = format!("os error 5 at /srv\n{}", for_clients("The image has no bash."));
    *world.workers.last_words.lock().unwrap() = Some(words.clone());
    world.workers.set(instance("a", 1), exited(3));
    supervisor.settle(world.start).await;
    let failure = world.failure().await.unwrap();
    assert_eq!(failure.message, "The worker ended with exit code 3. The image has no bash.");
    assert_eq!(failure.log, words);
}

#[tokio::test]
async fn a_worker_that_vanished_comes_back() {
    let (world, mut supervisor) = started().await;
    world.workers.lose(&instance("a", 1));
    supervisor.settle(world.start).await;
    assert_eq!(world.failure().await.map(|failure| failure.reason), Some(FailureReason::Exited));
    supervisor.settle(world.start + SECOND).await;
    assert_eq!(world.workers.instances(), [instance("a", 2)]);
}

#[tokio::test]
async fn what_ended_with_an_earlier_supervisor_is_started_at_once() {
    let (world, _) = started().await;
    world.workers.lose(&instance("a", 1));
    world.supervisor().settle(world.start).await;
    assert_eq!(world.workers.instances(), [instance("a", 2)]);
    assert_eq!(world.failure().await, None);
}

#[tokio::test]
async fn a_failure_says_nothing_of_the_next_start() {
    let (world, mut supervisor) = started().await;
    world.workers.set(instance("a", 1), exited(1));
    supervisor.settle(world.start).await;
    supervisor.settle(world.start + SECOND).await;
    let allocation = world.allocation("a").await;
    assert_eq!(
        (allocation.failure, allocation.failures),
        (None, 1),
        "how often it has failed is known still"
    );
}

#[tokio::test]
async fn five_failures_end_the_tries_until_somebody_wakes_it() {
    let (world, mut supervisor) = started().await;
    let mut now = world.start;
    let mut waits: Vec<Duration> = Vec::new();
    for epoch in 1..=5 {
        world.workers.set(instance("a", epoch), exited(1));
        waits.push(supervisor.settle(now).await);
        now = now + waits[waits.len() - 1];
        supervisor.settle(now).await;
    }
    assert_eq!(waits, [SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND, RESYNC]);
    assert!(world.failure().await.unwrap().is_final);
    for is_away in [true, false] {
        world.workers.is_away.store(is_away, Ordering::Relaxed);
        supervisor.settle(now + 3_600 * SECOND).await;
        assert_eq!(world.workers.started().len(), 5, "it was given up");
    }

    let woken_at = now + 3_600 * SECOND;
    world.want("a", Want::Running, 2).await;
    supervisor.settle(woken_at).await;
    assert_eq!(world.workers.instances(), [instance("a", 6)]);
    world.workers.set(instance("a", 6), exited(1));
    assert_eq!(supervisor.settle(woken_at).await, SECOND, "it begins to count anew");
}

#[tokio::test]
async fn a_missing_image_is_told_at_once() {
    let world = world().await;
    world.workers.refuse(Some(StartError::ImageMissing("nowhere:1".to_owned())));
    world.want("a", Want::Running, 1).await;
    world.supervisor().settle(world.start).await;
    let failure = world.failure().await.unwrap();
    assert_eq!(failure.reason, FailureReason::ImageMissing);
    assert_eq!(failure.message, "The image nowhere:1 is not there.");
    assert_eq!(world.workers.stopped(), [instance("a", 1)], "what is left of it is removed");
}

#[tokio::test]
async fn however_far_off_the_clock_of_who_wakes_it_is_a_sandbox_is_tried_again_after_the_pause() {
    let world = world().await;
    let (mut supervisor, mut now) = (world.supervisor(), world.start);
    world.workers.refuse(Some(StartError::Failed("no".to_owned())));
    for (wakes, clock) in [(1, now.unix_ms + 3_600_000), (2, now.unix_ms - 3_600_000)] {
        let woken = Wanted { touched_at: clock, ..super::wanted(Want::Running, wakes) };
        world.put(SANDBOXES, "a", &woken).await;
        let (pause, tried) = (supervisor.settle(now).await, world.workers.stopped().len());
        assert!(pause <= 2 * SECOND, "{pause:?}");
        now = now + pause;
        supervisor.settle(now).await;
        assert_eq!(world.workers.stopped().len(), tried + 1);
        assert_eq!(world.failure().await.unwrap().answers, wakes);
    }
}

#[tokio::test]
async fn a_clock_that_is_set_neither_hastens_a_try_nor_puts_it_off() {
    let (world, mut supervisor) = started().await;
    world.workers.set(instance("a", 1), exited(1));
    supervisor.settle(world.start).await;
    let clock_is = |unix_ms, moment: Moment| Moment { unix_ms, ..moment };
    supervisor.settle(clock_is(world.start.unix_ms + 3_600_000, world.start)).await;
    assert!(world.workers.instances().is_empty(), "it is too soon");
    supervisor.settle(clock_is(1, world.start + SECOND)).await;
    assert_eq!(world.workers.instances(), [instance("a", 2)]);
}

#[tokio::test]
async fn the_end_of_a_worker_that_has_lived_answers_nobody_who_came_after_that() {
    let (world, mut supervisor) = started().await;
    world.lease("a", 1, 0).await;
    supervisor.settle(world.start).await;
    world.workers.set(instance("a", 1), exited(1));
    world.want("a", Want::Running, 2).await;
    supervisor.settle(world.start).await;
    assert_eq!(world.failure().await.unwrap().answers, 1, "who has woken it since waits for the next worker");
}

#[tokio::test]
async fn a_worker_that_is_given_up_answers_nobody_who_came_after_it_had_last_shown_life() {
    let (world, mut supervisor) = started().await;
    world.lease("a", 1, 0).await;
    supervisor.settle(world.start).await;
    // Its lease counts still, though nobody has answered whoever wakes it.
    world.want("a", Want::Running, 2).await;
    supervisor.settle(world.start + 12 * SECOND).await;
    supervisor.settle(world.start + 17 * SECOND).await;
    assert_eq!(world.failure().await.unwrap().answers, 1);
}

#[tokio::test]
async fn a_sign_of_life_that_is_seen_late_answers_nobody_who_may_have_come_after_it() {
    let (world, mut supervisor) = started().await;
    world.lease("a", 1, 0).await;
    supervisor.settle(world.start).await;
    // Its last renewal is seen by the look that the wake brings about.
    world.lease("a", 1, 0).await;
    world.want("a", Want::Running, 2).await;
    for seconds in [12, 18, 24, 29] {
        supervisor.settle(world.start + seconds * SECOND).await;
    }
    assert_eq!(world.failure().await.unwrap().answers, 1);
}

#[tokio::test]
async fn a_worker_that_stops_renewing_its_lease_is_killed_and_replaced() {
    let (world, mut supervisor) = started().await;
    world.lease("a", 1, 0).await;
    supervisor.settle(world.start).await;
    supervisor.settle(world.start + 16 * SECOND).await;
    assert_eq!(world.workers.instances(), [instance("a", 1)]);
    supervisor.settle(world.start + 17 * SECOND).await;
    assert_eq!(*world.workers.stopped.lock().unwrap(), [(instance("a", 1), Duration::ZERO)]);
    supervisor.settle(world.start + 18 * SECOND).await;
    assert_eq!(world.workers.instances(), [instance("a", 2)]);
}

#[tokio::test]
async fn a_worker_that_never_takes_its_lease_is_replaced() {
    let (world, mut supervisor) = started().await;
    assert_eq!(supervisor.settle(world.start + 19 * SECOND).await, SECOND);
    supervisor.settle(world.start + 20 * SECOND).await;
    let failure = world.failure().await.unwrap();
    assert_eq!(failure.reason, FailureReason::StartFailed);
    assert_eq!(failure.message, "The worker did not report within 20 seconds.");
    assert_eq!(world.workers.stopped(), [instance("a", 1)]);
}

#[tokio::test]
async fn a_lease_of_an_older_incarnation_is_no_sign_of_life() {
    let (world, mut supervisor) = started().await;
    world.workers.set(instance("a", 1), exited(1));
    supervisor.settle(world.start).await;
    let restart = world.start + SECOND;
    supervisor.settle(restart).await;
    for seconds in [5, 10, 15, 20] {
        world.lease("a", 1, 0).await;
        supervisor.settle(restart + seconds * SECOND).await;
    }
    assert_eq!(world.workers.stopped(), [instance("a", 1), instance("a", 2)]);
}

#[tokio::test]
async fn who_waits_is_told_that_the_driver_does_not_answer() {
    let world = world().await;
    world.workers.is_away.store(true, Ordering::Relaxed);
    world.want("a", Want::Running, 1).await;
    let mut supervisor = world.supervisor();
    let retry = supervisor.settle(world.start).await;
    assert_eq!(world.failure().await.unwrap().reason, FailureReason::DriverUnavailable);
    assert!(retry <= 2 * SECOND, "{retry:?}");
    world.workers.is_away.store(false, Ordering::Relaxed);
    supervisor.settle(world.start + retry).await;
    assert_eq!(world.workers.instances(), [instance("a", 1)]);
}

#[tokio::test]
async fn starts_that_fail_because_the_driver_is_away_cost_a_sandbox_no_tries() {
    let world = world().await;
    world.workers.refuse(Some(StartError::Unavailable("no answer".to_owned())));
    world.want("a", Want::Running, 1).await;
    let (mut supervisor, mut now) = (world.supervisor(), world.start);
    for _ in 0..8 {
        let retry = supervisor.settle(now).await;
        assert!(retry <= 2 * SECOND, "{retry:?}");
        now = now + retry;
    }
    assert_eq!(world.failure().await.unwrap().reason, FailureReason::DriverUnavailable);
    world.workers.refuse(None);
    supervisor.settle(now).await;
    assert_eq!(world.workers.instances().len(), 1);
    assert_eq!(world.allocation("a").await.failures, 0);
}

#[tokio::test]
async fn an_outage_of_the_driver_costs_no_running_worker() {
    let (world, mut supervisor) = started().await;
    for seconds in (0..60).step_by(5) {
        world.lease("a", 1, 0).await;
        world.workers.is_away.store(seconds % 10 == 0, Ordering::Relaxed);
        supervisor.settle(world.start + seconds * SECOND).await;
    }
    assert_eq!(world.workers.instances(), [instance("a", 1)]);
    assert_eq!(world.allocation("a").await.failure, None);
}

#[tokio::test]
async fn a_unit_that_exited_while_nobody_looked_is_not_taken_for_running() {
    let (world, _) = started().await;
    world.workers.set(instance("a", 1), InstanceState::Exited { code: None });
    let mut successor = world.supervisor();
    successor.settle(world.start + SECOND).await;
    successor.settle(world.start + 2 * SECOND).await;
    assert_eq!(world.workers.instances(), [instance("a", 2)]);
}

#[tokio::test]
async fn an_instance_that_is_being_removed_is_waited_for_and_no_failure_until_it_is_gone() {
    let (world, mut supervisor) = started().await;
    world.workers.set(instance("a", 1), InstanceState::Leaving);
    for seconds in [0, 16, 20, 21, 59] {
        let wait = supervisor.settle(world.start + seconds * SECOND).await;
        assert!((SECOND..=5 * SECOND).contains(&wait), "{wait:?}");
    }
    assert_eq!((world.failure().await, world.workers.stopped()), (None, vec![]));
    world.workers.lose(&instance("a", 1));
    supervisor.settle(world.start + 61 * SECOND).await;
    assert_eq!(world.allocation("a").await.failures, 1);
    supervisor.settle(world.start + 62 * SECOND).await;
    assert_eq!(world.workers.instances(), [instance("a", 2)]);
}

#[tokio::test]
async fn who_waits_for_what_takes_long_to_be_removed_is_told_so_each_time() {
    let (world, mut supervisor) = started().await;
    world.workers.set(instance("a", 1), InstanceState::Leaving);
    for seconds in [0, 59] {
        supervisor.settle(world.start + seconds * SECOND).await;
    }
    assert_eq!(world.failure().await, None);
    for (wakes, seconds) in [(2, 61), (3, 62)] {
        world.want("a", Want::Running, wakes).await;
        supervisor.settle(world.start + seconds * SECOND).await;
        let failure = world.failure().await.unwrap();
        assert_eq!((failure.reason, failure.answers), (FailureReason::DriverUnavailable, wakes));
        assert!(failure.message.contains("not removed"), "{}", failure.message);
    }
    world.workers.lose(&instance("a", 1));
    for seconds in [63, 65] {
        supervisor.settle(world.start + seconds * SECOND).await;
    }
    assert_eq!(world.workers.instances(), [instance("a", 2)]);
}

#[tokio::test]
async fn what_stays_after_it_was_ended_is_ended_again_with_growing_pauses_and_has_failed_once() {
    let (world, mut supervisor) = started().await;
    world.workers.nothing_ends.store(true, Ordering::Relaxed);
    world.workers.set(instance("a", 1), exited(1));
    for tenths in 0..1_000 {
        supervisor.settle(world.start + tenths * SECOND / 10).await;
    }
    let stops = world.workers.stopped().len();
    assert!((8..=30).contains(&stops), "{stops} in 100 seconds");
    let allocation = world.allocation("a").await;
    assert_eq!((allocation.failures, allocation.failure.unwrap().is_final), (1, false));
}
