//! What a pod's status says in each state, as nodes write it.

use serde_json::{Value, json};

use crate::api::create::by_cluster;
use crate::cluster::Cluster;
use crate::value::{Look, default, now, object, set, set_condition};

fn conditions(pod: &mut Value, is_ready: bool, reason: Option<&str>) {
    for kind in ["Initialized", "Ready", "ContainersReady"] {
        let holds = kind == "Initialized" || is_ready;
        let mut condition = json!({
            "type": kind,
            "status": if holds { "True" } else { "False" },
            "lastProbeTime": null,
            "lastTransitionTime": now(),
        });
        if let Some(reason) = reason.filter(|_| !holds) {
            condition["reason"] = reason.into();
        }
        set_condition(pod, condition);
    }
}

/// A status for each container of a list.
fn containers(pod: &mut Value, list: &str, is_ready: bool, state: impl Fn(&Value) -> Value) {
    let field = if list == "containers" { "containerStatuses" } else { "initContainerStatuses" };
    let before = pod.list(&format!("/status/{field}")).to_vec();
    let one = |container: &Value| {
        let old =
            before.iter().find(|status| status["name"] == container["name"]).cloned().unwrap_or_default();
        json!({
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "containerID": format!("containerd://{}", pod.text("/metadata/uid").replace('-', "")),
            "ready": is_ready,
            "started": is_ready,
            "restartCount": 0,
            "lastState": {},
            "state": state(&old),
        })
    };
    let statuses: Vec<Value> = pod.list(&format!("/spec/{list}")).iter().map(one).collect();
    if !statuses.is_empty() {
        set(pod, &["status", field], statuses);
    }
}

fn done(reason: &str, code: i32, old: &Value) -> Value {
    let began = old.at("/state/running/startedAt");
    let began = if began.is_null() { now().into() } else { began.clone() };
    json!({ "terminated": { "exitCode": code, "reason": reason, "startedAt": began, "finishedAt": now() } })
}

pub fn creating(pod: &mut Value) {
    default(pod, &["status", "startTime"], now());
    let waiting =
        if pod.list("/spec/initContainers").is_empty() { "ContainerCreating" } else { "PodInitializing" };
    containers(pod, "initContainers", false, |_| json!({ "waiting": { "reason": "PodInitializing" } }));
    containers(pod, "containers", false, |_| json!({ "waiting": { "reason": waiting } }));
    conditions(pod, false, Some("ContainersNotReady"));
}

pub fn running(pod: &mut Value) {
    set(pod, &["status", "phase"], "Running");
    containers(pod, "initContainers", true, |old| done("Completed", 0, old));
    containers(pod, "containers", true, |_| json!({ "running": { "startedAt": now() } }));
    conditions(pod, true, None);
}

pub fn waiting(pod: &mut Value, list: &str, reason: &str, message: &str) {
    set(pod, &["status", "phase"], "Pending");
    containers(pod, list, false, |_| json!({ "waiting": { "reason": reason, "message": message } }));
    conditions(pod, false, Some("ContainersNotReady"));
}

pub fn ended(pod: &mut Value, reason: &str, code: i32) {
    set(pod, &["status", "phase"], if code == 0 { "Succeeded" } else { "Failed" });
    containers(pod, "containers", false, |old| done(reason, code, old));
    conditions(pod, false, Some(if code == 0 { "PodCompleted" } else { "PodFailed" }));
}

/// As a whole, not by its container.
pub fn failed(pod: &mut Value, reason: &str, message: &str) {
    set(pod, &["status", "phase"], "Failed");
    set(pod, &["status", "reason"], reason);
    set(pod, &["status", "message"], message);
    let has_begun = pod.has("/status/containerStatuses/0/state/running");
    if has_begun {
        containers(pod, "containers", false, |old| done("ContainerStatusUnknown", 137, old));
    } else {
        object(pod, &["status"]).shift_remove("containerStatuses");
    }
    conditions(pod, false, Some("PodFailed"));
}

pub fn event(cluster: &Cluster, about: &Value, kind: &str, reason: &str, message: &str) {
    let events = cluster.kind("", "events");
    let namespace = about.text("/metadata/namespace").to_owned();
    let name = format!("{}.{:016x}", about.text("/metadata/name"), fastrand::u64(..));
    let event = json!({
        "involvedObject": {
            "kind": about["kind"],
            "apiVersion": about["apiVersion"],
            "namespace": namespace,
            "name": about.at("/metadata/name"),
            "uid": about.at("/metadata/uid"),
        },
        "type": kind,
        "reason": reason,
        "message": message,
        "count": 1,
        "firstTimestamp": now(),
        "lastTimestamp": now(),
        "source": { "component": "kubelet" },
        "reportingComponent": "kubelet",
        "reportingInstance": "",
    });
    cluster.with(|state| by_cluster(state, &events, &namespace, &name, event));
}
