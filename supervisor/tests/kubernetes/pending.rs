//! Pods that wait, and what those who wait for them are told.

use std::time::Duration;

use kubernetes_fake::{Node, Pod, Settings};
use manyhands_supervisor::{Driver, InstanceState};
use types::placement::{FailureReason, Want};

use super::suite::{Place, Supervised, launch};
use super::world::{World, world, world_with};

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

#[tokio::test]
async fn what_only_events_tell_is_told() {
    let world = world(SLEEPS).await;
    world.server.on_pod(|pod: Pod| async move {
        pod.event("FailedAttachVolume", "Multi-Attach error for volume");
        pod.stopping().await;
    });
    world.driver.start(&launch("a", 1)).await.unwrap();
    world.until(async || world.states().await == [InstanceState::Pending(None)]).await;
    // Some of that is usual for some seconds.
    let name = world.name();
    world.server.change(super::world::PODS, super::world::NAMESPACE, &name, |pod| {
        pod["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
    });
    assert_eq!(until_told(&world).await.0, FailureReason::VolumeUnavailable);
}
