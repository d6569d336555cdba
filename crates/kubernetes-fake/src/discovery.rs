//! What the server says that it has: kubectl and helm ask for this first.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::kinds::Kind;
use crate::reply::Reply;

const MAJOR: &str = "1";
const MINOR: &str = "35";
const VERSION: &str = "v1.35.0";

/// Questions made of objects, which are not stored.
const REVIEWS: [(&str, &str, &str); 4] = [
    ("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    ("authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview"),
    ("authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview"),
    ("authentication.k8s.io", "tokenreviews", "TokenReview"),
];

pub fn answer(cluster: &Cluster, path: &str) -> Option<Reply> {
    let path = path.trim_end_matches('/');
    Some(match path {
        "/version" => Reply::Json(200, version()),
        "/healthz" | "/livez" | "/readyz" => Reply::Text(200, "ok".to_owned()),
        "/api" => Reply::Json(
            200,
            json!({
                "kind": "APIVersions",
                "versions": ["v1"],
                "serverAddressByClientCIDRs": [],
            }),
        ),
        "/apis" => Reply::Json(200, groups(cluster)),
        "/api/v1" => Reply::Json(200, resources(cluster, "", "v1")),
        "/openapi/v3" => Reply::Json(200, documents(cluster)),
        _ => {
            if let Some(of) = path.strip_prefix("/openapi/v3/") {
                return Some(Reply::Json(200, document(cluster, of)));
            }
            let (group, version) = path.strip_prefix("/apis/")?.split_once('/')?;
            if version.contains('/') || !versions(cluster).contains(&(group, version)) {
                return None;
            }
            Reply::Json(200, resources(cluster, group, version))
        }
    })
}

fn version() -> Value {
    json!({
        "major": MAJOR,
        "minor": MINOR,
        "gitVersion": VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z",
        "goVersion": "go1.25",
        "compiler": "gc",
        "platform": "linux/amd64",
    })
}

fn versions(cluster: &Cluster) -> BTreeSet<(&'static str, &'static str)> {
    let stored = cluster.kinds.iter().map(|kind| (kind.group, kind.version));
    stored.chain(REVIEWS.map(|(group, _, _)| (group, "v1"))).filter(|(group, _)| !group.is_empty()).collect()
}

fn groups(cluster: &Cluster) -> Value {
    let group = |(group, version): (&str, &str)| {
        let version = json!({ "groupVersion": format!("{group}/{version}"), "version": version });
        json!({ "name": group, "versions": [version], "preferredVersion": version })
    };
    let groups: Vec<Value> = versions(cluster).into_iter().map(group).collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

/// Where the documents of the groups are: kubectl looks there whether the server checks fields by itself.
fn documents(cluster: &Cluster) -> Value {
    let groups = versions(cluster).into_iter().map(|(group, version)| format!("apis/{group}/{version}"));
    let paths: serde_json::Map<String, Value> = groups
        .chain(["api/v1".to_owned()])
        .map(|path| (path.clone(), json!({ "serverRelativeURL": format!("/openapi/v3/{path}") })))
        .collect();
    json!({ "paths": paths })
}

/// No schemas, but the parameter that says who looks at fields.
fn document(cluster: &Cluster, path: &str) -> Value {
    let of = |kind: &&Kind| path.strip_prefix("apis/").unwrap_or("v1") == kind.api_version();
    let mut paths = serde_json::Map::new();
    for kind in cluster.kinds.iter().filter(of) {
        let gvk = json!({ "group": kind.group, "version": kind.version, "kind": kind.kind });
        let parameters =
            ["dryRun", "fieldManager", "fieldValidation"].map(|name| json!({ "name": name, "in": "query" }));
        let operation =
            json!({ "x-kubernetes-group-version-kind": gvk, "parameters": parameters, "responses": {} });
        let place = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
        let place = format!("/{path}{place}/{}/{{name}}", kind.plural);
        paths.insert(place, json!({ "patch": operation, "put": operation }));
    }
    json!({ "openapi": "3.0.0", "info": { "title": "Kubernetes", "version": VERSION }, "paths": paths })
}

/// What `kubectl get all` shows.
const IN_ALL: [&str; 8] =
    ["pods", "services", "deployments", "replicasets", "statefulsets", "daemonsets", "jobs", "cronjobs"];

const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

fn resources(cluster: &Cluster, group: &str, version: &str) -> Value {
    let mut list = Vec::new();
    for kind in cluster.kinds.iter().filter(|kind| kind.group == group && kind.version == version) {
        list.push(resource(kind));
        if kind.has_status {
            list.push(sub(kind, "status", kind.kind, &["get", "patch", "update"]));
        }
        if kind.is("pods") {
            list.push(sub(kind, "log", "Pod", &["get"]));
            list.push(sub(kind, "attach", "PodAttachOptions", &["create", "get"]));
            list.push(sub(kind, "binding", "Binding", &["create"]));
            let mut eviction = sub(kind, "eviction", "Eviction", &["create"]);
            eviction["group"] = "policy".into();
            eviction["version"] = "v1".into();
            list.push(eviction);
        }
        if ["deployments", "statefulsets", "replicasets"].contains(&kind.plural) {
            let mut scale = sub(kind, "scale", "Scale", &["get", "patch", "update"]);
            scale["group"] = "autoscaling".into();
            scale["version"] = "v1".into();
            list.push(scale);
        }
    }
    for (_, plural, kind) in REVIEWS.iter().filter(|(of, _, _)| *of == group) {
        list.push(json!({ "name": plural, "singularName": "", "namespaced": false, "kind": kind, "verbs": ["create"] }));
    }
    let of = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": of, "resources": list })
}

fn resource(kind: &Kind) -> Value {
    json!({
        "name": kind.plural,
        "singularName": kind.singular(),
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": VERBS,
        "shortNames": kind.short,
        "categories": if IN_ALL.contains(&kind.plural) { &["all"][..] } else { &[] },
    })
}

fn sub(kind: &Kind, name: &str, of: &str, verbs: &[&str]) -> Value {
    json!({
        "name": format!("{}/{name}", kind.plural),
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": of,
        "verbs": verbs,
    })
}
