//! Pods that wait, and what those who wait for them are told.

use std::time::Duration;

use kubernetes_fake::{Fault, Node, Pod, Settings};
use manyhands_supervisor::{Driver, InstanceState};
use types::placement::{FailureReason, Want};

use tokio::time::timeout;

use super::suite::{Place, Supervised, launch};
use super::world::{NAMESPACE, PODS, World, world, world_with};

const SLEEPS: &str = "read -r spec; echo up; exec sleep 1000";

async fn cause(world: &World) -> Option<(FailureReason, String)> {
    match world.states().await.pop()? {
        InstanceState::Pending(cause) => cause.map(|cause| (cause.reason, cause.message)),
        InstanceState::Broken(cause) => Some((cause.reason, cause.message)),
        _ => None,
    }
}

async fn until_told(world: &World) -> (FailureReason, String) {
    world.until(async || cause(world).await.is_some()).await;
    cause(world).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_machine_has_room_for_waits_and_runs_once_one_comes() {
    let small = Node { memory: "100Mi", ..Node::new("small") };
    let settings = Settings { nodes: vec![small], ..Settings::default() };
    let supervised = Supervised::of(world_with(SLEEPS, settings, |_| {}).await).await;
    let told = supervised.first_failure().await;
    assert_eq!(told.reason, FailureReason::NoCapacity);
    assert_eq!(told.message, "No machine of the cluster has room for the sandbox (memory).");
    let world = &supervised.place;
    world.server.change(("", "nodes"), "", "small", |node| {
        node["status"]["allocatable"]["memory"] = "8Gi".into();
    });
    supervised.until_states(&[InstanceState::Running]).await;
    let instance = world.driver.list().await.unwrap().remove(0).instance;
    assert_eq!(instance.epoch.0, 1, "it was never replaced");
    world.log_with(&instance, "up").await;
    supervised.want(Want::Paused).await;
    supervised.until_states(&[]).await;
}

#[tokio::test]
async fn an_image_that_cannot_be_fetched_is_told_and_waited_for() {
    let world = world(SLEEPS).await;
    world.server.on_pod(|pod: Pod| async move {
        pod.waiting("ImagePullBackOff", "Back-off pulling image");
        pod.stopping().await;
    });
    world.driver.start(&launch("a", 1)).await.unwrap();
    let (reason, message) = until_told(&world).await;
    assert_eq!(
        (reason, message.as_str()),
        (FailureReason::ImageMissing, "The image agents/image:1 cannot be fetched so far.")
    );
    world.driver.stop(&launch("a", 1).instance, Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn a_volume_that_cannot_be_made_is_told() {
    let world = world_with(SLEEPS, Settings::default(), |config| {
        config.volume.storage_class = Some("none".to_owned());
    })
    .await;
    world.driver.start(&launch("a", 1)).await.unwrap();
    assert_eq!(until_told(&world).await.0, FailureReason::VolumeUnavailable);
}

/// Pods of which only events tell what they wait for, and for longer than is usual.
async fn silent(sandboxes: &[&str]) -> World {
    let world = world(SLEEPS).await;
    world.server.on_pod(|pod: Pod| async move {
        pod.event("FailedAttachVolume", "Multi-Attach error for volume");
        pod.stopping().await;
    });
    for sandbox in sandboxes {
        world.driver.start(&launch(sandbox, 1)).await.unwrap();
    }
    let all_told = async || world.server.objects(("", "events"), NAMESPACE).len() == sandboxes.len();
    world.until(all_told).await;
    // Some of that is usual for some seconds.
    assert!(world.states().await.iter().all(|state| *state == InstanceState::Pending(None)));
    for pod in world.server.objects(PODS, NAMESPACE) {
        world.server.change(PODS, NAMESPACE, pod["metadata"]["name"].as_str().unwrap(), |pod| {
            pod["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
        });
    }
    world
}

#[tokio::test]
async fn what_only_events_tell_is_asked_once_for_all_and_told() {
    let world = silent(&["a", "b", "c"]).await;
    let is_told = |state: &InstanceState| matches!(state, InstanceState::Pending(Some(cause)) if cause.reason == FailureReason::VolumeUnavailable);
    let before = world.server.asked("list", "events");
    let states = world.states().await;
    assert!(states.len() == 3 && states.iter().all(is_told), "{states:?}");
    assert_eq!(world.server.asked("list", "events"), before + 1);
    let found = world.found(&launch("b", 1).instance).await.unwrap();
    assert!(is_told(&found.state), "{found:?}");
}

/// They are kept in a store of their own in large clusters.
#[tokio::test]
async fn pods_are_found_while_nobody_tells_of_events() {
    let world = silent(&["a"]).await;
    world.server.plan("list", "events", Fault::Slow(Duration::from_secs(600)));
    let states = timeout(Duration::from_secs(10), world.states()).await.expect("a look waits for events");
    assert_eq!(states, [InstanceState::Pending(None)]);
}
