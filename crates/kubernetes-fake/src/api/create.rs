//! POST: an object comes to be.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Request, Target};
use crate::admission;
use crate::cluster::{Cluster, Key, State};
use crate::fields::{defaults, validation};
use crate::kinds::Kind;
use crate::patch::owners;
use crate::status::Status;
use crate::value::{Look, default, now, set, unset};

/// Letters of which generated names end.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const GENERATED: usize = 5;
/// How often the server tries another generated name.
const TRIES: usize = 8;

/// # Errors
/// Everything that is not right about it.
pub fn create(
    state: &mut State,
    cluster: &Cluster,
    request: &Request,
    target: &Target,
    mut object: Value,
) -> Result<Arc<Value>, Status> {
    is_of(target, &mut object)?;
    if object.has("/metadata/resourceVersion") && !object.text("/metadata/resourceVersion").is_empty() {
        return Err(Status::new(500, "", "resourceVersion should not be set on objects to be created"));
    }
    let prefix = object.text("/metadata/generateName").to_owned();
    if object.text("/metadata/name").is_empty() && prefix.is_empty() {
        return Err(Status::invalid(
            &target.kind,
            "",
            &[crate::status::Cause::required("metadata.name", "name or generateName is required")],
        ));
    }
    if !object.text("/metadata/name").is_empty() {
        return store(state, cluster, request, target, object);
    }
    for _ in 0..TRIES {
        set(&mut object, &["metadata", "name"], generated(&prefix));
        match store(state, cluster, request, target, object.clone()) {
            Err(status) if status.reason == "AlreadyExists" => {}
            done => return done,
        }
    }
    Err(Status::already_exists(&target.kind, object.text("/metadata/name")))
}

fn generated(prefix: &str) -> String {
    let end = (0..GENERATED).map(|_| char::from(LETTERS[fastrand::usize(..LETTERS.len())]));
    let kept: String = prefix.chars().take(63 - GENERATED).collect();
    kept + &end.collect::<String>()
}

/// The object is of the kind and in the namespace of the path; what it does not say is taken from there.
pub fn is_of(target: &Target, object: &mut Value) -> Result<(), Status> {
    let kind = &target.kind;
    for (field, wanted) in [("kind", kind.kind.to_owned()), ("apiVersion", kind.api_version())] {
        let said = object.text(&format!("/{field}"));
        if !said.is_empty() && said != wanted {
            let message =
                format!("the {field} in the data ({said}) does not match the expected {field} ({wanted})");
            return Err(Status::bad_request(message));
        }
        set(object, &[field], wanted);
    }
    let said = object.text("/metadata/namespace").to_owned();
    if kind.namespaced {
        if !said.is_empty() && said != target.namespace {
            let message =
                "the namespace of the provided object does not match the namespace sent on the request";
            return Err(Status::bad_request(message));
        }
        set(object, &["metadata", "namespace"], target.namespace.clone());
    } else {
        unset(object, &["metadata", "namespace"]);
    }
    Ok(())
}

fn store(
    state: &mut State,
    cluster: &Cluster,
    request: &Request,
    target: &Target,
    mut object: Value,
) -> Result<Arc<Value>, Status> {
    let name = object.text("/metadata/name").to_owned();
    let key = Key::new(&target.kind, &target.namespace, &name);
    let given = object.clone();
    begin_life(&target.kind, &mut object);
    defaults::fill(&target.kind, &mut object);
    admission::change(state, cluster, &target.kind, &mut object)?;
    validation::check(&target.kind, &object)?;
    if state.get(&key).is_some() {
        return Err(Status::already_exists(&target.kind, &name));
    }
    admission::check(state, cluster, &target.kind, &key, &object)?;
    allocate(state, &target.kind, &mut object);
    owners::created(&mut object, &given, &request.manager(), request.content_type.contains("apply-patch"));
    let made = state.put(&key, object);
    after(state, cluster, &target.kind, &name);
    Ok(made)
}

fn begin_life(kind: &Kind, object: &mut Value) {
    for field in
        ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "managedFields", "resourceVersion"]
    {
        unset(object, &["metadata", field]);
    }
    set(object, &["metadata", "uid"], uuid::Uuid::new_v4().to_string());
    set(object, &["metadata", "creationTimestamp"], now());
    if object.has("/spec") && !kind.is("nodes") {
        set(object, &["metadata", "generation"], 1);
    }
    if kind.has_status {
        let status =
            if kind.is("persistentvolumeclaims") { json!({ "phase": "Pending" }) } else { json!({}) };
        if !kind.is("nodes") {
            set(object, &["status"], status);
        }
    }
    if kind.is("persistentvolumeclaims") {
        let finalizers =
            crate::value::object(object, &["metadata"]).entry("finalizers").or_insert_with(|| json!([]));
        let list = finalizers.as_array_mut().unwrap();
        if !list.iter().any(|finalizer| finalizer == PROTECTION) {
            list.push(PROTECTION.into());
        }
    }
}

pub const PROTECTION: &str = "kubernetes.io/pvc-protection";

/// What the server draws by itself.
fn allocate(state: &mut State, kind: &Kind, object: &mut Value) {
    if kind.is("services")
        && object.text("/spec/clusterIP").is_empty()
        && object.text("/spec/type") != "ExternalName"
    {
        let number = state.services;
        state.services += 1;
        let address = format!("10.96.{}.{}", number / 250, number % 250 + 1);
        set(object, &["spec", "clusterIP"], address.clone());
        set(object, &["spec", "clusterIPs"], json!([address]));
    }
    if kind.is_of("batch", "jobs") && object.at("/spec/manualSelector") != &Value::Bool(true) {
        let uid = object.at("/metadata/uid").clone();
        let name = object.at("/metadata/name").clone();
        for (key, value) in [
            ("batch.kubernetes.io/controller-uid", &uid),
            ("batch.kubernetes.io/job-name", &name),
            ("controller-uid", &uid),
            ("job-name", &name),
        ] {
            set(object, &["spec", "template", "metadata", "labels", key], value.clone());
        }
        default(
            object,
            &["spec", "selector"],
            json!({ "matchLabels": { "batch.kubernetes.io/controller-uid": uid } }),
        );
    }
}

/// What comes with a namespace.
fn after(state: &mut State, cluster: &Cluster, kind: &Kind, name: &str) {
    if !kind.is("namespaces") {
        return;
    }
    for (plural, of) in [("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt")] {
        let kind = cluster.kind("", plural);
        let mut object = json!({
            "kind": kind.kind,
            "apiVersion": "v1",
            "metadata": { "name": of, "namespace": name },
        });
        begin_life(&kind, &mut object);
        state.put(&Key::new(&kind, name, of), object);
    }
}

/// An object that the cluster itself makes, checked by nobody.
pub fn by_cluster(
    state: &mut State,
    kind: &Kind,
    namespace: &str,
    name: &str,
    mut object: Value,
) -> Arc<Value> {
    set(&mut object, &["kind"], kind.kind);
    set(&mut object, &["apiVersion"], kind.api_version());
    set(&mut object, &["metadata", "name"], name);
    if kind.namespaced {
        set(&mut object, &["metadata", "namespace"], namespace);
    }
    let status = object["status"].clone();
    begin_life(kind, &mut object);
    defaults::fill(kind, &mut object);
    if !status.is_null() {
        set(&mut object, &["status"], status);
    }
    state.put(&Key::new(kind, namespace, name), object)
}
