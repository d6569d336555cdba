//! What objects must say.

use serde_json::{Value, json};

use super::{names, networks, pods, quantity};
use crate::kinds::Kind;
use crate::status::{Cause, Status};
use crate::value::{Look, set};

/// # Errors
/// 422 with everything that is wrong.
pub fn check(kind: &Kind, object: &Value) -> Result<(), Status> {
    let mut causes = names::wrong(kind, object);
    match (kind.group, kind.plural) {
        ("", "pods") => pods::check("spec", object.at("/spec"), &mut causes),
        ("", "persistentvolumeclaims") => claim(object, &mut causes),
        ("", "secrets") => secret(object, &mut causes),
        ("", "configmaps") => texts("data", object.at("/data"), &mut causes),
        ("", "services") => service(object, &mut causes),
        ("apps", "deployments" | "statefulsets" | "daemonsets" | "replicasets") => {
            workload(object, &mut causes)
        }
        ("networking.k8s.io", "networkpolicies") => networks::check(object, &mut causes),
        ("batch", "jobs") => {
            pods::check("spec.template.spec", object.at("/spec/template/spec"), &mut causes);
            let policy = object.at("/spec/template/spec/restartPolicy");
            if policy == "Always" {
                let why = "valid values: \"OnFailure\", \"Never\"";
                causes.push(Cause::required("spec.template.spec.restartPolicy", why));
            }
        }
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings")
            if object.text("/roleRef/name").is_empty() =>
        {
            causes.push(Cause::required("roleRef.name", ""));
        }
        _ => {}
    }
    if causes.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(kind, object.text("/metadata/name"), &causes))
}

const MODES: [&str; 4] = ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"];

fn claim(object: &Value, causes: &mut Vec<Cause>) {
    let modes = object.list("/spec/accessModes");
    if modes.is_empty() {
        causes.push(Cause::required("spec.accessModes", "at least 1 access mode is required"));
    }
    for mode in modes {
        if !mode.as_str().is_some_and(|mode| MODES.contains(&mode)) {
            causes.push(Cause::unsupported("spec.accessModes", mode, &MODES));
        }
    }
    if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        causes.push(Cause::forbidden(
            "spec.accessModes",
            "may not use ReadWriteOncePod with other access modes",
        ));
    }
    let size = object.at("/spec/resources/requests/storage");
    match quantity::milli(size) {
        None => causes.push(Cause::required("spec.resources[storage]", "")),
        Some(size_) if size_ <= 0 => {
            causes.push(Cause::invalid("spec.resources[storage]", size, "must be greater than zero"));
        }
        Some(_) => {}
    }
}

const SECRET_BYTES: usize = 1024 * 1024;

fn secret(object: &Value, causes: &mut Vec<Cause>) {
    use base64::Engine;
    texts("data", object.at("/data"), causes);
    let mut bytes = 0;
    for (key, value) in object.at("/data").as_object().into_iter().flatten() {
        match base64::engine::general_purpose::STANDARD.decode(value.as_str().unwrap_or_default()) {
            Ok(decoded) => bytes += decoded.len(),
            Err(_) => causes.push(Cause::invalid(format!("data[{key}]"), value, "illegal base64 data")),
        }
    }
    if bytes > SECRET_BYTES {
        let message = format!("Too long: may not be more than {SECRET_BYTES} bytes");
        causes.push(Cause { reason: "FieldValueTooLong", field: "data".to_owned(), message });
    }
}

fn texts(field: &str, map: &Value, causes: &mut Vec<Cause>) {
    for (key, value) in map.as_object().into_iter().flatten() {
        let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if key.is_empty() || key.len() > 253 || !key.chars().all(inner) {
            let why = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
            causes.push(Cause::invalid(format!("{field}[{key}]"), &key.as_str().into(), why));
        }
        if !value.is_string() {
            causes.push(Cause::invalid(format!("{field}[{key}]"), value, "must be a string"));
        }
    }
}

fn service(object: &Value, causes: &mut Vec<Cause>) {
    let ports = object.list("/spec/ports");
    if ports.is_empty() && object.at("/spec/clusterIP") != "None" && object.at("/spec/type") != "ExternalName"
    {
        causes.push(Cause::required("spec.ports", ""));
    }
    for (at, port) in ports.iter().enumerate() {
        if !port["port"].as_u64().is_some_and(|port| (1..65536).contains(&port)) {
            let field = format!("spec.ports[{at}].port");
            causes.push(Cause::invalid(field, &port["port"], "must be between 1 and 65535, inclusive"));
        }
        if ports.len() > 1 && port["name"].as_str().unwrap_or_default().is_empty() {
            causes.push(Cause::required(format!("spec.ports[{at}].name"), ""));
        }
    }
}

fn workload(object: &Value, causes: &mut Vec<Cause>) {
    // Claims by templates are volumes, too.
    let claims = object.list("/spec/volumeClaimTemplates").iter().map(|claim| claim.text("/metadata/name"));
    let mut spec = object.at("/spec/template/spec").clone();
    let mut volumes = spec.list("/volumes").to_vec();
    for claim in claims {
        volumes.retain(|volume| volume["name"] != claim);
        volumes.push(json!({ "name": claim, "emptyDir": {} }));
    }
    if !volumes.is_empty() {
        set(&mut spec, &["volumes"], volumes);
    }
    pods::check("spec.template.spec", &spec, causes);
    let wanted = object.at("/spec/selector/matchLabels");
    let labels = object.at("/spec/template/metadata/labels");
    names::labels("spec.template.metadata.labels", labels, causes);
    let all = wanted.as_object().into_iter().flatten();
    if !object.has("/spec/selector") {
        causes.push(Cause::required("spec.selector", ""));
    } else if all.into_iter().any(|(key, value)| labels[key] != *value) {
        let why = "`selector` does not match template `labels`";
        causes.push(Cause::invalid("spec.template.metadata.labels", labels, why));
    }
    let policy = object.at("/spec/template/spec/restartPolicy");
    if !policy.is_null() && policy != "Always" {
        causes.push(Cause::unsupported("spec.template.spec.restartPolicy", policy, &["Always"]));
    }
}
