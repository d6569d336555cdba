//! Puts pods on nodes that have room for them, or says why none has.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::status;
use crate::admission::quota::pod_amount;
use crate::cluster::{Cluster, Key, State};
use crate::fields::quantity::milli;
use crate::value::{Look, now, set, set_condition};

pub fn look(cluster: &Arc<Cluster>) {
    let pods = cluster.kind("", "pods");
    let waiting = cluster.with(|state| state.of(&pods, ""));
    let mut used = used(&waiting);
    let is_waiting =
        |pod: &Value| pod.text("/spec/nodeName").is_empty() && !pod.has("/metadata/deletionTimestamp");
    for (key, pod) in waiting.into_iter().filter(|(_, pod)| is_waiting(pod)) {
        if pod.text("/spec/schedulerName") != "default-scheduler" {
            continue;
        }
        let why = cluster.with(|state| place(state, cluster, &key, &mut used));
        if let Some(why) = why {
            status::event(cluster, &pod, "Warning", "FailedScheduling", &why);
        }
    }
}

/// A sentence that is new about a pod for which there is no place.
fn place(state: &mut State, cluster: &Cluster, key: &Key, used: &mut UsedOf) -> Option<String> {
    let pod = state.get(key)?.clone();
    let gates = pod.list("/spec/schedulingGates");
    let found = if gates.is_empty() {
        choose(state, cluster, key, &pod, used).map_err(|why| ("Unschedulable", why))
    } else {
        Err(("SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates".to_owned()))
    };
    let (reason, why) = match found {
        Ok(node) => {
            used.entry(node.clone()).or_default().add(&pod);
            state.change(key, |pod| {
                set(pod, &["spec", "nodeName"], node);
                let condition =
                    json!({ "type": "PodScheduled", "status": "True", "lastTransitionTime": now() });
                set_condition(pod, condition);
            });
            return None;
        }
        Err(found) => found,
    };
    let before =
        pod.list("/status/conditions").iter().find(|condition| condition["type"] == "PodScheduled").cloned();
    if before.is_some_and(|before| before["message"] == why.as_str()) {
        return None;
    }
    state.change(key, |pod| {
        set_condition(
            pod,
            json!({
                "type": "PodScheduled",
                "status": "False",
                "reason": reason,
                "message": why,
                "lastTransitionTime": now(),
            }),
        );
    });
    Some(why)
}

/// What of a node its pods have.
#[derive(Clone, Copy, Default)]
struct Used {
    pods: usize,
    amounts: [i128; 3],
}

type UsedOf = BTreeMap<String, Used>;

const AMOUNTS: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

impl Used {
    fn add(&mut self, pod: &Value) {
        self.pods += 1;
        for (sum, what) in self.amounts.iter_mut().zip(AMOUNTS) {
            *sum += pod_amount(pod, "requests", what);
        }
    }
}

fn used(pods: &[(Key, Arc<Value>)]) -> UsedOf {
    let mut used = UsedOf::new();
    for (_, pod) in pods {
        let node = pod.text("/spec/nodeName");
        if !node.is_empty() && !["Succeeded", "Failed"].contains(&pod.text("/status/phase")) {
            used.entry(node.to_owned()).or_default().add(pod);
        }
    }
    used
}

fn choose(state: &State, cluster: &Cluster, key: &Key, pod: &Value, used: &UsedOf) -> Result<String, String> {
    let nodes = state.of(&cluster.kind("", "nodes"), "");
    let all = nodes.len();
    if let Some(why) = claims(state, cluster, key, pod) {
        return Err(format!("0/{all} nodes are available: {why}."));
    }
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for (node, object) in &nodes {
        let refused = refusals(pod, object, used.get(&node.name).copied().unwrap_or_default());
        if refused.is_empty() {
            return Ok(node.name.clone());
        }
        refused.into_iter().for_each(|reason| *reasons.entry(reason).or_default() += 1);
    }
    if all == 0 {
        return Err("no nodes available to schedule pods".to_owned());
    }
    let words: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let words = words.join(", ");
    Err(format!(
        "0/{all} nodes are available: {words}. preemption: 0/{all} nodes are available: {all} No preemption victims found for incoming pod."
    ))
}

