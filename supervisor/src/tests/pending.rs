//! Instances that wait for a machine, an image or a volume, that are told late what they are to do, and that may be gone.

use types::Epoch;
use types::buckets::SANDBOXES;
use types::placement::{Failure, FailureReason, Want, Wanted};

use super::{SECOND, World, instance, world};
use crate::pulse::STARTING;
use crate::reconcile::Reconciler;
use crate::{Cause, InstanceState, PENDING, RESYNC, StartError};

const FULL: &str = "No machine of the cluster has room for the sandbox.";

fn no_capacity() -> InstanceState {
    InstanceState::Pending(Some(Cause::new(FailureReason::NoCapacity, FULL)))
}

fn node_lost() -> Cause {
    Cause::new(FailureReason::NodeLost, "The machine does not answer any more.")
}

/// The first incarnation of `a` is there, in this state.
async fn started(state: InstanceState) -> (World, Reconciler) {
    let world = world().await;
    world.want("a", Want::Running, 1).await;
    let mut supervisor = world.supervisor();
    supervisor.settle(world.start).await;
    world.workers.set(instance("a", 1), state);
    supervisor.settle(world.start).await;
    (world, supervisor)
}

impl World {
    async fn told(&self) -> Option<Failure> {
        self.allocation("a").await.failure
    }

    fn now(&self, state: InstanceState) {
        self.workers.set(instance("a", 1), state);
    }
}

#[tokio::test]
async fn what_waits_for_a_machine_is_not_late_and_says_what_it_waits_for() {
    let (world, mut supervisor) = started(no_capacity()).await;
    let told = world.told().await.unwrap();
    assert_eq!((told.reason, told.message.as_str(), told.is_final), (FailureReason::NoCapacity, FULL, false));
    let allocation = world.allocation("a").await;
    assert_eq!(
        (allocation.instance.is_empty(), allocation.failures),
        (false, 0),
        "it is there, and no failure"
    );
    let mut now = world.start;
    for _ in 0..5 {
        now = now + 10 * STARTING;
        if now.instant < world.start.instant + PENDING {
            supervisor.settle(now).await;
            assert_eq!(world.workers.stopped(), []);
        }
    }

    // Its time to start begins only when it runs.
    let runs = world.start + (PENDING - SECOND);
    world.now(InstanceState::Running);
    supervisor.settle(runs).await;
    supervisor.settle(runs + (STARTING - SECOND)).await;
    assert_eq!(world.workers.stopped(), []);
    world.lease("a", 1, 0).await;
    supervisor.settle(runs + STARTING).await;
    assert_eq!(world.told().await, None, "its worker has come");
    assert_eq!(world.workers.started(), [instance("a", 1)]);
}

#[tokio::test]
async fn who_wakes_what_waits_is_told_again_and_changes_of_the_cause_are_too() {
    let (world, mut supervisor) = started(no_capacity()).await;
    let wanted = world.get::<Wanted>(SANDBOXES, "a").await.unwrap();
    world.put(SANDBOXES, "a", &Wanted { wakes: 2, ..wanted }).await;
    supervisor.settle(world.start).await;
    assert_eq!(world.told().await.unwrap().answers, 2);
    let image = Cause::new(FailureReason::ImageMissing, "The image is not there yet.");
    world.now(InstanceState::Pending(Some(image)));
    supervisor.settle(world.start).await;
    assert_eq!(world.told().await.unwrap().reason, FailureReason::ImageMissing);
    world.now(InstanceState::Pending(None));
    assert_eq!(supervisor.settle(world.start).await, RESYNC);
    assert_eq!(world.told().await, None, "that is over");
}

#[tokio::test]
async fn what_waits_for_too_long_is_tried_anew_and_however_often_never_given_up() {
    let (world, mut supervisor) = started(no_capacity()).await;
    let mut now = world.start;
    for epoch in 1..=7 {
        now = now + PENDING;
        supervisor.settle(now).await;
        assert!(world.workers.stopped().contains(&instance("a", epoch)), "{epoch}");
        let told = world.told().await.unwrap();
        assert_eq!((told.reason, told.is_final), (FailureReason::NoCapacity, false));
        now = now + 60 * SECOND;
        supervisor.settle(now).await;
        world.workers.set(instance("a", epoch + 1), no_capacity());
        supervisor.settle(now).await;
    }
    assert_eq!(world.workers.started().len(), 8);
}

#[tokio::test]
async fn what_a_quota_refuses_is_tried_again_and_again() {
    let world = world().await;
    world.workers.refuse(Some(StartError::Refused(Cause::new(FailureReason::NoCapacity, FULL))));
    world.want("a", Want::Running, 1).await;
    let (mut supervisor, mut now) = (world.supervisor(), world.start);
    for _ in 0..8 {
        let wait = supervisor.settle(now).await;
        let told = world.told().await.unwrap();
        assert_eq!(
            (told.reason, told.message.as_str(), told.is_final),
            (FailureReason::NoCapacity, FULL, false)
        );
        assert!(wait <= 60 * SECOND);
        now = now + wait;
    }
    world.workers.refuse(None);
    supervisor.settle(now + 60 * SECOND).await;
    assert_eq!(world.workers.instances().len(), 1);
}

