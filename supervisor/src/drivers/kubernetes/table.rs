//! What pods say of themselves in each state that Kubernetes knows, and what follows from it.

use kubernetes::types::Pod;
use serde_json::{Value, json};
use types::placement::FailureReason::{
    self, Evicted, ImageMissing, NoCapacity, NodeLost, OutOfMemory, Preempted, StartFailed, VolumeUnavailable,
};
use types::{Epoch, SandboxId};

use super::config::{Config, Handover};
use super::{names, pod, verdict};
use crate::{Instance, InstanceState};

fn config() -> Config {
    Config::new("default".to_owned(), "agents/image:1".to_owned(), "control:1".to_owned())
}

/// A pod of ours, with this status.
fn with(status: Value) -> Pod {
    let instance = Instance { sandbox: SandboxId::shared(), epoch: Epoch(1) };
    let mut made = pod::of(&config(), &instance, pod::Surroundings::default());
    made.status = serde_json::from_value(status).unwrap();
    made
}

fn told(mut pod: Pod) -> Pod {
    let notes = pod.metadata.annotations.get_or_insert_default();
    notes.insert(names::TOLD_NOTE.to_owned(), "true".to_owned());
    pod
}

fn leaving(mut pod: Pod) -> Pod {
    pod.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-30T10:00:00Z")).unwrap();
    pod
}

fn verdict(pod: &Pod) -> InstanceState {
    verdict::of(pod, Handover::Attach)
}

/// The kind of the state, and its reason and words where it has them.
fn reason(state: &InstanceState) -> (&'static str, Option<FailureReason>) {
    match state {
        InstanceState::Pending(cause) => ("pending", cause.as_ref().map(|cause| cause.reason)),
        InstanceState::Untold => ("untold", None),
        InstanceState::Running => ("running", None),
        InstanceState::Doomed(cause) => ("doomed", Some(cause.reason)),
        InstanceState::Exited { .. } => ("exited", None),
        InstanceState::Broken(cause) => ("broken", Some(cause.reason)),
        InstanceState::Leaving => ("leaving", None),
    }
}

fn words(state: &InstanceState) -> &str {
    match state {
        InstanceState::Pending(Some(cause)) | InstanceState::Doomed(cause) | InstanceState::Broken(cause) => {
            &cause.message
        }
        _ => "",
    }
}

fn scheduled() -> Value {
    json!({ "type": "PodScheduled", "status": "True" })
}

fn container(state: Value) -> Value {
    json!([{ "name": "worker", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state }])
}

fn bringer(state: Value) -> Value {
    json!([{ "name": "program", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state }])
}

fn running(ready: Value) -> Value {
    json!({
        "phase": "Running",
        "conditions": [scheduled(), ready],
        "containerStatuses": container(json!({ "running": { "startedAt": "2026-11-30T09:00:00Z" } })),
    })
}

fn is_ready() -> Value {
    json!({ "type": "Ready", "status": "True" })
}

fn waits(reason: &str) -> Pod {
    let state = json!({ "waiting": { "reason": reason, "message": "of the inside" } });
    with(json!({ "phase": "Pending", "conditions": [scheduled()], "containerStatuses": container(state) }))
}

fn unschedulable(message: &str) -> Pod {
    let condition =
        json!({ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message });
    with(json!({ "phase": "Pending", "conditions": [condition] }))
}

fn disrupted(reason: &str, message: &str) -> Value {
    json!({ "type": "DisruptionTarget", "status": "True", "reason": reason, "message": message })
}

fn failed(reason: &str, message: &str) -> Pod {
    with(json!({ "phase": "Failed", "reason": reason, "message": message }))
}

fn ended(state: Value) -> Pod {
    with(json!({ "phase": "Failed", "containerStatuses": container(json!({ "terminated": state })) }))
}

#[test]
fn a_pod_that_was_just_made_is_pending_and_says_nothing() {
    assert_eq!(verdict(&with(Value::Null)), InstanceState::Pending(None));
    assert_eq!(verdict(&with(json!({ "phase": "Pending" }))), InstanceState::Pending(None));
    for reason in ["ContainerCreating", "PodInitializing"] {
        assert_eq!(verdict(&waits(reason)), InstanceState::Pending(None));
        assert!(verdict::waits_in_silence(&waits(reason)));
    }
}

#[test]
fn an_image_that_may_come_is_waited_for_and_one_that_never_will_is_not() {
    for may_come in [
        "ErrImagePull",
        "ImagePullBackOff",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    ] {
        let state = verdict(&waits(may_come));
        assert_eq!(reason(&state), ("pending", Some(ImageMissing)), "{may_come}");
        assert_eq!(words(&state), "The image agents/image:1 cannot be fetched so far.");
    }
    for never in ["InvalidImageName", "ErrImageNeverPull"] {
        assert_eq!(reason(&verdict(&waits(never))), ("broken", Some(ImageMissing)), "{never}");
    }
    let of_program = json!({ "waiting": { "reason": "ImagePullBackOff" } });
    let pod = with(json!({
        "phase": "Pending", "conditions": [scheduled()],
        "initContainerStatuses": bringer(of_program),
        "containerStatuses": container(json!({ "waiting": { "reason": "PodInitializing" } })),
    }));
    assert_eq!(words(&verdict(&pod)), "The image control:1 cannot be fetched so far.");
}

