//! Deployments, StatefulSets and Jobs: what makes pods of templates, and says how far it is.

mod deployments;
mod jobs;
mod stateful;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::api::create::create;
use crate::api::{Request, Target};
use crate::cluster::{Cluster, Key, State, User};
use crate::kinds::Kind;
use crate::pods::event;
use crate::value::{Look, set};

pub fn look(cluster: &Arc<Cluster>) {
    deployments::look(cluster);
    stateful::look(cluster);
    jobs::look(cluster);
}

/// Goes with the template.
fn revision(template: &Value) -> String {
    let mut hasher = DefaultHasher::new();
    template.to_string().hash(&mut hasher);
    format!("{:08x}", hasher.finish() & 0xffff_ffff)
}

/// Pods that somebody controls.
fn pods_of(state: &State, cluster: &Cluster, namespace: &str, owner: &Value) -> Vec<(Key, Arc<Value>)> {
    let pods = state.of(&cluster.kind("", "pods"), namespace);
    pods.into_iter().filter(|(_, pod)| is_owned(pod, owner)).collect()
}

fn is_owned(object: &Value, owner: &Value) -> bool {
    object.list("/metadata/ownerReferences").iter().any(|of| of["uid"] == *owner.at("/metadata/uid"))
}

fn owner_of(owner: &Value) -> Value {
    json!([{
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner.at("/metadata/name"),
        "uid": owner.at("/metadata/uid"),
        "controller": true,
        "blockOwnerDeletion": true,
    }])
}

fn is_ready(pod: &Value) -> bool {
    !pod.has("/metadata/deletionTimestamp")
        && pod.list("/status/conditions").iter().any(|it| it["type"] == "Ready" && it["status"] == "True")
}

fn is_active(pod: &Value) -> bool {
    !pod.has("/metadata/deletionTimestamp") && !["Succeeded", "Failed"].contains(&pod.text("/status/phase"))
}

fn is_going(object: &Value) -> bool {
    object.has("/metadata/deletionTimestamp")
}

/// Makes an object as its controller does: it is admitted as anybody's is, and a refusal is an event.
fn make(cluster: &Cluster, owner: &Value, kind: Kind, mut object: Value) {
    let namespace = owner.text("/metadata/namespace").to_owned();
    set(&mut object, &["metadata", "namespace"], namespace.clone());
    let request = Request {
        method: "POST".to_owned(),
        path: String::new(),
        query: vec![("fieldManager".to_owned(), "kube-controller-manager".to_owned())],
        content_type: String::new(),
        agent: String::new(),
        body: Bytes::new(),
        user: User::master(),
    };
    let target = Target { verb: "create", kind, namespace, name: String::new(), sub: String::new() };
    let made = cluster.attempt(false, |state| create(state, cluster, &request, &target, object));
    if let Err(refused) = made
        && refused.reason != "AlreadyExists"
    {
        let message = format!("Error creating: {}", refused.message);
        let events =
            cluster.with(|state| state.of(&cluster.kind("", "events"), owner.text("/metadata/namespace")));
        // Once, however often it is tried.
        if !events.iter().any(|(_, event)| event["message"] == message.as_str()) {
            event(cluster, owner, "Warning", "FailedCreate", &message);
        }
    }
}

/// A pod of a template.
fn pod_of(template: &Value, owner: &Value) -> Value {
    let mut pod = json!({ "metadata": template.at("/metadata"), "spec": template["spec"] });
    set(&mut pod, &["metadata", "ownerReferences"], owner_of(owner));
    pod
}

fn say(cluster: &Cluster, key: &Key, status: Value) {
    cluster.with(|state| state.change(key, |object| set(object, &["status"], status)));
}
