//! Begins pods that are on a node, ends those that are deleted, and says what has become of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use super::handle::{Hook, Pod, address};
use super::status;
use crate::api::delete;
use crate::cluster::{Cluster, Key, Live};
use crate::value::{Look, set, unset};

/// How long a hook may go on after it should have killed everything.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks at all pods of all nodes that are not lost.
pub fn look(cluster: &Arc<Cluster>, hook: &Arc<Mutex<Option<Hook>>>) {
    let lost = cluster.lost.lock().clone();
    let pods = cluster.with(|state| state.of(&cluster.kind("", "pods"), ""));
    for (_, pod) in &pods {
        let node = pod.text("/spec/nodeName");
        if node.is_empty() || lost.contains(node) {
            continue;
        }
        let uid = pod.text("/metadata/uid");
        let live = cluster.live.lock().get(uid).cloned();
        match live {
            None => begin(cluster, hook, pod),
            Some(live) if pod.has("/metadata/deletionTimestamp") => {
                let grace = pod.at("/metadata/deletionGracePeriodSeconds").as_u64().unwrap_or_default();
                live.stop(Duration::from_secs(grace));
            }
            Some(_) => {}
        }
    }
    // What the API has forgotten goes on until its node ends it.
    let uids: HashSet<&str> = pods.iter().map(|(_, pod)| pod.text("/metadata/uid")).collect();
    let forgotten: Vec<Arc<Live>> =
        cluster.live.lock().values().filter(|live| !uids.contains(&live.uid.as_str())).cloned().collect();
    for live in forgotten.into_iter().filter(|live| !lost.contains(&live.node)) {
        live.stop(live.own_grace);
    }
}

fn begin(cluster: &Arc<Cluster>, hook: &Arc<Mutex<Option<Hook>>>, pod: &Arc<Value>) {
    let has_ended = ["Succeeded", "Failed"].contains(&pod.text("/status/phase"));
    if has_ended {
        return;
    }
    let live = Arc::new(Live::new(pod));
    cluster.live.lock().insert(live.uid.clone(), live.clone());
    let hook = hook.lock().clone();
    let handle = Pod::new(cluster.clone(), live, pod.clone());
    tokio::spawn(run(handle, hook));
}

async fn run(pod: Pod, hook: Option<Hook>) {
    let number = u64::from(fastrand::u16(..));
    pod.report(move |pod| {
        status::creating(pod);
        address(pod, number);
    });
    let life = async {
        if !volumes_are_there(&pod).await {
            return;
        }
        match hook {
            Some(hook) => hook(pod.clone()).await,
            None => {
                pod.running();
                pod.stopping().await;
            }
        }
    };
    tokio::select! {
        () = life => {}
        () = async { pod.killed().await; tokio::time::sleep(PATIENCE).await } => {}
    }
    pod.live.end();
    // What has ended stays to be seen until somebody deletes it.
    pod.stopping().await;
    remove(&pod);
    pod.cluster.live.lock().remove(pod.uid());
}

/// The node says that nothing of it is left; what finalizers hold stays.
fn remove(pod: &Pod) {
    let key = pod.key();
    pod.cluster.with(|state| {
        let is_it = state.get(&key).is_some_and(|found| found.text("/metadata/uid") == pod.uid());
        if is_it {
            state.change(&key, |pod| set(pod, &["metadata", "deletionGracePeriodSeconds"], 0));
            delete::finish(state, &key);
        }
    });
}

/// Waits for the claims that it mounts; `false`: it is to end before.
async fn volumes_are_there(pod: &Pod) -> bool {
    let mut changes = pod.cluster.changes();
    let mut said = String::new();
    loop {
        changes.borrow_and_update();
        match missing(pod) {
            None => return true,
            Some((reason, message)) if message != said => {
                pod.event(&reason, &message);
                said = message;
            }
            Some(_) => {}
        }
        tokio::select! {
            _ = changes.changed() => {}
            _ = pod.stopping() => return false,
        }
    }
}

fn missing(pod: &Pod) -> Option<(String, String)> {
    let cluster = &pod.cluster;
    for volume in pod.object().list("/spec/volumes") {
        for (source, plural, field) in [
            ("persistentVolumeClaim", "persistentvolumeclaims", "claimName"),
            ("secret", "secrets", "secretName"),
            ("configMap", "configmaps", "name"),
        ] {
            let name = volume.text(&format!("/{source}/{field}"));
            if name.is_empty() || volume.at(&format!("/{source}/optional")) == true {
                continue;
            }
            let found = cluster.get(&cluster.kind("", plural), pod.namespace(), name);
            let volume = volume.text("/name");
            match found {
                None => {
                    let what = plural.trim_end_matches('s');
                    let message =
                        format!("MountVolume.SetUp failed for volume {volume:?} : {what} {name:?} not found");
                    return Some(("FailedMount".to_owned(), message));
                }
                Some(claim) if source == "persistentVolumeClaim" => {
                    if let Some(message) = elsewhere(pod, &claim, name) {
                        return Some(("FailedAttachVolume".to_owned(), message));
                    }
                }
                Some(_) => {}
            }
        }
    }
    None
}

/// A volume that only one node can have, and another has.
fn elsewhere(pod: &Pod, claim: &Value, name: &str) -> Option<String> {
    let modes = claim.list("/spec/accessModes");
    if !modes.iter().any(|mode| mode == "ReadWriteOnce" || mode == "ReadWriteOncePod") {
        return None;
    }
    let lives = pod.cluster.live.lock();
    let mut others =
        lives.values().filter(|live| live.node != pod.live.node && !live.is_detached.load(Relaxed));
    if !others
        .any(|live| live.namespace == pod.live.namespace && live.claims.iter().any(|claim| claim == name))
    {
        return None;
    }
    let volume = claim.text("/spec/volumeName");
    Some(format!(
        "Multi-Attach error for volume {volume:?} Volume is already exclusively attached to one node and can't be attached to another"
    ))
}

/// A node is heard of again: what it could not say, it says now.
pub fn return_of(cluster: &Arc<Cluster>, node: &str) {
    cluster.lost.lock().remove(node);
    let lives: Vec<Arc<Live>> =
        cluster.live.lock().values().filter(|live| live.node == node).cloned().collect();
    for live in lives {
        let key = Key::new(&cluster.kind("", "pods"), &live.namespace, &live.name);
        let reports = live.withheld();
        cluster.with(|state| {
            let is_it = state.get(&key).is_some_and(|pod| pod.text("/metadata/uid") == live.uid);
            if is_it {
                state.change(&key, |pod| {
                    unset(pod, &["status", "reason"]);
                    unset(pod, &["status", "message"]);
                    reports.into_iter().for_each(|report| report(pod));
                });
            }
        });
    }
    cluster.nudge();
}