#[test]
fn what_no_machine_has_room_for_waits_and_says_what_is_lacking() {
    let state = verdict(&unschedulable(
        "0/5 nodes are available: 2 Insufficient cpu, 3 Insufficient memory, 1 node(s) had untolerated taint {secret: x}.",
    ));
    assert_eq!(reason(&state), ("pending", Some(NoCapacity)));
    assert_eq!(words(&state), "No machine of the cluster has room for the sandbox (processors, memory).");
    let other =
        verdict(&unschedulable("0/6 nodes are available: 4 Insufficient memory, 2 Insufficient cpu."));
    assert_eq!(words(&state), words(&other), "however many machines they are");
    let tainted =
        verdict(&unschedulable("0/1 nodes are available: 1 node(s) had untolerated taint {secret: x}."));
    assert_eq!(words(&tainted), "No machine of the cluster may run the sandbox.");
    let gated = json!({ "type": "PodScheduled", "status": "False", "reason": "SchedulingGated" });
    let gated = verdict(&with(json!({ "phase": "Pending", "conditions": [gated] })));
    assert_eq!(reason(&gated), ("pending", Some(NoCapacity)));
}

#[test]
fn a_volume_that_cannot_be_had_is_told_as_such() {
    for message in [
        "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
        "0/3 nodes are available: 3 node(s) had volume node affinity conflict.",
        "0/3 nodes are available: persistentvolumeclaim \"mh-a\" not found.",
    ] {
        assert_eq!(
            reason(&verdict(&unschedulable(message))),
            ("pending", Some(VolumeUnavailable)),
            "{message}"
        );
    }
    for event in ["FailedMount", "FailedAttachVolume"] {
        assert_eq!(super::words::of_event(event).unwrap().reason, VolumeUnavailable);
    }
    assert_eq!(super::words::of_event("Pulled"), None);
}

#[test]
fn a_container_that_cannot_be_made_waits_and_says_so() {
    for waiting in ["CreateContainerConfigError", "CreateContainerError", "RunContainerError"] {
        let state = verdict(&waits(waiting));
        assert_eq!(reason(&state), ("pending", Some(StartFailed)), "{waiting}");
        assert!(!words(&state).contains("inside"));
    }
    for broken in ["StartError", "ContainerCannotRun"] {
        let state = verdict(&ended(json!({ "exitCode": 128, "reason": broken })));
        assert_eq!(reason(&state), ("broken", Some(StartFailed)), "{broken}");
    }
}

#[test]
fn one_that_runs_is_told_once() {
    let runs = with(running(is_ready()));
    assert_eq!(verdict(&runs), InstanceState::Untold);
    assert_eq!(verdict(&told(runs)), InstanceState::Running);
    let waits = with(json!({ "phase": "Pending" }));
    assert_eq!(verdict::of(&waits, Handover::Secret), InstanceState::Untold, "it would never run");
    assert_eq!(verdict::of(&told(waits), Handover::Secret), InstanceState::Pending(None));
}

#[test]
fn what_a_machine_refuses_after_all_is_no_capacity() {
    for refused in ["OutOfcpu", "OutOfmemory", "OutOfpods", "NodeAffinity", "UnexpectedAdmissionError"] {
        let state = verdict(&failed(refused, "Pod was rejected"));
        assert_eq!(reason(&state), ("broken", Some(NoCapacity)), "{refused}");
    }
}

#[test]
fn an_end_is_told_by_its_code_and_one_for_want_of_memory_as_such() {
    let code = |code: i64| verdict(&ended(json!({ "exitCode": code, "reason": "Error" })));
    assert_eq!(code(3), InstanceState::Exited { code: Some(3) });
    assert_eq!(code(137), InstanceState::Exited { code: Some(137) });
    let done = json!({ "terminated": { "exitCode": 0, "reason": "Completed" } });
    let done = with(json!({ "phase": "Succeeded", "containerStatuses": container(done) }));
    assert_eq!(verdict(&done), InstanceState::Exited { code: Some(0) });
    let killed = verdict(&ended(json!({ "exitCode": 137, "reason": "OOMKilled" })));
    assert_eq!(reason(&killed), ("broken", Some(OutOfMemory)));
    let unknown = verdict(&ended(json!({ "exitCode": 137, "reason": "ContainerStatusUnknown" })));
    assert_eq!(unknown, InstanceState::Exited { code: Some(137) });
    assert_eq!(verdict(&failed("DeadlineExceeded", "")), InstanceState::Exited { code: None });
}

