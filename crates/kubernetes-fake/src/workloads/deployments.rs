//! Deployments by ReplicaSets: the new one comes up whole, and then the older ones go.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{is_active, is_going, is_owned, is_ready, make, owner_of, pod_of, pods_of, revision, say};
use crate::api::delete;
use crate::cluster::{Cluster, Key};
use crate::value::{Look, set};

pub fn look(cluster: &Arc<Cluster>) {
    let deployments = cluster.kind("apps", "deployments");
    for (key, deployment) in cluster.with(|state| state.of(&deployments, "")) {
        if !is_going(&deployment) {
            roll(cluster, &key, &deployment);
        }
    }
    let sets = cluster.kind("apps", "replicasets");
    for (key, set) in cluster.with(|state| state.of(&sets, "")) {
        if !is_going(&set) {
            replicate(cluster, &key, &set);
        }
    }
}

fn roll(cluster: &Cluster, key: &Key, deployment: &Value) {
    let kind = cluster.kind("apps", "replicasets");
    let template = deployment.at("/spec/template");
    let hash = revision(template);
    let name = format!("{}-{hash}", key.name);
    let wanted = deployment.at("/spec/replicas").as_u64().unwrap_or(1);
    let all = cluster.with(|state| state.of(&kind, &key.namespace));
    let mine: Vec<_> = all.into_iter().filter(|(_, set)| is_owned(set, deployment)).collect();
    let Some((new, current)) = mine.iter().find(|(set, _)| set.name == name) else {
        let mut template = template.clone();
        set(&mut template, &["metadata", "labels", "pod-template-hash"], hash.clone());
        let mut selector = deployment.at("/spec/selector").clone();
        set(&mut selector, &["matchLabels", "pod-template-hash"], hash);
        let made = json!({
            "metadata": {
                "name": name,
                "labels": template.at("/metadata/labels"),
                "ownerReferences": owner_of(deployment),
            },
            "spec": { "replicas": wanted, "selector": selector, "template": template },
        });
        return make(cluster, deployment, kind, made);
    };
    cluster.with(|state| state.change(new, |current| set(current, &["spec", "replicas"], wanted)));
    let ready = current.at("/status/readyReplicas").as_u64().unwrap_or_default();
    let is_done = ready >= wanted;
    for (old, set_) in mine.iter().filter(|(set, _)| set.name != name) {
        if is_done && set_.at("/spec/replicas") != 0 {
            cluster.with(|state| state.change(old, |old| set(old, &["spec", "replicas"], 0)));
        }
    }
    let counts = |field: &str| -> u64 {
        mine.iter().map(|(_, set)| set.at(&format!("/status/{field}")).as_u64().unwrap_or_default()).sum()
    };
    let all_ready = counts("readyReplicas");
    let condition = |kind: &str, holds: bool, reason: &str| json!({ "type": kind, "status": if holds { "True" } else { "False" }, "reason": reason });
    let progress = if is_done { "NewReplicaSetAvailable" } else { "ReplicaSetUpdated" };
    let status = json!({
        "observedGeneration": deployment.at("/metadata/generation"),
        "replicas": counts("replicas"),
        "updatedReplicas": current.at("/status/replicas").as_u64().unwrap_or_default(),
        "readyReplicas": all_ready,
        "availableReplicas": all_ready,
        "unavailableReplicas": wanted.saturating_sub(all_ready),
        "conditions": [
            condition("Available", is_done, "MinimumReplicasAvailable"),
            condition("Progressing", true, progress),
        ],
    });
    say(cluster, key, status);
}

fn replicate(cluster: &Cluster, key: &Key, set_: &Value) {
    let pods = cluster.with(|state| pods_of(state, cluster, &key.namespace, set_));
    let active: Vec<_> = pods.iter().filter(|(_, pod)| is_active(pod)).collect();
    let wanted = usize::try_from(set_.at("/spec/replicas").as_u64().unwrap_or(1)).unwrap_or_default();
    for _ in active.len()..wanted {
        let mut pod = pod_of(set_.at("/spec/template"), set_);
        set(&mut pod, &["metadata", "generateName"], format!("{}-", key.name));
        make(cluster, set_, cluster.kind("", "pods"), pod);
    }
    for (pod, _) in active.iter().skip(wanted) {
        cluster.with(|state| delete::delete(state, pod, &json!({})));
    }
    let ready = active.iter().filter(|(_, pod)| is_ready(pod)).count();
    let status = json!({
        "observedGeneration": set_.at("/metadata/generation"),
        "replicas": active.len(),
        "readyReplicas": ready,
        "availableReplicas": ready,
    });
    say(cluster, key, status);
}
