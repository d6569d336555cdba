//! What a pod's own description says of its instance.

use kubernetes::types::{
    ContainerState, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod, PodCondition,
    PodStatus,
};
use types::placement::FailureReason::{
    Evicted, ImageMissing, NoCapacity, NodeLost, OutOfMemory, Preempted, StartFailed,
};

use super::config::Handover;
use super::pod::{PROGRAM_BRINGER, WORKER};
use super::{names, words};
use crate::drivers::OUT_OF_MEMORY;
use crate::{Cause, InstanceState};

pub fn of(pod: &Pod, handover: Handover) -> InstanceState {
    let Some(status) = &pod.status else { return InstanceState::Pending(None) };
    let state = state_of(status.container_statuses.as_ref(), WORKER);
    let terminated = state.and_then(|state| state.terminated.as_ref());
    if terminated.is_some() || matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) {
        return ended(status, terminated);
    }
    let is_leaving = pod.metadata.deletion_timestamp.is_some();
    let disruption = disruption(status);
    if is_out_of_reach(pod) {
        return InstanceState::Doomed(Cause::new(NodeLost, words::NODE_LOST));
    }
    match (is_leaving, disruption) {
        (true, Some(cause)) => return InstanceState::Doomed(cause),
        (true, None) => return InstanceState::Leaving,
        (false, _) => {}
    }
    let runs = state.is_some_and(|state| state.running.is_some());
    match (has_note(pod, names::TOLD_NOTE), runs) {
        (true, true) => InstanceState::Running,
        (false, true) => InstanceState::Untold,
        // It does not begin without it.
        (false, false) if handover == Handover::Secret => InstanceState::Untold,
        (_, false) => waiting(pod, status, state),
    }
}

/// Whether nothing of it is left but what stands in the API, for as long as a finalizer of somebody else's holds that.
pub fn is_only_held(pod: &Pod) -> bool {
    let meta = &pod.metadata;
    // Its machine has said that it is gone, or it was on none, or nobody asks that machine any more.
    let would_be_gone = meta.deletion_timestamp.is_some() && meta.deletion_grace_period_seconds == Some(0);
    would_be_gone && meta.finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty())
}

/// Whether its machine does not answer: what a pod there does nobody knows, and nobody there removes it.
pub fn is_out_of_reach(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let runs =
        state_of(status.container_statuses.as_ref(), WORKER).is_some_and(|state| state.running.is_some());
    let is_unready = condition(status, "Ready").is_some_and(|ready| match ready.status.as_str() {
        "Unknown" => true,
        // A machine that answers says which containers are not ready. Without probes those that run are.
        "False" => runs && matches!(ready.reason.as_deref(), None | Some("" | "NodeLost")),
        _ => false,
    });
    let was_taken_away = condition(status, "DisruptionTarget").is_some_and(|target| {
        matches!(target.reason.as_deref(), Some("DeletionByTaintManager" | "DeletionByPodGC")) && !runs
    });
    is_unready || was_taken_away || status.reason.as_deref() == Some("NodeLost")
}

/// Whether only events tell what it waits for: a machine has it, and no container has begun.
pub fn waits_in_silence(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(|status| {
        condition(status, "PodScheduled").is_some_and(|scheduled| scheduled.status == "True")
    }) && pod.metadata.deletion_timestamp.is_none()
}

fn ended(status: &PodStatus, worker: Option<&ContainerStateTerminated>) -> InstanceState {
    let said = status.message.as_deref().unwrap_or_default();
    let of_pod = status.reason.as_deref().and_then(|reason| match reason {
        "Evicted" => Some(Cause::new(Evicted, words::evicted(said))),
        "NodeLost" | "Terminated" | "NodeShutdown" | "Shutdown" => {
            Some(Cause::new(NodeLost, words::NODE_DOWN))
        }
        "UnexpectedAdmissionError" | "NodeAffinity" | "NodeName" | "NodePorts" | "TopologyAffinityError" => {
            Some(Cause::new(NoCapacity, words::REFUSED_BY_NODE))
        }
        reason if reason.starts_with("OutOf") => Some(Cause::new(NoCapacity, words::REFUSED_BY_NODE)),
        _ => None,
    });
    let bringer = state_of(status.init_container_statuses.as_ref(), PROGRAM_BRINGER);
    let bringer = bringer.and_then(|state| state.terminated.as_ref()).filter(|ended| ended.exit_code != 0);
    let of_container = worker.or(bringer).and_then(|ended| match ended.reason.as_deref() {
        Some("OOMKilled") => Some(Cause::new(OutOfMemory, OUT_OF_MEMORY)),
        Some("StartError" | "ContainerCannotRun") => Some(Cause::new(StartFailed, words::NOT_STARTED)),
        _ => None,
    });
    let of_program =
        || worker.is_none().then_some(bringer).flatten().map(|_| Cause::new(StartFailed, words::NO_PROGRAM));
    let cause = of_pod.or_else(|| disruption(status)).or(of_container).or_else(of_program);
    let code = worker.map(|ended| ended.exit_code.into());
    cause.map_or(InstanceState::Exited { code }, InstanceState::Broken)
}