#[test]
fn a_program_that_could_not_be_put_into_it_is_a_failed_start() {
    let state = json!({ "terminated": { "exitCode": 1, "reason": "Error" } });
    let pod = with(json!({
        "phase": "Failed", "initContainerStatuses": bringer(state),
        "containerStatuses": container(json!({ "waiting": { "reason": "PodInitializing" } })),
    }));
    assert_eq!(reason(&verdict(&pod)), ("broken", Some(StartFailed)));
}

#[test]
fn an_eviction_says_what_the_machine_had_too_little_of() {
    let state = verdict(&failed("Evicted", "The node was low on resource: ephemeral-storage. Threshold …"));
    assert_eq!(reason(&state), ("broken", Some(Evicted)));
    assert_eq!(words(&state), "The machine ended the sandbox: it had too little left (disk).");
    let own = verdict(&failed("Evicted", "Usage of EmptyDir volume \"tmp\" exceeds the limit \"512Mi\"."));
    assert!(words(&own).contains("it had written more than it may"), "{}", words(&own));
    let by_pressure = with(json!({
        "phase": "Failed",
        "conditions": [disrupted("TerminationByKubelet", "The node was low on resource: memory.")],
        "containerStatuses": container(json!({ "terminated": { "exitCode": 143, "reason": "Error" } })),
    }));
    assert_eq!(
        words(&verdict(&by_pressure)),
        "The machine ended the sandbox: it had too little left (memory)."
    );
}

#[test]
fn who_has_to_give_way_may_finish_and_is_known_to_have_given_way() {
    for by in ["PreemptionByScheduler", "EvictionByEvictionAPI", "DeletionByTaintManager"] {
        let mut status = running(is_ready());
        status["conditions"].as_array_mut().unwrap().push(disrupted(by, ""));
        let pod = told(with(status));
        assert_eq!(verdict(&pod), InstanceState::Running, "it is only about to be");
        assert_eq!(reason(&verdict(&leaving(pod))), ("doomed", Some(Preempted)), "{by}");
        let terminated = json!({ "terminated": { "exitCode": 0, "reason": "Completed" } });
        let over = with(json!({
            "phase": "Running", "conditions": [disrupted(by, "")], "containerStatuses": container(terminated),
        }));
        assert_eq!(reason(&verdict(&leaving(over))), ("broken", Some(Preempted)));
    }
    assert_eq!(verdict(&leaving(told(with(running(is_ready()))))), InstanceState::Leaving, "by hand");
}

#[test]
fn what_finalizers_hold_is_gone_once_its_machine_has_said_so() {
    let held = |grace: i64| {
        let mut pod = leaving(with(running(is_ready())));
        pod.metadata.deletion_grace_period_seconds = Some(grace);
        pod.metadata.finalizers = Some(vec!["a.example/b".to_owned()]);
        pod
    };
    assert!(verdict::is_only_held(&held(0)));
    assert!(!verdict::is_only_held(&held(1)), "it may still run");
    let mut free = held(0);
    free.metadata.finalizers = None;
    assert!(!verdict::is_only_held(&free));
}

#[test]
fn a_machine_that_does_not_answer_is_known_by_its_pods() {
    let unready = |reason: Value, status: &str| {
        told(with(running(json!({ "type": "Ready", "status": status, "reason": reason }))))
    };
    for lost in
        [unready(Value::Null, "Unknown"), unready(Value::Null, "False"), unready(json!("NodeLost"), "False")]
    {
        assert_eq!(reason(&verdict(&lost)), ("doomed", Some(NodeLost)));
        assert!(verdict::is_out_of_reach(&lost));
        assert_eq!(reason(&verdict(&leaving(lost))), ("doomed", Some(NodeLost)), "it leaves for ever");
    }
    let answers = unready(json!("ContainersNotReady"), "False");
    assert_eq!(verdict(&answers), InstanceState::Running, "the machine says so itself");
    assert!(!verdict::is_out_of_reach(&answers));

    // Its time there is over, and nobody there says that it has ended.
    let never_ran = json!({
        "phase": "Pending", "conditions": [scheduled(), disrupted("DeletionByTaintManager", "")],
        "containerStatuses": container(json!({ "waiting": { "reason": "ContainerCreating" } })),
    });
    let never_ran = leaving(with(never_ran));
    assert!(verdict::is_out_of_reach(&never_ran));
    assert_eq!(reason(&verdict(&never_ran)), ("doomed", Some(NodeLost)));

    for down in ["Terminated", "NodeShutdown"] {
        let state = verdict(&failed(down, "Pod was terminated in response to imminent node shutdown."));
        assert_eq!(reason(&state), ("broken", Some(NodeLost)), "{down}");
    }
    let of_old = told(with(json!({
        "phase": "Running", "reason": "NodeLost",
        "message": "Node n which was running pod p is unresponsive",
        "containerStatuses": container(json!({ "running": {} })),
    })));
    assert_eq!(reason(&verdict(&leaving(of_old))), ("doomed", Some(NodeLost)));
}
