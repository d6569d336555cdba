//! Workers that are told by a Secret: it belongs to their pod, and nothing of it is left, wherever somebody was cut off.

use std::time::Duration;

use kubernetes::types::Pod;
use kubernetes_fake::{Fault, Settings};
use manyhands_supervisor::drivers::kubernetes::{Config, Handover};
use manyhands_supervisor::{Driver, InstanceState, StartError};
use serde_json::json;

use super::suite::{Place, launch};
use super::world::{NAMESPACE, World, world_with};

const SECRETS: (&str, &str) = ("", "secrets");

async fn world() -> World {
    let by_secret = |config: &mut Config| config.handover = Handover::Secret;
    world_with("read -r spec; echo up; exec sleep 1000", Settings::default(), by_secret).await
}

fn secrets(world: &World) -> usize {
    world.server.objects(SECRETS, NAMESPACE).len()
}

#[tokio::test]
async fn a_secret_ends_with_its_pod_and_says_nothing_outside_of_itself() {
    let world = world().await;
    let launch = launch("a", 1);
    world.run(&launch).await;
    world.log_with(&launch.instance, "up").await;
    let secret = world.server.object(SECRETS, NAMESPACE, &world.name()).unwrap();
    assert_eq!(secret["immutable"], true);
    assert_eq!(secret["metadata"]["ownerReferences"][0]["uid"], world.pod()["metadata"]["uid"]);
    assert!(!world.pod().to_string().contains("canary"));
    world.driver.stop(&launch.instance, Duration::ZERO).await.unwrap();
    world.until(async || secrets(&world) == 0).await;
}

#[tokio::test]
async fn wherever_a_supervisor_is_cut_off_the_next_goes_on_and_no_secret_outlives_its_pod() {
    for (verb, resource) in [("create", "pods"), ("create", "secrets"), ("patch", "pods")] {
        for fault in [Fault::LoseRequest, Fault::LoseAnswer] {
            let world = world().await;
            let launch = launch("a", 1);
            world.server.plan(verb, resource, fault.clone());
            let cut_off = world.driver.start(&launch).await;
            assert!(matches!(cut_off, Err(StartError::Unavailable(_))), "{verb} {resource}: {cut_off:?}");
            assert!(secrets(&world) <= world.pods(), "{verb} {resource} {fault:?}: one has no pod");
            // Of one that is never started again.
            world.another().await.start(&launch).await.unwrap();
            world.run(&launch).await;
            world.log_with(&launch.instance, "up").await;
            // Not by us.
            let pods = world.operator().await.objects::<Pod>();
            pods.delete(&world.name(), None, Some(0)).await.unwrap();
            world.until(async || world.states().await.is_empty() && secrets(&world) == 0).await;
        }
    }
}

#[tokio::test]
async fn a_pod_without_its_secret_is_told_by_whoever_supervises_then() {
    let world = world().await;
    let launch = launch("a", 1);
    world.server.plan("create", "secrets", Fault::LoseRequest);
    world.driver.start(&launch).await.unwrap_err();
    assert_eq!(world.states().await, [InstanceState::Untold]);
    world.another().await.start(&launch).await.unwrap();
    world.until(async || world.states().await == [InstanceState::Running]).await;
}

#[tokio::test]
async fn a_trial_that_is_refused_leaves_no_secret() {
    let world = world().await;
    world.server.put(
        ("", "resourcequotas"),
        NAMESPACE,
        "none",
        json!({ "spec": { "hard": { "pods": "0" } } }),
    );
    world.driver.try_out().await.unwrap_err();
    assert_eq!((world.pods(), secrets(&world)), (0, 0));
}
