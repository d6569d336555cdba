//! What cannot be changed once it is there.

use serde_json::{Value, json};

use super::quantity;
use crate::kinds::Kind;
use crate::status::{Cause, Status};
use crate::value::{Look, object, set, unset};

/// # Errors
/// 422 as the real server says it.
pub fn check(kind: &Kind, old: &Value, new: &Value) -> Result<(), Status> {
    let mut causes = Vec::new();
    match (kind.group, kind.plural) {
        ("", "pods") => pod(old, new, &mut causes),
        ("", "persistentvolumeclaims") => claim(old, new, &mut causes),
        ("", "secrets" | "configmaps") if old["immutable"] == true => {
            for field in ["data", "binaryData", "immutable"] {
                if old[field] != new[field] {
                    causes.push(Cause::forbidden(field, "field is immutable when `immutable` is set"));
                }
            }
        }
        ("", "secrets") if old["type"] != new["type"] => same("type", old, new, &mut causes),
        ("", "services") if !old.text("/spec/clusterIP").is_empty() => {
            same("spec.clusterIP", old, new, &mut causes)
        }
        ("apps", "deployments" | "daemonsets" | "replicasets") => {
            same("spec.selector", old, new, &mut causes)
        }
        ("apps", "statefulsets") => stateful(old, new, &mut causes),
        ("batch", "jobs") => {
            ["spec.selector", "spec.template", "spec.completions"]
                .iter()
                .for_each(|at| same(at, old, new, &mut causes));
        }
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings")
            if old["roleRef"] != new["roleRef"] =>
        {
            causes.push(Cause::invalid("roleRef", &new["roleRef"], "cannot change roleRef"));
        }
        _ => {}
    }
    for field in ["name", "namespace", "uid", "creationTimestamp"] {
        let pointer = format!("/metadata/{field}");
        if old.at(&pointer) != new.at(&pointer) {
            causes.push(Cause::invalid(format!("metadata.{field}"), new.at(&pointer), "field is immutable"));
        }
    }
    if old.has("/metadata/deletionTimestamp") {
        let before = old.list("/metadata/finalizers");
        if new.list("/metadata/finalizers").iter().any(|finalizer| !before.contains(finalizer)) {
            let why = "no new finalizers can be added if the object is being deleted";
            causes.push(Cause::forbidden("metadata.finalizers", why));
        }
    }
    if causes.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(kind, old.text("/metadata/name"), &causes))
}

fn same(field: &str, old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    let pointer = format!("/{}", field.replace('.', "/"));
    if old.at(&pointer) != new.at(&pointer) {
        causes.push(Cause::invalid(field, new.at(&pointer), "field is immutable"));
    }
}

const OF_PODS: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

fn pod(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    let added = old
        .list("/spec/tolerations")
        .iter()
        .all(|toleration| new.list("/spec/tolerations").contains(toleration));
    let bare = |pod: &Value| {
        let mut pod = json!({ "spec": pod["spec"] });
        for list in ["containers", "initContainers"] {
            let containers = object(&mut pod, &["spec"]).get_mut(list).and_then(Value::as_array_mut);
            containers.into_iter().flatten().for_each(|container| unset(container, &["image"]));
        }
        unset(&mut pod, &["spec", "activeDeadlineSeconds"]);
        unset(&mut pod, &["spec", "tolerations"]);
        // Set by the scheduler.
        if old.text("/spec/nodeName").is_empty() {
            unset(&mut pod, &["spec", "nodeName"]);
        }
        pod
    };
    if bare(old) != bare(new) || !added {
        causes.push(Cause::forbidden("spec", OF_PODS));
    }
}

fn claim(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    let bare = |claim: &Value| {
        let mut spec = json!({ "spec": claim["spec"] });
        set(&mut spec, &["spec", "resources", "requests", "storage"], Value::Null);
        unset(&mut spec, &["spec", "volumeAttributesClassName"]);
        if old.text("/spec/volumeName").is_empty() {
            unset(&mut spec, &["spec", "volumeName"]);
        }
        spec
    };
    if bare(old) != bare(new) {
        let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        causes.push(Cause::forbidden("spec", why));
    }
    let size =
        |claim: &Value| quantity::milli(claim.at("/spec/resources/requests/storage")).unwrap_or_default();
    if size(new) < size(old) {
        let why = "field can not be less than status.capacity";
        causes.push(Cause::forbidden("spec.resources.requests.storage", why));
    } else if size(new) > size(old) && old.text("/status/phase") != "Bound" {
        let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        causes.push(Cause::forbidden("spec", why));
    }
}

fn stateful(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    const FREE: [&str; 8] = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
        "volumeAttributesClassName",
    ];
    let bare = |set: &Value| {
        let mut spec = json!({ "spec": set["spec"] });
        FREE.iter().for_each(|field| unset(&mut spec, &["spec", field]));
        spec
    };
    if bare(old) != bare(new) {
        let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        causes.push(Cause::forbidden("spec", why));
    }
}
