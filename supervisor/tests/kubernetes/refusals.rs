//! What an API server refuses: nothing is left half made, and clients are told why without a word of the cluster's.

use std::time::Duration;

use kubernetes_fake::{Fault, Settings};
use manyhands_supervisor::drivers::kubernetes::Config;
use manyhands_supervisor::{Driver, InstanceState, StartError};
use serde_json::json;
use types::placement::FailureReason;

use super::suite::{Place, launch};
use super::world::{NAMESPACE, PODS, world, world_with};

const SLEEPS: &str = "read -r spec; echo up; exec sleep 1000";

fn reason(refused: &Result<(), StartError>) -> FailureReason {
    match refused {
        Err(StartError::Refused(cause)) => cause.reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_quota_that_is_used_up_is_no_capacity_until_there_is_room() {
    let world = world(SLEEPS).await;
    world.server.put(
        ("", "resourcequotas"),
        NAMESPACE,
        "all",
        json!({ "spec": { "hard": { "pods": "1" } } }),
    );
    let (first, second) = (launch("a", 1), launch("b", 1));
    world.run(&first).await;
    let refused = world.driver.start(&second).await;
    assert_eq!(reason(&refused), FailureReason::NoCapacity, "{refused:?}");
    world.driver.stop(&second.instance, Duration::ZERO).await.unwrap();
    world.driver.stop(&first.instance, Duration::ZERO).await.unwrap();
    world.run(&second).await;
}

#[tokio::test]
async fn a_quota_on_volumes_is_told_as_one_of_files() {
    let world = world(SLEEPS).await;
    let quota = json!({ "spec": { "hard": { "persistentvolumeclaims": "0" } } });
    world.server.put(("", "resourcequotas"), NAMESPACE, "all", quota);
    let refused = world.driver.start(&launch("a", 1)).await;
    assert_eq!(reason(&refused), FailureReason::VolumeUnavailable);
    assert_eq!(world.pods(), 0);
}

/// All its containers count, also the one that only brings the program.
#[tokio::test]
async fn what_a_cluster_asks_of_each_container_a_sandbox_has_where_its_worker_has() {
    let world = world(SLEEPS).await;
    let limit = json!({ "type": "Container", "min": { "cpu": "200m", "memory": "256Mi" }, "max": { "cpu": "2", "memory": "2Gi" } });
    world.server.put(("", "limitranges"), NAMESPACE, "all", json!({ "spec": { "limits": [limit] } }));
    world.run(&launch("a", 1)).await;
    world.server.change(("", "limitranges"), NAMESPACE, "all", |range| {
        range["spec"]["limits"][0]["max"]["memory"] = "1Gi".into();
    });
    let refused = world.driver.start(&launch("b", 1)).await;
    assert_eq!(reason(&refused), FailureReason::StartFailed, "{refused:?}");
}

#[tokio::test]
async fn a_right_that_is_missing_is_said_and_found_by_the_check() {
    let world = world(SLEEPS).await;
    let whole = world.driver.check().await.unwrap();
    assert_eq!((whole.lacks.as_slice(), whole.namespace.as_str()), ([].as_slice(), NAMESPACE));
    let rbac = ("rbac.authorization.k8s.io", "roles");
    world.server.change(rbac, NAMESPACE, "supervisor", |role| {
        let rules = role["rules"].as_array_mut().unwrap();
        rules.retain(|rule| rule["resources"] != json!(["pods/attach"]));
    });
    assert_eq!(world.driver.check().await.unwrap().lacks, ["get pods/attach", "create pods/attach"]);
    let launch = launch("a", 1);
    world.driver.start(&launch).await.unwrap();
    world.until(async || world.states().await == [InstanceState::Untold]).await;
    let refused = world.driver.start(&launch).await;
    assert_eq!(reason(&refused), FailureReason::DriverUnavailable);
    let Err(StartError::Refused(cause)) = refused else { panic!() };
    assert_eq!(cause.message, "The supervisor may not do in the cluster what it has to.");
}

#[tokio::test]
async fn whether_the_cluster_would_take_a_sandbox_is_asked_without_making_one() {
    let world = world(SLEEPS).await;
    world.driver.ask().await.unwrap();
    let gvisor = |config: &mut Config| config.runtime = Some("gvisor".to_owned());
    let other = world_with(SLEEPS, Settings::default(), gvisor).await;
    let refused = other.driver.ask().await;
    assert_eq!(refused.unwrap_err().to_string(), "The cluster does not have the sandbox' runtime.");
    for world in [world, other] {
        assert_eq!((world.pods(), world.volumes().await), (0, 0));
    }
}

#[tokio::test]
async fn a_service_account_that_is_not_there_is_a_failed_start() {
    let account = |config: &mut Config| config.service_account = Some("nobody".to_owned());
    let world = world_with(SLEEPS, Settings::default(), account).await;
    assert_eq!(reason(&world.driver.start(&launch("a", 1)).await), FailureReason::StartFailed);
}

/// Two supervisors, or one that was cut off and its successor.
#[tokio::test]
async fn of_two_that_start_the_same_at_once_one_makes_it_and_both_go_on() {
    let world = world(SLEEPS).await;
    let (launch, other) = (launch("a", 1), world.another().await);
    for _ in 0..5 {
        let (one, two) = tokio::join!(world.driver.start(&launch), other.start(&launch));
        for started in [one, two] {
            assert!(matches!(started, Ok(()) | Err(StartError::Unavailable(_))), "{started:?}");
        }
        assert_eq!(world.pods(), 1);
    }
    world.run(&launch).await;
    world.log_with(&launch.instance, "up").await;
}

#[tokio::test]
async fn an_answer_that_is_lost_is_tried_again_and_nothing_is_made_twice() {
    let world = world(SLEEPS).await;
    let launch = launch("a", 1);
    for resource in ["persistentvolumeclaims", "pods"] {
        world.server.plan("create", resource, Fault::LoseAnswer);
        let lost = world.driver.start(&launch).await;
        assert!(matches!(lost, Err(StartError::Unavailable(_))), "{resource}: {lost:?}");
    }
    world.run(&launch).await;
    assert_eq!((world.pods(), world.volumes().await), (1, 1));
    world.log_with(&launch.instance, "up").await;
}

/// Its worker has read the line, and its pod does not say so yet.
#[tokio::test]
async fn a_worker_that_was_told_by_one_who_could_not_note_it_is_told_once_more_and_goes_on() {
    let world = world("read -r spec; echo told; cat; exec sleep 1000").await;
    let launch = launch("a", 1);
    world.driver.start(&launch).await.unwrap();
    world.until(async || world.states().await == [InstanceState::Untold]).await;
    world.server.plan("patch", "pods", Fault::LoseRequest);
    let lost = world.driver.start(&launch).await;
    assert!(matches!(lost, Err(StartError::Unavailable(_))), "{lost:?}");
    assert_eq!(world.states().await, [InstanceState::Untold]);
    world.log_with(&launch.instance, "told").await;
    world.another().await.start(&launch).await.unwrap();
    assert_eq!(world.states().await, [InstanceState::Running]);
}

#[tokio::test]
async fn what_is_being_removed_is_not_started_and_what_another_has_made_there_is_not_removed() {
    let world = world("read -r spec; trap '' TERM; echo up; while true; do sleep 0.05; done").await;
    let launch = launch("a", 1);
    world.run(&launch).await;
    world.log_with(&launch.instance, "up").await;
    let name = world.name();
    let impatient = tokio::time::timeout(
        Duration::from_millis(300),
        world.driver.stop(&launch.instance, Duration::from_secs(2)),
    );
    impatient.await.unwrap_err();
    assert_eq!(world.states().await, [InstanceState::Leaving]);
    let refused = world.driver.start(&launch).await;
    assert!(matches!(refused, Err(StartError::Unavailable(_))), "{refused:?}");
    world.driver.stop(&launch.instance, Duration::ZERO).await.unwrap();
    assert!(world.server.object(PODS, NAMESPACE, &name).is_none());
    assert_eq!(world.server.living(), 0, "its processes are gone, too");
}
