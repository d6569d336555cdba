//! How pods end, and that machines are lost.

use std::time::Duration;

use kubernetes::types::Pod as ApiPod;
use kubernetes_fake::{Node, Pod, Settings};
use manyhands_supervisor::{Cause, Driver, InstanceState};
use serde_json::json;
use tokio::time::timeout;
use types::placement::FailureReason;

use super::suite::{Place, launch};
use super::world::{NAMESPACE, PODS, World, world, world_with};

/// Of a pod whose only act is this.
async fn ended(act: impl Fn(&Pod) + Send + Sync + Clone + 'static) -> Option<Cause> {
    let world = world("").await;
    world.server.on_pod(move |pod: Pod| {
        let act = act.clone();
        async move {
            pod.running();
            act(&pod);
        }
    });
    let launch = launch("a", 1);
    world.driver.start(&launch).await.unwrap();
    let over = async || {
        let states = world.states().await;
        matches!(states[..], [InstanceState::Broken(_) | InstanceState::Exited { .. }])
    };
    world.until(over).await;
    let state = world.states().await.remove(0);
    world.driver.stop(&launch.instance, Duration::ZERO).await.unwrap();
    assert_eq!(world.pods(), 0);
    match state {
        InstanceState::Broken(cause) => Some(cause),
        _ => None,
    }
}

#[tokio::test]
async fn an_end_is_told_by_its_reason() {
    let memory = ended(|pod| pod.ended("OOMKilled", 137)).await.unwrap();
    assert_eq!(memory.reason, FailureReason::OutOfMemory);
    let evicted = ended(|pod| pod.evicted("The node was low on resource: memory. Threshold quantity: …"))
        .await
        .unwrap();
    assert_eq!(evicted.reason, FailureReason::Evicted);
    assert_eq!(evicted.message, "The machine ended the sandbox: it had too little left (memory).");
    let refused = ended(|pod| pod.failed("OutOfmemory", "Node didn't have enough resource")).await.unwrap();
    assert_eq!(refused.reason, FailureReason::NoCapacity);
    let down =
        ended(|pod| pod.failed("Terminated", "Pod was terminated in response to imminent node shutdown."))
            .await;
    assert_eq!(down.unwrap().reason, FailureReason::NodeLost);
    assert_eq!(ended(|pod| pod.exited(3)).await, None);
}

/// Two machines, time on which passes so much faster.
async fn two_machines(pace: f64) -> World {
    let nodes = vec![Node::new("one"), Node::new("two")];
    let script = "read -r spec; cat work; echo of-a-day > work; echo up; exec sleep 1000";
    world_with(script, Settings { nodes, pace, ..Settings::default() }, |_| {}).await
}