/// Why somebody is about to end it, or has.
fn disruption(status: &PodStatus) -> Option<Cause> {
    let target = condition(status, "DisruptionTarget").filter(|target| target.status == "True")?;
    Some(match target.reason.as_deref()? {
        "PreemptionByScheduler" => Cause::new(Preempted, words::PREEMPTED),
        // A machine that is tainted answers; one that does not is known before.
        "EvictionByEvictionAPI" | "DeletionByTaintManager" => Cause::new(Preempted, words::DRAINED),
        "TerminationByKubelet" => {
            Cause::new(Evicted, words::evicted(target.message.as_deref().unwrap_or_default()))
        }
        "DeletionByPodGC" => Cause::new(NodeLost, words::NODE_LOST),
        _ => return None,
    })
}

fn waiting(pod: &Pod, status: &PodStatus, worker: Option<&ContainerState>) -> InstanceState {
    let scheduled = condition(status, "PodScheduled").filter(|scheduled| scheduled.status == "False");
    if let Some(scheduled) = scheduled {
        let said = scheduled.message.as_deref().unwrap_or_default();
        return InstanceState::Pending(match scheduled.reason.as_deref() {
            Some("SchedulingGated") => Some(Cause::new(NoCapacity, words::GATED)),
            _ => Some(words::unschedulable(said)),
        });
    }
    let bringer = state_of(status.init_container_statuses.as_ref(), PROGRAM_BRINGER);
    let waiting = |state: Option<&ContainerState>| state.and_then(|state| state.waiting.clone());
    let (bringer, worker) = (waiting(bringer), waiting(worker));
    let of_bringer = bringer.as_ref().and_then(|waiting| of_waiting(waiting, image(pod, PROGRAM_BRINGER)));
    let of_worker = || worker.as_ref().and_then(|waiting| of_waiting(waiting, image(pod, WORKER)));
    of_bringer.or_else(of_worker).unwrap_or(InstanceState::Pending(None))
}

/// `None`: as any does for a moment.
fn of_waiting(waiting: &ContainerStateWaiting, image: &str) -> Option<InstanceState> {
    let missing = |words: String| Cause::new(ImageMissing, words);
    Some(match waiting.reason.as_deref()? {
        "InvalidImageName" => InstanceState::Broken(missing(words::no_image_name(image))),
        "ErrImageNeverPull" => InstanceState::Broken(missing(words::never_fetched(image))),
        "ErrImagePull"
        | "ImagePullBackOff"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => InstanceState::Pending(Some(missing(words::not_fetched(image)))),
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "PreCreateHookError"
        | "PreStartHookError"
        | "PostStartHookError" => InstanceState::Pending(Some(Cause::new(StartFailed, words::NOT_STARTED))),
        _ => return None,
    })
}

fn image<'a>(pod: &'a Pod, container: &str) -> &'a str {
    let spec = pod.spec.iter();
    let mut all = spec.flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    let found = all.find(|candidate| candidate.name == container);
    found.and_then(|found| found.image.as_deref()).unwrap_or_default()
}

fn state_of<'a>(statuses: Option<&'a Vec<ContainerStatus>>, name: &str) -> Option<&'a ContainerState> {
    statuses?.iter().find(|status| status.name == name)?.state.as_ref()
}

fn condition<'a>(status: &'a PodStatus, kind: &str) -> Option<&'a PodCondition> {
    status.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

fn has_note(pod: &Pod, key: &str) -> bool {
    pod.metadata.annotations.as_ref().is_some_and(|notes| notes.contains_key(key))
}
