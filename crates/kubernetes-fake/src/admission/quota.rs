//! `ResourceQuota`: what a namespace may hold at most, counted as objects come and go.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::cluster::{Cluster, Key, State};
use crate::fields::quantity::{milli, say};
use crate::kinds::Kind;
use crate::status::Status;
use crate::value::{Look, set};

type Amounts = BTreeMap<String, i128>;

/// What an object counts as; `Err`: containers that do not say how much of what.
fn usage(kind: &Kind, object: &Value) -> Amounts {
    let mut amounts = Amounts::new();
    amounts.insert(format!("count/{}", kind.qualified()), 1000);
    match (kind.group, kind.plural) {
        ("", "pods") => {
            // What has ended uses nothing more.
            if ["Succeeded", "Failed"].contains(&object.text("/status/phase")) {
                return amounts;
            }
            amounts.insert("pods".to_owned(), 1000);
            for (of, prefix) in [("requests", "requests."), ("limits", "limits."), ("requests", "")] {
                for what in ["cpu", "memory", "ephemeral-storage"] {
                    amounts.insert(format!("{prefix}{what}"), pod_amount(object, of, what));
                }
            }
        }
        ("", "persistentvolumeclaims") => {
            amounts.insert("persistentvolumeclaims".to_owned(), 1000);
            let size = milli(object.at("/spec/resources/requests/storage")).unwrap_or_default();
            amounts.insert("requests.storage".to_owned(), size);
            let class = object.text("/spec/storageClassName");
            amounts.insert(format!("{class}.storageclass.storage.k8s.io/requests.storage"), size);
        }
        ("", "services" | "secrets" | "configmaps" | "resourcequotas") => {
            amounts.insert(kind.plural.to_owned(), 1000);
        }
        _ => {}
    }
    amounts
}

/// The sum of the containers, or the largest of those that run before.
pub fn pod_amount(pod: &Value, of: &str, what: &str) -> i128 {
    let amount =
        |container: &Value| milli(container.at(&format!("/resources/{of}/{what}"))).unwrap_or_default();
    let together: i128 = pod.list("/spec/containers").iter().map(amount).sum();
    let before = pod.list("/spec/initContainers").iter().map(amount).max().unwrap_or_default();
    let overhead = milli(pod.at(&format!("/spec/overhead/{what}"))).unwrap_or_default();
    together.max(before) + overhead
}

/// Names of what is bounded that containers must say by themselves.
const SAID: [(&str, &str, &str); 6] = [
    ("limits.cpu", "limits", "cpu"),
    ("limits.memory", "limits", "memory"),
    ("requests.cpu", "requests", "cpu"),
    ("requests.memory", "requests", "memory"),
    ("cpu", "requests", "cpu"),
    ("memory", "requests", "memory"),
];

pub fn admit(
    state: &mut State,
    cluster: &Cluster,
    kind: &Kind,
    key: &Key,
    object: &Value,
) -> Result<(), Status> {
    if !kind.namespaced {
        return Ok(());
    }
    let before = state.get(key).map(|old| usage(kind, old)).unwrap_or_default();
    let wanted = usage(kind, object);
    let name = object.text("/metadata/name");
    let quotas = state.of(&cluster.kind("", "resourcequotas"), &key.namespace);
    for (quota_key, quota) in &quotas {
        let hard = quota.at("/spec/hard").as_object().cloned().unwrap_or_default();
        if kind.is("pods") {
            must_say(&hard, &quota_key.name, kind, object)?;
        }
        let used = used(state, cluster, &key.namespace, &hard);
        let mut over: [Vec<String>; 3] = Default::default();
        for (what, most) in &hard {
            let Some(amount) = wanted.get(what) else { continue };
            let more = amount - before.get(what).copied().unwrap_or_default();
            let now = used.get(what).copied().unwrap_or_default();
            let most = milli(most).unwrap_or_default();
            if more > 0 && now + more > most {
                over[0].push(format!("{what}={}", say(more)));
                over[1].push(format!("{what}={}", say(now)));
                over[2].push(format!("{what}={}", say(most)));
            }
        }
        if !over[0].is_empty() {
            let [requested, used, limited] = over.map(|words| words.join(","));
            let quota = &quota_key.name;
            let why =
                format!("exceeded quota: {quota}, requested: {requested}, used: {used}, limited: {limited}");
            return Err(Status::forbidden(kind, name, &why));
        }
    }
    Ok(())
}

fn must_say(hard: &Map<String, Value>, quota: &str, kind: &Kind, pod: &Value) -> Result<(), Status> {
    let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (what, of, resource) in SAID.into_iter().filter(|(what, _, _)| hard.contains_key(*what)) {
        for container in pod.list("/spec/containers").iter().chain(pod.list("/spec/initContainers")) {
            if !container.has(&format!("/resources/{of}/{resource}")) {
                missing.entry(container.text("/name")).or_default().push(what);
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let mut of: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (container, what) in missing {
        of.entry(what.join(",")).or_default().push(container);
    }
    let words: Vec<String> =
        of.iter().map(|(what, containers)| format!("{what} for: {}", containers.join(","))).collect();
    let why = format!("failed quota: {quota}: must specify {}", words.join("; "));
    Err(Status::forbidden(kind, pod.text("/metadata/name"), &why))
}

fn used(state: &State, cluster: &Cluster, namespace: &str, hard: &Map<String, Value>) -> Amounts {
    let mut sum = Amounts::new();
    for (key, object) in state.all().filter(|(key, _)| key.namespace == namespace) {
        let kind = cluster.kind(key.group, key.plural);
        for (what, amount) in usage(&kind, object).into_iter().filter(|(what, _)| hard.contains_key(what)) {
            *sum.entry(what).or_default() += amount;
        }
    }
    sum
}

/// Says in each quota what is used of it.
pub fn tell(state: &mut State, cluster: &Cluster) {
    for (key, quota) in state.of(&cluster.kind("", "resourcequotas"), "") {
        let hard = quota.at("/spec/hard").clone();
        let bounds = hard.as_object().cloned().unwrap_or_default();
        let sum = used(state, cluster, &key.namespace, &bounds);
        let used: Map<String, Value> = bounds
            .keys()
            .map(|what| (what.clone(), say(sum.get(what).copied().unwrap_or_default()).into()))
            .collect();
        state.change(&key, |quota| set(quota, &["status"], json!({ "hard": hard, "used": used })));
    }
}
