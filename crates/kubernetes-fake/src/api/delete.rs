//! DELETE: an object goes at once, or when its grace, its finalizers and its dependents are over.

use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::read::list_of;
use super::{Request, Target, success};
use crate::cluster::{Cluster, Key, State};
use crate::fields::selectors::Selector;
use crate::reply::Reply;
use crate::status::Status;
use crate::value::{Look, object, set, set_condition, time};

pub fn one(state: &mut State, request: &Request, target: &Target) -> Result<Reply, Status> {
    let options = with_query(request);
    let key = target.key();
    let Some(found) = state.get(&key).cloned() else {
        return Err(Status::not_found(&target.kind, &target.name));
    };
    preconditions(target, &found, &options)?;
    let left = delete(state, &key, &options);
    Ok(match left {
        Some(left) => Reply::ok(&left),
        None if ["pods", "persistentvolumeclaims", "serviceaccounts", "namespaces"]
            .contains(&target.kind.plural) =>
        {
            Reply::ok(&found)
        }
        None => Reply::Json(200, success(target, found.at("/metadata/uid"))),
    })
}

pub fn all(state: &mut State, request: &Request, target: &Target) -> Result<Reply, Status> {
    let selector =
        Selector::parse(&target.kind, request.query("labelSelector"), request.query("fieldSelector"))?;
    let options = with_query(request);
    let mut gone = Vec::new();
    for (key, object) in state.of(&target.kind, &target.namespace) {
        if selector.takes(&object) {
            delete(state, &key, &options);
            gone.push((*object).clone());
        }
    }
    let meta = json!({ "resourceVersion": state.version().to_string() });
    Ok(Reply::Json(200, list_of(target, meta, gone)))
}

fn with_query(request: &Request) -> Value {
    let mut options = request.options();
    if let Some(seconds) = request.seconds("gracePeriodSeconds") {
        set(&mut options, &["gracePeriodSeconds"], seconds);
    }
    let policy = request.query("propagationPolicy");
    if !policy.is_empty() {
        set(&mut options, &["propagationPolicy"], policy);
    }
    options
}

fn preconditions(target: &Target, found: &Value, options: &Value) -> Result<(), Status> {
    for (field, word, end) in
        [("uid", "UID", "deleted and then recreated"), ("resourceVersion", "ResourceVersion", "modified")]
    {
        let wanted = options.text(&format!("/preconditions/{field}"));
        let is = found.text(&format!("/metadata/{field}"));
        if !wanted.is_empty() && wanted != is {
            let why = format!(
                "the {word} in the precondition ({wanted}) does not match the {word} in record ({is}). The object might have been {end}"
            );
            let mut status = Status::conflict(&target.kind, &target.name, &why);
            // It says the kind here, where all others say the resource.
            let qualified = format!("{} {:?}", target.kind.qualified(), target.name);
            let of =
                if target.kind.group.is_empty() { String::new() } else { format!(".{}", target.kind.group) };
            let said = format!("{}{of} {:?}", target.kind.kind, target.name);
            status.message = status.message.replacen(&qualified, &said, 1).into();
            return Err(status);
        }
    }
    Ok(())
}

/// What is left of it; `None`: nothing.
pub fn delete(state: &mut State, key: &Key, options: &Value) -> Option<Arc<Value>> {
    let found = state.get(key)?.clone();
    let grace = grace(key, &found, options);
    let policy = options.text("/propagationPolicy");
    let finalizer = match policy {
        "Foreground" => Some("foregroundDeletion"),
        "Orphan" => Some("orphan"),
        _ => None,
    };
    let is_going = found.has("/metadata/deletionTimestamp");
    let before = found.at("/metadata/deletionGracePeriodSeconds").as_u64();
    // It can only become sooner.
    let grace = if is_going { grace.min(before.unwrap_or(grace)) } else { grace };
    let is_held = finalizer.is_some() || grace > 0 || !found.list("/metadata/finalizers").is_empty();
    if !is_held && key.plural != "namespaces" {
        state.remove(key);
        return None;
    }
    state.change(key, |object_| {
        if let Some(finalizer) = finalizer.filter(|_| !is_going) {
            let list = object(object_, &["metadata"]).entry("finalizers").or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut()
                && !list.iter().any(|other| other == finalizer)
            {
                list.push(finalizer.into());
            }
        }
        if !is_going || before != Some(grace) {
            let at =
                jiff::Timestamp::now() + SignedDuration::from_secs(i64::try_from(grace).unwrap_or_default());
            set(object_, &["metadata", "deletionTimestamp"], time(at));
            set(object_, &["metadata", "deletionGracePeriodSeconds"], grace);
            if object_.has("/metadata/generation") {
                let next = object_.at("/metadata/generation").as_u64().unwrap_or_default() + 1;
                set(object_, &["metadata", "generation"], next);
            }
        }
        if key.plural == "namespaces" {
            set(object_, &["status", "phase"], "Terminating");
        }
    });
    finish(state, key);
    state.get(key).cloned()
}

/// Of pods alone, and of those only that have begun on a node and not ended.
fn grace(key: &Key, found: &Value, options: &Value) -> u64 {
    let has_begun = !found.text("/spec/nodeName").is_empty();
    let has_ended = ["Succeeded", "Failed"].contains(&found.text("/status/phase"));
    let is_pod = key.group.is_empty() && key.plural == "pods";
    if !(is_pod && has_begun) || has_ended {
        return 0;
    }
    let asked = options["gracePeriodSeconds"].as_u64();
    asked.unwrap_or_else(|| found.at("/spec/terminationGracePeriodSeconds").as_u64().unwrap_or(30))
}

/// Removes what is being deleted and held by nothing more.
pub fn finish(state: &mut State, key: &Key) {
    let Some(found) = state.get(key) else { return };
    let is_held = !found.list("/metadata/finalizers").is_empty()
        || found.at("/metadata/deletionGracePeriodSeconds").as_u64().unwrap_or_default() > 0
        || key.plural == "namespaces";
    if found.has("/metadata/deletionTimestamp") && !is_held {
        state.remove(key);
    }
}

/// A deletion that disruption budgets can refuse.
pub fn evict(cluster: &Cluster, request: &Request, target: &Target) -> Result<Reply, Status> {
    let eviction = request.json()?;
    let budgets = cluster.kind("policy", "poddisruptionbudgets");
    cluster.attempt(request.query("dryRun") == "All", |state| {
        let Some(pod) = state.get(&target.key()).cloned() else {
            return Err(Status::not_found(&target.kind, &target.name));
        };
        for (key, budget) in state.of(&budgets, &target.namespace) {
            let wanted = budget.at("/spec/selector/matchLabels").as_object().cloned().unwrap_or_default();
            let is_of = wanted.iter().all(|(label, value)| pod.at("/metadata/labels")[label] == *value);
            let is_closed =
                budget.at("/spec/maxUnavailable") == 0 || budget.at("/status/disruptionsAllowed") == 0;
            if is_of && is_closed {
                let message = "Cannot evict pod as it would violate the pod's disruption budget.";
                let cause = crate::status::Cause {
                    reason: "DisruptionBudget",
                    field: String::new(),
                    message: format!("The disruption budget {} needs more healthy pods", key.name),
                };
                return Err(Status::too_many(message, 10).with_causes(&[cause]));
            }
        }
        state.change(&target.key(), |pod| {
            let condition = json!({
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting",
            });
            set_condition(pod, condition);
        });
        delete(state, &target.key(), eviction.at("/deleteOptions"));
        Ok(Reply::Json(201, success(target, &Value::Null)))
    })
}
