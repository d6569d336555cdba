//! Claims get their volumes, and keep them as long as a pod uses them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::status;
use crate::api::create::{PROTECTION, by_cluster};
use crate::api::delete;
use crate::cluster::{Cluster, Key, State};
use crate::value::{Look, object, set};

pub fn look(cluster: &Arc<Cluster>) {
    let claims = cluster.kind("", "persistentvolumeclaims");
    for (key, claim) in cluster.with(|state| state.of(&claims, "")) {
        if claim.has("/metadata/deletionTimestamp") {
            cluster.with(|state| release(state, cluster, &key));
            continue;
        }
        let class = claim.text("/spec/storageClassName");
        let is_known = cluster.settings.storage_classes.contains(&class);
        if claim.text("/status/phase") == "Pending" && is_known {
            cluster.with(|state| bind(state, cluster, &key));
        } else if claim.text("/status/phase") == "Pending" && !claim.has("/status/conditions") {
            let message = format!("storageclass.storage.k8s.io {class:?} not found");
            status::event(cluster, &claim, "Warning", "ProvisioningFailed", &message);
            // Once.
            let told = json!([{ "type": "ProvisioningFailed", "status": "True", "message": message }]);
            cluster.with(|state| state.change(&key, |claim| set(claim, &["status", "conditions"], told)));
        } else if claim.at("/status/capacity/storage") != claim.at("/spec/resources/requests/storage") {
            let size = claim.at("/spec/resources/requests/storage").clone();
            cluster.with(|state| {
                state.change(&key, |claim| set(claim, &["status", "capacity", "storage"], size))
            });
        }
    }
}

fn bind(state: &mut State, cluster: &Cluster, key: &Key) {
    let Some(claim) = state.get(key).cloned() else { return };
    let volume = format!("pvc-{}", claim.text("/metadata/uid"));
    let size = claim.at("/spec/resources/requests/storage").clone();
    let modes = claim.at("/spec/accessModes").clone();
    let of = json!({ "namespace": key.namespace, "name": key.name, "uid": claim.at("/metadata/uid"), "kind": "PersistentVolumeClaim", "apiVersion": "v1" });
    let made = json!({
        "spec": {
            "capacity": { "storage": size },
            "accessModes": modes,
            "claimRef": of,
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": claim.at("/spec/storageClassName"),
        },
        "status": { "phase": "Bound" },
    });
    by_cluster(state, &cluster.kind("", "persistentvolumes"), "", &volume, made);
    state.change(key, |claim| {
        set(claim, &["spec", "volumeName"], volume);
        set(
            claim,
            &["status"],
            json!({ "phase": "Bound", "accessModes": modes, "capacity": { "storage": size } }),
        );
    });
}

/// Lets it go once no pod uses it, on a node or about to be on one.
fn release(state: &mut State, cluster: &Cluster, key: &Key) {
    let uses = |pod: &Value| {
        let volumes = pod.list("/spec/volumes").iter();
        let mounts = volumes
            .map(|volume| volume.text("/persistentVolumeClaim/claimName"))
            .any(|name| name == key.name);
        mounts && !["Succeeded", "Failed"].contains(&pod.text("/status/phase"))
    };
    let pods = state.of(&cluster.kind("", "pods"), &key.namespace);
    if pods.iter().any(|(_, pod)| uses(pod)) {
        return;
    }
    let volume = state.get(key).map(|claim| claim.text("/spec/volumeName").to_owned()).unwrap_or_default();
    state.change(key, |claim| {
        let finalizers = object(claim, &["metadata"]).get_mut("finalizers").and_then(Value::as_array_mut);
        if let Some(finalizers) = finalizers {
            finalizers.retain(|finalizer| finalizer != PROTECTION);
        }
    });
    delete::finish(state, key);
    if state.get(key).is_none() {
        state.remove(&Key::new(&cluster.kind("", "persistentvolumes"), "", &volume));
    }
}