#[tokio::test]
async fn what_runs_untold_is_told_by_whoever_supervises_then() {
    let (world, _) = started(InstanceState::Pending(None)).await;
    world.now(InstanceState::Untold);
    // It knows nothing of the start.
    let mut successor = world.supervisor();
    world.workers.takes_twins.store(true, std::sync::atomic::Ordering::Relaxed);
    successor.settle(world.start).await;
    assert_eq!(world.workers.started(), [instance("a", 1), instance("a", 1)]);
    assert_eq!(world.workers.instances(), [instance("a", 1)], "the same incarnation");
    successor.settle(world.start + (STARTING - SECOND)).await;
    successor.settle(world.start + STARTING).await;
    assert_eq!(world.workers.stopped(), [instance("a", 1)], "its worker had its time from then on");
}

#[tokio::test]
async fn what_cannot_be_told_goes_on_waiting_and_is_replaced_at_last() {
    let (world, mut supervisor) = started(InstanceState::Pending(None)).await;
    world.workers.refuse(Some(StartError::Unavailable("the machine does not answer".to_owned())));
    world.now(InstanceState::Untold);
    supervisor.settle(world.start).await;
    supervisor.settle(world.start + (PENDING - SECOND)).await;
    assert_eq!(world.workers.stopped(), []);
    supervisor.settle(world.start + PENDING).await;
    assert_eq!(world.workers.stopped(), [instance("a", 1)]);
    assert_eq!(world.told().await.unwrap().reason, FailureReason::StartFailed);
}

#[tokio::test]
async fn what_a_missing_right_keeps_from_being_told_is_not_replaced_and_says_so() {
    let (world, mut supervisor) = started(InstanceState::Pending(None)).await;
    let lacking = Cause::new(FailureReason::DriverUnavailable, "The supervisor may not do what it has to.");
    world.workers.refuse(Some(StartError::Refused(lacking.clone())));
    world.now(InstanceState::Untold);
    let mut now = world.start;
    for _ in 0..5 {
        supervisor.settle(now).await;
        let told = world.told().await.unwrap();
        assert_eq!((told.reason, &told.message), (lacking.reason, &lacking.message));
        now = now + 10 * SECOND;
    }
    assert_eq!((world.workers.stopped(), world.allocation("a").await.epoch), (Vec::new(), Epoch(1)));

    world.workers.refuse(None);
    world.workers.takes_twins.store(true, std::sync::atomic::Ordering::Relaxed);
    supervisor.settle(now).await;
    world.lease("a", 1, 0).await;
    supervisor.settle(now + SECOND).await;
    assert_eq!(world.told().await, None);
}

#[tokio::test]
async fn a_worker_whose_machine_may_be_lost_goes_on_for_as_long_as_it_has_its_lease() {
    let (world, mut supervisor) = started(InstanceState::Running).await;
    world.lease("a", 1, 0).await;
    supervisor.settle(world.start).await;
    world.now(InstanceState::Doomed(node_lost()));
    supervisor.settle(world.start).await;
    world.lease("a", 1, 0).await;
    supervisor.settle(world.start + 10 * SECOND).await;
    assert_eq!(world.workers.stopped(), []);
    supervisor.settle(world.start + 39 * SECOND).await;
    supervisor.settle(world.start + 40 * SECOND).await;
    assert_eq!(world.workers.stopped(), [instance("a", 1)]);
    assert_eq!(world.told().await.unwrap().reason, FailureReason::NodeLost);
}

#[tokio::test]
async fn what_was_known_of_an_end_is_told_also_when_nothing_is_left_of_it() {
    let (world, mut supervisor) = started(InstanceState::Running).await;
    world.lease("a", 1, 0).await;
    let cause = Cause::new(FailureReason::Preempted, "It had to give way.");
    for state in [InstanceState::Doomed(cause.clone()), InstanceState::Leaving] {
        world.now(state);
        supervisor.settle(world.start).await;
    }
    world.workers.lose(&instance("a", 1));
    supervisor.settle(world.start).await;
    let told = world.told().await.unwrap();
    assert_eq!((told.reason, told.message), (cause.reason, cause.message));
    supervisor.settle(world.start + SECOND).await;
    assert_eq!(world.allocation("a").await.epoch, Epoch(2));
}

#[tokio::test]
async fn an_end_whose_reason_is_known_is_told_with_it() {
    let cause = Cause::new(FailureReason::OutOfMemory, "It had used up its memory.");
    let (world, _) = started(InstanceState::Broken(cause.clone())).await;
    let told = world.told().await.unwrap();
    assert_eq!((told.reason, told.message), (cause.reason, cause.message));
    assert_eq!(world.workers.stopped(), [instance("a", 1)]);
}
