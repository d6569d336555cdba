//! StatefulSets: pods with numbers and claims of their own, made anew one by one where the template changes.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{is_going, is_ready, make, pod_of, pods_of, revision, say};
use crate::api::delete;
use crate::cluster::{Cluster, Key};
use crate::value::{Look, object, set};

const REVISION: &str = "controller-revision-hash";

pub fn look(cluster: &Arc<Cluster>) {
    let sets = cluster.kind("apps", "statefulsets");
    for (key, set) in cluster.with(|state| state.of(&sets, "")) {
        if !is_going(&set) {
            keep(cluster, &key, &set);
        }
    }
}

fn keep(cluster: &Cluster, key: &Key, set_: &Value) {
    let wanted = set_.at("/spec/replicas").as_u64().unwrap_or(1);
    let hash = format!("{}-{}", key.name, revision(set_.at("/spec/template")));
    let in_order = set_.text("/spec/podManagementPolicy") != "Parallel";
    let pods = cluster.with(|state| pods_of(state, cluster, &key.namespace, set_));
    let find = |number: u64| pods.iter().find(|(pod, _)| pod.name == format!("{}-{number}", key.name));
    let is_new = |pod: &Value| pod.at("/metadata/labels")[REVISION] == hash.as_str();
    for number in 0..wanted {
        let found = find(number);
        if found.is_none() {
            begin(cluster, key, set_, number, &hash);
        }
        if in_order && !found.is_some_and(|(_, pod)| is_ready(pod)) {
            break;
        }
    }
    // From the last to the first, as long as all others are ready.
    let all_ready = (0..wanted).all(|number| find(number).is_some_and(|(_, pod)| is_ready(pod)));
    let old = (0..wanted).rev().filter_map(find).find(|(_, pod)| !is_new(pod));
    if let Some((pod, _)) = old.filter(|_| all_ready) {
        cluster.with(|state| delete::delete(state, pod, &json!({})));
    }
    let more = pods.iter().filter(|(pod, object)| {
        let number = pod.name.rsplit('-').next().and_then(|number| number.parse::<u64>().ok());
        number.is_none_or(|number| number >= wanted) && !is_going(object)
    });
    for (pod, _) in more {
        cluster.with(|state| delete::delete(state, pod, &json!({})));
    }
    let ready = pods.iter().filter(|(_, pod)| is_ready(pod)).count();
    let updated = pods.iter().filter(|(_, pod)| is_new(pod) && !is_going(pod)).count();
    let before = set_.text("/status/currentRevision");
    let is_over = u64::try_from(updated) == Ok(wanted) && ready == updated;
    let current = if is_over || before.is_empty() { hash.as_str() } else { before };
    let status = json!({
        "observedGeneration": set_.at("/metadata/generation"),
        "replicas": pods.len(),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "currentReplicas": pods.len() - if is_over { 0 } else { updated },
        "updatedReplicas": updated,
        "currentRevision": current,
        "updateRevision": hash,
    });
    say(cluster, key, status);
}

fn begin(cluster: &Cluster, key: &Key, set_: &Value, number: u64, hash: &str) {
    let name = format!("{}-{number}", key.name);
    let mut pod = pod_of(set_.at("/spec/template"), set_);
    set(&mut pod, &["metadata", "name"], name.clone());
    set(&mut pod, &["metadata", "labels", REVISION], hash);
    set(&mut pod, &["metadata", "labels", "statefulset.kubernetes.io/pod-name"], name.clone());
    set(&mut pod, &["metadata", "labels", "apps.kubernetes.io/pod-index"], number.to_string());
    set(&mut pod, &["spec", "hostname"], name.clone());
    set(&mut pod, &["spec", "subdomain"], set_.at("/spec/serviceName").clone());
    for template in set_.list("/spec/volumeClaimTemplates") {
        let volume = template.text("/metadata/name");
        let claim = format!("{volume}-{name}");
        let mut made = json!({ "metadata": template["metadata"], "spec": template["spec"] });
        set(&mut made, &["metadata", "name"], claim.clone());
        make(cluster, set_, cluster.kind("", "persistentvolumeclaims"), made);
        let volumes = object(&mut pod, &["spec"]).entry("volumes").or_insert_with(|| json!([]));
        if let Some(volumes) = volumes.as_array_mut() {
            volumes.push(json!({ "name": volume, "persistentVolumeClaim": { "claimName": claim } }));
        }
    }
    make(cluster, set_, cluster.kind("", "pods"), pod);
}