/// Whether what it wants to mount can be.
fn claims(state: &State, cluster: &Cluster, key: &Key, pod: &Value) -> Option<String> {
    let claims = cluster.kind("", "persistentvolumeclaims");
    for volume in pod.list("/spec/volumes") {
        let name = volume.text("/persistentVolumeClaim/claimName");
        if name.is_empty() {
            continue;
        }
        let Some(claim) = state.get(&Key::new(&claims, &key.namespace, name)) else {
            return Some(format!("persistentvolumeclaim {name:?} not found"));
        };
        if claim.has("/metadata/deletionTimestamp") {
            return Some(format!("persistentvolumeclaim {name:?} is being deleted"));
        }
        if claim.text("/status/phase") != "Bound" {
            return Some("pod has unbound immediate PersistentVolumeClaims".to_owned());
        }
        let alone = claim.list("/spec/accessModes").iter().any(|mode| mode == "ReadWriteOncePod");
        if alone && users(state, cluster, &key.namespace, name).iter().any(|user| *user != key.name) {
            return Some("1 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode".to_owned());
        }
    }
    None
}

/// Pods on nodes that mount a claim and have not ended.
fn users(state: &State, cluster: &Cluster, namespace: &str, claim: &str) -> Vec<String> {
    let pods = state.of(&cluster.kind("", "pods"), namespace);
    let uses = |pod: &Value| {
        pod.list("/spec/volumes")
            .iter()
            .any(|volume| volume.text("/persistentVolumeClaim/claimName") == claim)
            && !pod.text("/spec/nodeName").is_empty()
            && !["Succeeded", "Failed"].contains(&pod.text("/status/phase"))
    };
    pods.into_iter().filter(|(_, pod)| uses(pod)).map(|(key, _)| key.name).collect()
}

fn refusals(pod: &Value, node: &Value, used: Used) -> Vec<String> {
    let mut reasons = Vec::new();
    let ready =
        node.list("/status/conditions").iter().any(|it| it["type"] == "Ready" && it["status"] == "True");
    for taint in node.list("/spec/taints") {
        if taint["effect"] != "PreferNoSchedule" && !is_tolerated(pod, taint) {
            let said = taint.text("/value");
            reasons.push(format!("node(s) had untolerated taint {{{}: {said}}}", taint.text("/key")));
        }
    }
    if !ready && node.list("/spec/taints").is_empty() {
        reasons.push("node(s) were not ready".to_owned());
    }
    if node.at("/spec/unschedulable") == true {
        reasons.push("node(s) were unschedulable".to_owned());
    }
    let wanted = pod.at("/spec/nodeSelector").as_object().cloned().unwrap_or_default();
    if wanted.iter().any(|(label, value)| node.at("/metadata/labels")[label] != *value) {
        reasons.push("node(s) didn't match Pod's node affinity/selector".to_owned());
    }
    for (sum, what) in used.amounts.into_iter().zip(AMOUNTS) {
        let Some(room) = milli(node.at(&format!("/status/allocatable/{what}"))) else { continue };
        let more = pod_amount(pod, "requests", what);
        if more > 0 && sum + more > room {
            reasons.push(format!("Insufficient {what}"));
        }
    }
    let most = milli(node.at("/status/allocatable/pods")).unwrap_or_default() / 1000;
    if used.pods as i128 >= most {
        reasons.push("Too many pods".to_owned());
    }
    reasons
}

pub fn is_tolerated(pod: &Value, taint: &Value) -> bool {
    pod.list("/spec/tolerations").iter().any(|toleration| {
        let key = toleration.text("/key");
        let operator = toleration.text("/operator");
        let of_key = (key.is_empty() && operator == "Exists") || key == taint.text("/key");
        let of_value = operator == "Exists" || toleration.text("/value") == taint.text("/value");
        let effect = toleration.text("/effect");
        of_key && of_value && (effect.is_empty() || effect == taint.text("/effect"))
    })
}
