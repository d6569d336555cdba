//! PUT and PATCH: an object is changed, if it is still what the client has seen.

use std::sync::Arc;

use serde_json::{Value, json};

use super::create::{create, is_of};
use super::{Request, Target, delete};
use crate::admission::quota;
use crate::cluster::{Cluster, State};
use crate::fields::{defaults, immutable, validation};
use crate::patch::{self, owners};
use crate::rbac;
use crate::reply::Reply;
use crate::status::{Cause, Status};
use crate::value::{Look, set, set_condition, unset};

pub fn replace(
    state: &mut State,
    cluster: &Cluster,
    request: &Request,
    target: &Target,
    mut new: Value,
) -> Result<Arc<Value>, Status> {
    is_of(target, &mut new)?;
    let said = new.text("/metadata/name");
    if said != target.name {
        let message =
            format!("the name of the object ({said}) does not match the name on the URL ({})", target.name);
        return Err(Status::bad_request(message));
    }
    let old = current(state, target)?;
    store(state, cluster, request, target, &old, new, true)
}

fn current(state: &State, target: &Target) -> Result<Arc<Value>, Status> {
    state.get(&target.key()).cloned().ok_or_else(|| Status::not_found(&target.kind, &target.name))
}

/// Whether it was not there before, and what it is now.
pub fn patch(
    state: &mut State,
    cluster: &Cluster,
    request: &Request,
    target: &Target,
) -> Result<(bool, Arc<Value>), Status> {
    let kind = request.content_type.split(';').next().unwrap_or_default().trim();
    if kind == "application/apply-patch+yaml" {
        return apply(state, cluster, request, target);
    }
    let patch: Value = serde_json::from_slice(&request.body)
        .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
    let old = current(state, target)?;
    let mut new = (*old).clone();
    match kind {
        "application/merge-patch+json" => patch::merge(&mut new, &patch),
        "application/strategic-merge-patch+json" => patch::strategic(&mut new, &patch),
        "application/json-patch+json" => patch::json(&mut new, &patch).map_err(|why| {
            let cause = Cause { reason: "FieldValueInvalid", field: "patch".to_owned(), message: why };
            Status::new(422, "Invalid", "the server rejected our request due to an error in our request")
                .with_causes(&[cause])
        })?,
        _ => return Err(Status::unsupported_media_type()),
    }
    if new.text("/metadata/name") != target.name {
        let causes = [Cause::invalid("metadata.name", new.at("/metadata/name"), "field is immutable")];
        return Err(Status::invalid(&target.kind, &target.name, &causes));
    }
    let names_version = patch.is_object() && patch.has("/metadata/resourceVersion");
    Ok((false, store(state, cluster, request, target, &old, new, names_version)?))
}

