//! What the cluster does by itself: runs pods, binds claims, collects what has lost its owner, ends namespaces.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::admission::quota;
use crate::api::delete;
use crate::cluster::{Cluster, Key, State};
use crate::pods::handle::Hook;
use crate::pods::{claims, kubelet, nodes, scheduler};
use crate::value::{Look, object};
use crate::workloads;

/// Looks at everything after each change.
pub async fn run(cluster: Arc<Cluster>, hook: Arc<Mutex<Option<Hook>>>) {
    let mut changes = cluster.changes();
    let mut detaching = HashSet::new();
    loop {
        changes.borrow_and_update();
        workloads::look(&cluster);
        claims::look(&cluster);
        scheduler::look(&cluster);
        nodes::collect(&cluster);
        kubelet::look(&cluster, &hook);
        cluster.with(|state| {
            collect(state);
            namespaces(state, &cluster);
            quota::tell(state, &cluster);
        });
        forget(&cluster, &mut detaching);
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Volumes of pods that are forgotten on lost nodes.
fn forget(cluster: &Arc<Cluster>, detaching: &mut HashSet<String>) {
    let lost = cluster.lost.lock().clone();
    let lives: Vec<_> =
        cluster.live.lock().values().filter(|live| lost.contains(&live.node)).cloned().collect();
    for live in lives {
        let is_forgotten = cluster.with(|state| state.by_uid(&live.uid)).is_none();
        if is_forgotten && detaching.insert(live.uid.clone()) {
            tokio::spawn(nodes::detach(cluster.clone(), live.uid.clone()));
        }
    }
}

/// Removes what no owner is left of, and lets owners go whose dependents are gone.
fn collect(state: &mut State) {
    let uids: HashSet<(String, String)> = state
        .all()
        .map(|(key, object)| (key.namespace.clone(), object.text("/metadata/uid").to_owned()))
        .collect();
    let mut orphans = Vec::new();
    let mut waiting = Vec::new();
    for (key, object) in state.all() {
        let owners = object.list("/metadata/ownerReferences");
        let is_there = |owner: &Value| {
            let uid = owner.text("/uid").to_owned();
            uids.contains(&(key.namespace.clone(), uid.clone())) || uids.contains(&(String::new(), uid))
        };
        if !owners.is_empty() && !owners.iter().any(is_there) && !object.has("/metadata/deletionTimestamp") {
            orphans.push(key.clone());
        }
        let holds =
            |finalizer: &str| object.list("/metadata/finalizers").iter().any(|other| other == finalizer);
        if object.has("/metadata/deletionTimestamp") && (holds("foregroundDeletion") || holds("orphan")) {
            waiting.push((key.clone(), object.text("/metadata/uid").to_owned(), holds("orphan")));
        }
    }
    for key in orphans {
        delete::delete(state, &key, &json!({ "propagationPolicy": "Background" }));
    }
    for (key, uid, is_orphan) in waiting {
        let of = dependents(state, &key.namespace, &uid);
        for dependent in &of {
            if is_orphan {
                state.change(dependent, |object_| {
                    let owners = object(object_, &["metadata"])
                        .get_mut("ownerReferences")
                        .and_then(Value::as_array_mut);
                    owners.into_iter().for_each(|owners| owners.retain(|owner| owner["uid"] != uid.as_str()));
                });
            } else if state.get(dependent).is_some_and(|object| !object.has("/metadata/deletionTimestamp")) {
                delete::delete(state, dependent, &json!({ "propagationPolicy": "Foreground" }));
            }
        }
        if is_orphan || of.is_empty() {
            state.change(&key, |object_| {
                let finalizers =
                    object(object_, &["metadata"]).get_mut("finalizers").and_then(Value::as_array_mut);
                let mine = ["foregroundDeletion", "orphan"];
                finalizers.into_iter().for_each(|list| list.retain(|it| !mine.iter().any(|mine| it == mine)));
            });
            delete::finish(state, &key);
        }
    }
}

fn dependents(state: &State, namespace: &str, uid: &str) -> Vec<Key> {
    let owned = state.all().filter(|(key, object)| {
        (namespace.is_empty() || key.namespace == namespace)
            && object.list("/metadata/ownerReferences").iter().any(|owner| owner["uid"] == uid)
    });
    owned.map(|(key, _)| key.clone()).collect()
}

/// What is in an ending namespace goes, and then the namespace.
fn namespaces(state: &mut State, cluster: &Cluster) {
    for (key, namespace) in state.of(&cluster.kind("", "namespaces"), "") {
        if !namespace.has("/metadata/deletionTimestamp") {
            continue;
        }
        let inside: Vec<Key> = state
            .all()
            .filter(|(inner, _)| inner.namespace == key.name)
            .map(|(inner, _)| inner.clone())
            .collect();
        for inner in &inside {
            if state.get(inner).is_some_and(|object| !object.has("/metadata/deletionTimestamp")) {
                delete::delete(state, inner, &json!({}));
            }
        }
        let is_empty = !state.all().any(|(inner, _)| inner.namespace == key.name);
        if is_empty && namespace.list("/metadata/finalizers").is_empty() {
            state.remove(&key);
        }
    }
}
