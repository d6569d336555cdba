//! Whether an object may come in, and what is changed about it before.

mod accounts;
mod limits;
pub mod quota;

use serde_json::Value;

use crate::cluster::{Cluster, Key, State};
use crate::kinds::Kind;
use crate::security::{self, Level};
use crate::status::{Cause, Status};
use crate::value::{Look, default, set};

/// Before it is looked at.
///
/// # Errors
/// 403 and 404.
pub fn change(state: &State, cluster: &Cluster, kind: &Kind, object: &mut Value) -> Result<(), Status> {
    namespace(state, cluster, kind, object)?;
    if kind.is("pods") {
        accounts::admit(state, cluster, object)?;
        limits::fill(state, cluster, object)?;
        priority(state, cluster, object)?;
        runtime(state, cluster, object)?;
    }
    if kind.is("persistentvolumeclaims")
        && let Some(class) = cluster.settings.storage_classes.first()
    {
        default(object, &["spec", "storageClassName"], *class);
    }
    Ok(())
}

/// Once it is known to be valid.
///
/// # Errors
/// 403.
pub fn check(
    state: &mut State,
    cluster: &Cluster,
    kind: &Kind,
    key: &Key,
    object: &Value,
) -> Result<(), Status> {
    if kind.is("pods") {
        limits::check(state, cluster, object)?;
        pod_security(state, cluster, kind, object)?;
    }
    quota::admit(state, cluster, kind, key, object)
}

/// It must be there and stay.
fn namespace(state: &State, cluster: &Cluster, kind: &Kind, object: &Value) -> Result<(), Status> {
    if !kind.namespaced {
        return Ok(());
    }
    let namespaces = cluster.kind("", "namespaces");
    let name = object.text("/metadata/namespace");
    let Some(namespace) = state.get(&Key::new(&namespaces, "", name)) else {
        return Err(Status::not_found(&namespaces, name));
    };
    if namespace.text("/status/phase") == "Terminating" {
        let why = format!("unable to create new content in namespace {name} because it is being terminated");
        let cause = Cause {
            reason: "NamespaceTerminating",
            field: "metadata.namespace".to_owned(),
            message: format!("namespace {name} is being terminated"),
        };
        return Err(Status::forbidden(kind, object.text("/metadata/name"), &why).with_causes(&[cause]));
    }
    Ok(())
}

/// Namespaces say by a label which profile their pods must keep.
fn pod_security(state: &State, cluster: &Cluster, kind: &Kind, pod: &Value) -> Result<(), Status> {
    let key = Key::new(&cluster.kind("", "namespaces"), "", pod.text("/metadata/namespace"));
    let label = |name: &str| {
        let labels =
            state.get(&key).map(|namespace| namespace.at("/metadata/labels").clone()).unwrap_or_default();
        labels[format!("pod-security.kubernetes.io/{name}")].as_str().map(str::to_owned)
    };
    let Some(level) = label("enforce").as_deref().and_then(Level::named) else { return Ok(()) };
    let violations = security::violations(level, pod);
    if violations.is_empty() {
        return Ok(());
    }
    let version = label("enforce-version").unwrap_or_else(|| "latest".to_owned());
    let words: Vec<String> = violations.iter().map(ToString::to_string).collect();
    let why = format!("violates PodSecurity \"{}:{version}\": {}", level.name(), words.join(", "));
    Err(Status::forbidden(kind, pod.text("/metadata/name"), &why))
}

fn priority(state: &State, cluster: &Cluster, pod: &mut Value) -> Result<(), Status> {
    let name = pod.text("/spec/priorityClassName").to_owned();
    if name.is_empty() || name.starts_with("system-") {
        return Ok(());
    }
    let class = state.get(&Key::new(&cluster.kind("scheduling.k8s.io", "priorityclasses"), "", &name));
    let Some(class) = class else {
        let why = format!("no PriorityClass with name {name} was found");
        return Err(Status::forbidden(&cluster.kind("", "pods"), pod.text("/metadata/name"), &why));
    };
    set(pod, &["spec", "priority"], class["value"].clone());
    Ok(())
}

fn runtime(state: &State, cluster: &Cluster, pod: &mut Value) -> Result<(), Status> {
    let name = pod.text("/spec/runtimeClassName").to_owned();
    if name.is_empty() {
        return Ok(());
    }
    let class = state.get(&Key::new(&cluster.kind("node.k8s.io", "runtimeclasses"), "", &name));
    let Some(class) = class else {
        let why = format!("pod rejected: RuntimeClass {name:?} not found");
        return Err(Status::forbidden(&cluster.kind("", "pods"), pod.text("/metadata/name"), &why));
    };
    if class.has("/overhead/podFixed") {
        set(pod, &["spec", "overhead"], class.at("/overhead/podFixed").clone());
    }
    Ok(())
}
