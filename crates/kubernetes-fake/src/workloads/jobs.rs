//! Jobs: a pod until one has succeeded, or too many have failed.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{is_active, is_going, make, pod_of, pods_of, say};
use crate::cluster::{Cluster, Key};
use crate::value::{Look, now, set};

pub fn look(cluster: &Arc<Cluster>) {
    let jobs = cluster.kind("batch", "jobs");
    for (key, job) in cluster.with(|state| state.of(&jobs, "")) {
        if !is_going(&job) && job.at("/spec/suspend") != true && job.list("/status/conditions").is_empty() {
            work(cluster, &key, &job);
        }
    }
}

fn work(cluster: &Cluster, key: &Key, job: &Value) {
    let pods = cluster.with(|state| pods_of(state, cluster, &key.namespace, job));
    let count =
        |phase: &str| pods.iter().filter(|(_, pod)| pod.text("/status/phase") == phase).count() as u64;
    let active = pods.iter().filter(|(_, pod)| is_active(pod)).count();
    let (succeeded, failed) = (count("Succeeded"), count("Failed"));
    let completions = job.at("/spec/completions").as_u64().unwrap_or(1);
    let most = job.at("/spec/backoffLimit").as_u64().unwrap_or(6);
    let mut status = json!({
        "startTime": job.at("/status/startTime"),
        "active": active,
        "succeeded": succeeded,
        "failed": failed,
        "ready": 0,
    });
    if status["startTime"].is_null() {
        status["startTime"] = now().into();
    }
    let mut over = |kind: &str, reason: &str| {
        status["conditions"] =
            json!([{ "type": kind, "status": "True", "reason": reason, "lastTransitionTime": now() }]);
    };
    if succeeded >= completions {
        over("Complete", "CompletionsReached");
        status["completionTime"] = now().into();
    } else if failed > most {
        over("Failed", "BackoffLimitExceeded");
    } else if active == 0 {
        let mut pod = pod_of(job.at("/spec/template"), job);
        set(&mut pod, &["metadata", "generateName"], format!("{}-", key.name));
        make(cluster, job, cluster.kind("", "pods"), pod);
    }
    say(cluster, key, status);
}
