//! What the server fills in where a client has not said it.

use serde_json::{Value, json};

use crate::kinds::Kind;
use crate::value::{Look, default, object, set, unset};

pub fn fill(kind: &Kind, object_: &mut Value) {
    match (kind.group, kind.plural) {
        ("", "pods") => pod(object_),
        ("", "persistentvolumeclaims") => default(object_, &["spec", "volumeMode"], "Filesystem"),
        ("", "secrets") => secret(object_),
        ("", "services") => service(object_),
        ("", "namespaces") => {
            let name = object_.text("/metadata/name").to_owned();
            set(object_, &["metadata", "labels", "kubernetes.io/metadata.name"], name);
            default(object_, &["spec", "finalizers"], json!(["kubernetes"]));
            default(object_, &["status", "phase"], "Active");
        }
        ("apps", "deployments") => {
            default(object_, &["spec", "replicas"], 1);
            default(object_, &["spec", "strategy", "type"], "RollingUpdate");
            if object_.text("/spec/strategy/type") == "RollingUpdate" {
                default(object_, &["spec", "strategy", "rollingUpdate", "maxSurge"], "25%");
                default(object_, &["spec", "strategy", "rollingUpdate", "maxUnavailable"], "25%");
            }
            default(object_, &["spec", "revisionHistoryLimit"], 10);
            default(object_, &["spec", "progressDeadlineSeconds"], 600);
            template(object_);
        }
        ("apps", "statefulsets") => {
            default(object_, &["spec", "replicas"], 1);
            default(object_, &["spec", "podManagementPolicy"], "OrderedReady");
            default(object_, &["spec", "updateStrategy", "type"], "RollingUpdate");
            default(object_, &["spec", "revisionHistoryLimit"], 10);
            template(object_);
        }
        ("batch", "jobs") => {
            default(object_, &["spec", "backoffLimit"], 6);
            default(object_, &["spec", "completions"], 1);
            default(object_, &["spec", "parallelism"], 1);
            default(object_, &["spec", "completionMode"], "NonIndexed");
            default(object_, &["spec", "suspend"], false);
            template(object_);
        }
        _ => {}
    }
}

fn template(object_: &mut Value) {
    let mut template = json!({ "spec": object_.at("/spec/template/spec") });
    pod_spec(&mut template);
    set(object_, &["spec", "template", "spec"], template["spec"].take());
}

/// Written as text, kept as bytes.
fn secret(object_: &mut Value) {
    use base64::Engine;
    default(object_, &["type"], "Opaque");
    let texts = object_.at("/stringData").clone();
    for (key, text) in texts.as_object().into_iter().flatten() {
        let bytes = base64::engine::general_purpose::STANDARD.encode(text.as_str().unwrap_or_default());
        set(object_, &["data", key], bytes);
    }
    unset(object_, &["stringData"]);
}

fn service(object_: &mut Value) {
    default(object_, &["spec", "type"], "ClusterIP");
    default(object_, &["spec", "sessionAffinity"], "None");
    default(object_, &["spec", "internalTrafficPolicy"], "Cluster");
    let ports = object(object_, &["spec"]).get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten() {
        default(port, &["protocol"], "TCP");
        let number = port["port"].clone();
        default(port, &["targetPort"], number);
    }
}

fn pod(object_: &mut Value) {
    pod_spec(object_);
    default(object_, &["spec", "enableServiceLinks"], true);
    default(object_, &["spec", "preemptionPolicy"], "PreemptLowerPriority");
    default(object_, &["spec", "priority"], 0);
    default(object_, &["spec", "serviceAccountName"], "default");
    let account = object_.at("/spec/serviceAccountName").clone();
    set(object_, &["spec", "serviceAccount"], account);
    let tolerations = object(object_, &["spec"]).entry("tolerations").or_insert_with(|| json!([]));
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let list = tolerations.as_array_mut().unwrap();
        if !list.iter().any(|toleration| toleration["key"] == key) {
            list.push(
                json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 }),
            );
        }
    }
    let class = quality(object_);
    object_["status"] = json!({ "phase": "Pending", "qosClass": class });
}

/// Guaranteed, Burstable or BestEffort.
fn quality(pod: &Value) -> &'static str {
    let containers = pod.list("/spec/containers");
    let has = |container: &Value, of: &str, what: &str| container.has(&format!("/resources/{of}/{what}"));
    let all = containers.iter().all(|container| {
        ["cpu", "memory"].iter().all(|what| {
            has(container, "limits", what)
                && container.at(&format!("/resources/limits/{what}"))
                    == container.at(&format!("/resources/requests/{what}"))
        })
    });
    let any = containers.iter().any(|container| {
        ["limits", "requests"].iter().any(|of| ["cpu", "memory"].iter().any(|what| has(container, of, what)))
    });
    match (all, any) {
        (true, _) => "Guaranteed",
        (false, true) => "Burstable",
        (false, false) => "BestEffort",
    }
}

fn pod_spec(of: &mut Value) {
    default(of, &["spec", "restartPolicy"], "Always");
    default(of, &["spec", "dnsPolicy"], "ClusterFirst");
    default(of, &["spec", "terminationGracePeriodSeconds"], 30);
    default(of, &["spec", "schedulerName"], "default-scheduler");
    default(of, &["spec", "securityContext"], json!({}));
    for list in ["containers", "initContainers"] {
        let containers = object(of, &["spec"]).get_mut(list).and_then(Value::as_array_mut);
        containers.into_iter().flatten().for_each(container);
    }
    let volumes = object(of, &["spec"]).get_mut("volumes").and_then(Value::as_array_mut);
    for volume in volumes.into_iter().flatten() {
        for source in ["secret", "configMap", "projected", "downwardAPI"] {
            if volume[source].is_object() {
                default(volume, &[source, "defaultMode"], 0o644);
            }
        }
    }
}

fn container(container: &mut Value) {
    let image = container["image"].as_str().unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    let is_fixed = last.contains('@') || last.split_once(':').is_some_and(|(_, tag)| tag != "latest");
    let policy = if is_fixed { "IfNotPresent" } else { "Always" };
    default(container, &["imagePullPolicy"], policy);
    default(container, &["terminationMessagePath"], "/dev/termination-log");
    default(container, &["terminationMessagePolicy"], "File");
    default(container, &["resources"], json!({}));
    let limits = container.at("/resources/limits").clone();
    for (what, limit) in limits.as_object().into_iter().flatten() {
        default(container, &["resources", "requests", what], limit.clone());
    }
    for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        default(port, &["protocol"], "TCP");
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if container[probe].is_object() {
            for (field, value) in [
                ("timeoutSeconds", 1),
                ("periodSeconds", 10),
                ("successThreshold", 1),
                ("failureThreshold", 3),
            ] {
                default(container, &[probe, field], value);
            }
            if container[probe]["httpGet"].is_object() {
                default(container, &[probe, "httpGet", "scheme"], "HTTP");
                default(container, &[probe, "httpGet", "path"], "/");
            }
        }
    }
}