fn node(world: &World) -> String {
    world.pod()["spec"]["nodeName"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_machine_that_is_lost_is_told_and_its_pod_is_forgotten_only_when_that_is_asked_for() {
    let world = two_machines(40.0).await;
    let (first, second) = (launch("a", 1), launch("a", 2));
    world.run(&first).await;
    world.log_with(&first.instance, "up").await;
    let lost = node(&world);
    world.server.lose_node(&lost);
    let is_doomed = async || match &world.states().await[..] {
        [InstanceState::Doomed(cause)] => cause.reason == FailureReason::NodeLost,
        _ => false,
    };
    world.until(is_doomed).await;
    // Its time there is over, and nobody there hears of it.
    world.until(async || !world.pod()["metadata"]["deletionTimestamp"].is_null()).await;
    assert!(is_doomed().await && world.pods() == 1);
    world.driver.stop(&first.instance, Duration::from_secs(10)).await.unwrap();
    assert_eq!((world.pods(), world.server.living()), (0, 1), "it goes on there, fenced");

    // Its volume is taken from that machine some minutes later.
    world.driver.start(&second).await.unwrap();
    world.run(&second).await;
    assert_ne!(node(&world), lost);
    world.log_with(&second.instance, "of-a-day").await;
    world.server.return_node(&lost);
    world.until(async || world.server.living() == 1).await;
}

/// Leases run out before the cluster knows that a machine is lost. Who ends a worker for that reason is to learn the other.
#[tokio::test]
async fn a_machine_that_is_lost_while_a_pod_is_ended_is_seen_before_the_pod_is_forgotten() {
    let world = two_machines(40.0).await;
    let launch = launch("a", 1);
    world.run(&launch).await;
    world.log_with(&launch.instance, "up").await;
    world.server.lose_node(&node(&world));
    let ended = world.driver.stop(&launch.instance, Duration::ZERO).await;
    assert!(matches!(ended, Err(ports::Error::Unavailable(_))), "{ended:?}");
    let states = world.states().await;
    let [InstanceState::Doomed(cause)] = &states[..] else { panic!("{states:?}") };
    assert_eq!(cause.reason, FailureReason::NodeLost);
    world.driver.stop(&launch.instance, Duration::ZERO).await.unwrap();
    assert_eq!(world.pods(), 0);
}

#[tokio::test]
async fn a_machine_that_comes_back_in_time_has_lost_nothing() {
    let world = two_machines(40.0).await;
    let launch = launch("a", 1);
    world.run(&launch).await;
    let lost = node(&world);
    world.server.lose_node(&lost);
    world.until(async || matches!(world.states().await[..], [InstanceState::Doomed(_)])).await;
    world.server.return_node(&lost);
    world.until(async || world.states().await == [InstanceState::Running]).await;
}

#[tokio::test]
async fn on_a_machine_that_answers_nothing_is_removed_by_force() {
    let world = world("read -r spec; trap '' TERM; echo up; while true; do sleep 0.05; done").await;
    let launch = launch("a", 1);
    world.run(&launch).await;
    world.log_with(&launch.instance, "up").await;
    world.driver.stop(&launch.instance, Duration::ZERO).await.unwrap();
    assert_eq!((world.pods(), world.server.living()), (0, 0), "when it is gone it is");
}

#[tokio::test]
async fn who_has_to_give_way_is_known_to_have_when_it_is_gone() {
    let world =
        world("read -r spec; trap 'sleep 0.3; exit 0' TERM; echo up; while true; do sleep 0.05; done").await;
    let launch = launch("a", 1);
    world.run(&launch).await;
    world.log_with(&launch.instance, "up").await;
    let name = world.name();
    world.server.change(PODS, NAMESPACE, &name, |pod| {
        let condition =
            json!({ "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler" });
        pod["status"]["conditions"].as_array_mut().unwrap().push(condition);
    });
    assert_eq!(world.states().await, [InstanceState::Running]);
    world.operator().await.objects::<ApiPod>().delete(&name, None, None).await.unwrap();
    let states = world.states().await;
    let [InstanceState::Doomed(cause)] = &states[..] else { panic!("{states:?}") };
    assert_eq!(cause.reason, FailureReason::Preempted);
    world.until(async || world.states().await.is_empty()).await;
}

#[tokio::test]
async fn a_pod_that_only_a_finalizer_holds_is_in_nobodys_way() {
    let world = world("read -r spec; echo up; exec sleep 1000").await;
    let (first, second) = (launch("a", 1), launch("a", 2));
    world.run(&first).await;
    world.log_with(&first.instance, "up").await;
    let name = world.name();
    world.server.change(PODS, NAMESPACE, &name, |pod| {
        pod["metadata"]["finalizers"] = json!(["policy.example/record"]);
    });
    let stopping = world.driver.stop(&first.instance, Duration::ZERO);
    timeout(Duration::from_secs(15), stopping).await.expect("it is waited for").unwrap();
    assert_eq!((world.pods(), world.server.living()), (1, 0), "the API still has it");
    assert_eq!(world.states().await, []);
    world.run(&second).await;
    world.log_with(&second.instance, "up").await;
    assert_eq!(world.states().await, [InstanceState::Running]);
}
