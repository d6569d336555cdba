//! Nodes: what they have, and what the cluster does about those of which nothing is heard.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Value, json};

use super::kubelet;
use crate::api::create::by_cluster;
use crate::api::delete;
use crate::cluster::{Cluster, Key, State};
use crate::settings::Node;
use crate::value::{Look, now, set, set_condition, unset};

/// Until a silent node counts as gone.
const SILENT: f64 = 40.0;
/// Until pods that tolerate nothing else are deleted there.
const TOLERATED: u64 = 300;
/// Until a volume is taken from a node by force.
const ATTACHED: f64 = 360.0;

const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

pub fn add(cluster: &Cluster, node: &Node) {
    let room = json!({ "cpu": node.cpu, "memory": node.memory, "pods": node.pods.to_string(), "ephemeral-storage": "100Gi" });
    let mut labels = json!({ "kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64" });
    for (label, value) in &node.labels {
        labels[*label] = (*value).into();
    }
    let object = json!({
        "metadata": { "labels": labels },
        "spec": {},
        "status": {
            "capacity": room,
            "allocatable": room,
            "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": now() }],
            "nodeInfo": { "kubeletVersion": "v1.35.0", "operatingSystem": "linux", "architecture": "amd64" },
            "runtimeHandlers": node.runtimes.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
        },
    });
    cluster.with(|state| by_cluster(state, &cluster.kind("", "nodes"), "", &node.name, object));
}

/// From now on nothing is heard of it, and it hears nothing. What runs there goes on.
pub fn lose(cluster: &Arc<Cluster>, node: &str) {
    cluster.lost.lock().insert(node.to_owned());
    tokio::spawn(silence(cluster.clone(), node.to_owned()));
}

async fn silence(cluster: Arc<Cluster>, node: String) {
    let is_lost = || cluster.lost.lock().contains(&node);
    tokio::time::sleep(cluster.settings.seconds(SILENT)).await;
    if !is_lost() {
        return;
    }
    cluster.with(|state| unknown(state, &cluster, &node));
    // The shortest toleration decides when the first go.
    let mut passed = 0;
    while passed < TOLERATED {
        let next =
            cluster.with(|state| tolerated(state, &cluster, &node)).into_iter().find(|at| *at > passed);
        let until = next.unwrap_or(TOLERATED).min(TOLERATED);
        tokio::time::sleep(cluster.settings.seconds((until - passed) as f64)).await;
        passed = until;
        if !is_lost() {
            return;
        }
        cluster.with(|state| evict(state, &cluster, &node, passed));
    }
}

fn key(cluster: &Cluster, node: &str) -> Key {
    Key::new(&cluster.kind("", "nodes"), "", node)
}

fn pods_on(state: &State, cluster: &Cluster, node: &str) -> Vec<(Key, Arc<Value>)> {
    let pods = state.of(&cluster.kind("", "pods"), "");
    pods.into_iter().filter(|(_, pod)| pod.text("/spec/nodeName") == node).collect()
}

fn unknown(state: &mut State, cluster: &Cluster, node: &str) {
    state.change(&key(cluster, node), |object| {
        set_condition(
            object,
            json!({
                "type": "Ready",
                "status": "Unknown",
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
                "lastTransitionTime": now(),
            }),
        );
        let taints: Vec<Value> = ["NoSchedule", "NoExecute"]
            .map(|effect| json!({ "key": UNREACHABLE, "effect": effect, "timeAdded": now() }))
            .into();
        set(object, &["spec", "taints"], taints);
    });
    for (key, _) in pods_on(state, cluster, node) {
        state.change(&key, |pod| {
            set_condition(pod, json!({ "type": "Ready", "status": "False", "lastTransitionTime": now() }));
        });
    }
}

fn toleration(pod: &Value) -> Option<u64> {
    let mut all = pod.list("/spec/tolerations").iter();
    let found = all.find(|toleration| {
        let key = toleration.text("/key");
        (key == UNREACHABLE || key.is_empty()) && ["NoExecute", ""].contains(&toleration.text("/effect"))
    });
    match found {
        None => Some(0),
        Some(toleration) => toleration["tolerationSeconds"].as_u64(),
    }
}

fn tolerated(state: &State, cluster: &Cluster, node: &str) -> Vec<u64> {
    let mut all: Vec<u64> =
        pods_on(state, cluster, node).iter().filter_map(|(_, pod)| toleration(pod)).collect();
    all.sort_unstable();
    all
}

fn evict(state: &mut State, cluster: &Cluster, node: &str, passed: u64) {
    for (key, pod) in pods_on(state, cluster, node) {
        if pod.has("/metadata/deletionTimestamp") || toleration(&pod).is_none_or(|seconds| seconds > passed) {
            continue;
        }
        state.change(&key, |pod| {
            set(pod, &["status", "reason"], "NodeLost");
            let message = format!("Node {node} which was running pod {} is unresponsive", key.name);
            set(pod, &["status", "message"], message);
            set_condition(
                pod,
                json!({
                    "type": "DisruptionTarget",
                    "status": "True",
                    "reason": "DeletionByTaintManager",
                    "message": format!("Taint manager: deleting due to NoExecute taint"),
                    "lastTransitionTime": now(),
                }),
            );
        });
        delete::delete(state, &key, &json!({}));
    }
}

pub fn back(cluster: &Arc<Cluster>, node: &str) {
    cluster.with(|state| {
        state.change(&key(cluster, node), |object| {
            set_condition(object, json!({ "type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": now() }));
            unset(object, &["spec", "taints"]);
        });
        for (key, pod) in pods_on(state, cluster, node) {
            if pod.text("/status/phase") == "Running" {
                state.change(&key, |pod| {
                    set_condition(pod, json!({ "type": "Ready", "status": "True", "lastTransitionTime": now() }));
                });
            }
        }
    });
    kubelet::return_of(cluster, node);
}

/// Pods of nodes that are gone for certain go, too.
pub fn collect(cluster: &Arc<Cluster>) {
    let nodes = cluster.with(|state| state.of(&cluster.kind("", "nodes"), ""));
    for (key, pod) in cluster.with(|state| state.of(&cluster.kind("", "pods"), "")) {
        let name = pod.text("/spec/nodeName");
        if name.is_empty() {
            continue;
        }
        let node = nodes.iter().find(|(key, _)| key.name == name).map(|(_, node)| node);
        let is_out = node
            .is_some_and(|node| node.list("/spec/taints").iter().any(|taint| taint["key"] == OUT_OF_SERVICE));
        let goes = node.is_none() || (is_out && pod.has("/metadata/deletionTimestamp"));
        if !goes {
            continue;
        }
        if let Some(live) = cluster.live.lock().get(pod.text("/metadata/uid")) {
            live.is_detached.store(true, Relaxed);
        }
        cluster.with(|state| {
            state.change(&key, |pod| {
                set_condition(
                    pod,
                    json!({
                        "type": "DisruptionTarget",
                        "status": "True",
                        "reason": "DeletionByPodGC",
                        "message": "PodGC: node no longer exists",
                        "lastTransitionTime": now(),
                    }),
                );
            });
            delete::delete(state, &key, &json!({ "gracePeriodSeconds": 0 }));
        });
    }
}

/// What lost nodes still hold of pods that the API has forgotten is taken from them in time.
pub async fn detach(cluster: Arc<Cluster>, uid: String) {
    tokio::time::sleep(cluster.settings.seconds(ATTACHED)).await;
    if let Some(live) = cluster.live.lock().get(&uid) {
        live.is_detached.store(true, Relaxed);
    }
    cluster.nudge();
}