fn apply(
    state: &mut State,
    cluster: &Cluster,
    request: &Request,
    target: &Target,
) -> Result<(bool, Arc<Value>), Status> {
    let mut wanted = super::request::parse(&request.body)?;
    if request.query("fieldManager").is_empty() {
        let cause = Cause::required("fieldManager", "is required for apply patch");
        let mut status = Status::new(
            422,
            "Invalid",
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        );
        status.details = json!({ "group": "meta.k8s.io", "kind": "PatchOptions" });
        return Err(status.with_causes(&[cause]));
    }
    for field in ["apiVersion", "kind"] {
        if wanted.text(&format!("/{field}")).is_empty() {
            return Err(Status::bad_request(format!("error decoding YAML: Object '{field}' is missing")));
        }
    }
    if wanted.has("/metadata/managedFields") {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    is_of(target, &mut wanted)?;
    let said = wanted.text("/metadata/name").to_owned();
    if !said.is_empty() && said != target.name {
        let message =
            format!("the name of the object ({said}) does not match the name on the URL ({})", target.name);
        return Err(Status::bad_request(message));
    }
    set(&mut wanted, &["metadata", "name"], target.name.clone());
    let Some(old) = state.get(&target.key()).cloned() else {
        if wanted.has("/metadata/resourceVersion") || target.sub == "status" {
            return Err(Status::not_found(&target.kind, &target.name));
        }
        // Who may only patch may not make it.
        let mut access = target.access();
        access.verb = "create".to_owned();
        rbac::check(state, &request.user, &access)?;
        return Ok((true, create(state, cluster, request, target, wanted)?));
    };
    let names_version = wanted.has("/metadata/resourceVersion");
    if names_version && wanted.at("/metadata/resourceVersion") != old.at("/metadata/resourceVersion") {
        return Err(Status::stale(&target.kind, &target.name));
    }
    let next = patch::apply(&old, &wanted, request.query("fieldManager"), request.says("force"))?;
    let managed = next.at("/metadata/managedFields").clone();
    let mut kept = next;
    set(&mut kept, &["metadata", "managedFields"], old.at("/metadata/managedFields").clone());
    Ok((false, finish(state, cluster, target, &old, kept, Some(managed), request)?))
}

fn store(
    state: &mut State,
    cluster: &Cluster,
    request: &Request,
    target: &Target,
    old: &Arc<Value>,
    new: Value,
    names_version: bool,
) -> Result<Arc<Value>, Status> {
    let said = new.text("/metadata/resourceVersion");
    if names_version && !said.is_empty() && said != old.text("/metadata/resourceVersion") {
        return Err(Status::stale(&target.kind, &target.name));
    }
    let said = new.text("/metadata/uid");
    if !said.is_empty() && said != old.text("/metadata/uid") {
        let why = format!(
            "Precondition failed: UID in precondition: {said}, UID in object meta: {}",
            old.text("/metadata/uid")
        );
        return Err(Status::conflict(&target.kind, &target.name, &why));
    }
    finish(state, cluster, target, old, new, None, request)
}

/// `managed`: who owns what, where that is known already.
fn finish(
    state: &mut State,
    cluster: &Cluster,
    target: &Target,
    old: &Arc<Value>,
    mut new: Value,
    managed: Option<Value>,
    request: &Request,
) -> Result<Arc<Value>, Status> {
    let kind = &target.kind;
    // What clients cannot change is as it was.
    for field in [
        "uid",
        "creationTimestamp",
        "generation",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "resourceVersion",
    ] {
        match old.at(&format!("/metadata/{field}")) {
            Value::Null => unset(&mut new, &["metadata", field]),
            value => set(&mut new, &["metadata", field], value.clone()),
        }
    }
    let fields: &[&str] = if target.sub == "status" { &["spec", "data", "type"] } else { &["status"] };
    for field in fields {
        if target.sub != "status" && !kind.has_status {
            break;
        }
        match &old[*field] {
            Value::Null => unset(&mut new, &[field]),
            value => set(&mut new, &[field], value.clone()),
        }
    }
    if kind.is("pods") {
        // The defaults of a new pod are not those of an old one's status.
    } else {
        defaults::fill(kind, &mut new);
    }
    if target.sub != "status" {
        validation::check(kind, &new)?;
        immutable::check(kind, old, &new)?;
        quota::admit(state, cluster, kind, &target.key(), &new)?;
    }
    match managed {
        Some(Value::Null) => unset(&mut new, &["metadata", "managedFields"]),
        Some(managed) => set(&mut new, &["metadata", "managedFields"], managed),
        None => owners::updated(old, &mut new, &request.manager(), &target.sub),
    }
    if old["spec"] != new["spec"] && old.has("/metadata/generation") {
        let next = old.at("/metadata/generation").as_u64().unwrap_or_default() + 1;
        set(&mut new, &["metadata", "generation"], next);
    }
    if new == **old {
        return Ok(old.clone());
    }
    let made = state.put(&target.key(), new);
    delete::finish(state, &target.key());
    Ok(made)
}

/// A scheduler of the client's own puts a pod on a node.
pub fn bind(cluster: &Cluster, request: &Request, target: &Target) -> Result<Reply, Status> {
    let binding = request.json()?;
    let node = binding.text("/target/name").to_owned();
    cluster.attempt(false, |state| {
        let pod = current(state, target)?;
        if !pod.text("/spec/nodeName").is_empty() {
            let why =
                format!("pod {} is already assigned to node {:?}", target.name, pod.text("/spec/nodeName"));
            return Err(Status::conflict(&target.kind, &target.name, &why));
        }
        state.change(&target.key(), |pod| {
            set(pod, &["spec", "nodeName"], node);
            set_condition(pod, json!({ "type": "PodScheduled", "status": "True" }));
        });
        Ok(())
    })?;
    Ok(Reply::Json(201, super::success(target, &Value::Null)))
}

pub fn scale(cluster: &Cluster, request: &Request, target: &Target) -> Result<Reply, Status> {
    let say = |object: &Value| {
        json!({
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": { "name": target.name, "namespace": target.namespace, "resourceVersion": object.at("/metadata/resourceVersion") },
            "spec": { "replicas": object.at("/spec/replicas") },
            "status": { "replicas": object.at("/status/replicas") },
        })
    };
    if target.verb == "get" {
        return cluster.with(|state| current(state, target).map(|object| Reply::ok(&say(&object))));
    }
    let patch = super::request::parse(&request.body)?;
    cluster.attempt(false, |state| {
        let old = current(state, target)?;
        let mut new = (*old).clone();
        set(&mut new, &["spec", "replicas"], patch.at("/spec/replicas").clone());
        let made = finish(
            state,
            cluster,
            &Target { sub: String::new(), ..target.clone() },
            &old,
            new,
            None,
            request,
        )?;
        Ok(Reply::ok(&say(&made)))
    })
}
