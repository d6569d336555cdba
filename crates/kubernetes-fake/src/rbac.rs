//! Who may do what: roles and bindings as they are stored, evaluated for each request.

use serde_json::Value;

use crate::cluster::{State, User};
use crate::status::Status;
use crate::value::Look;

/// What somebody wants to do.
#[derive(Clone, Debug, Default)]
pub struct Access {
    pub verb: String,
    pub group: String,
    pub resource: String,
    pub sub: String,
    pub namespace: String,
    pub name: String,
}

const GROUP: &str = "rbac.authorization.k8s.io";

/// # Errors
/// 403 in the words of the real server.
pub fn check(state: &State, user: &User, access: &Access) -> Result<(), Status> {
    if may(state, user, access) {
        return Ok(());
    }
    let resource = if access.sub.is_empty() {
        access.resource.clone()
    } else {
        format!("{}/{}", access.resource, access.sub)
    };
    let place = if access.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {:?}", access.namespace)
    };
    let qualified = if access.group.is_empty() {
        access.resource.clone()
    } else {
        format!("{}.{}", access.resource, access.group)
    };
    let name = if access.name.is_empty() { String::new() } else { format!(" {:?}", access.name) };
    let message = format!(
        "{qualified}{name} is forbidden: User {:?} cannot {} resource {resource:?} in API group {:?} {place}",
        user.name, access.verb, access.group
    );
    let mut status = Status::new(403, "Forbidden", message);
    status.details =
        serde_json::json!({ "name": access.name, "group": access.group, "kind": access.resource });
    Err(status)
}

pub fn may(state: &State, user: &User, access: &Access) -> bool {
    user.is_master() || rules(state, user, &access.namespace).iter().any(|rule| allows(rule, access))
}

/// All that bindings give to somebody there.
pub fn rules(state: &State, user: &User, namespace: &str) -> Vec<Value> {
    let mut rules = Vec::new();
    for (key, binding) in state.all().filter(|(key, _)| key.group == GROUP) {
        let is_here = key.plural == "clusterrolebindings"
            || (key.plural == "rolebindings" && key.namespace == namespace);
        if !is_here || !binding.list("/subjects").iter().any(|subject| is(subject, user, &key.namespace)) {
            continue;
        }
        let (plural, place) = match binding.text("/roleRef/kind") {
            "ClusterRole" => ("clusterroles", ""),
            _ => ("roles", key.namespace.as_str()),
        };
        let name = binding.text("/roleRef/name");
        let role = state.all().find(|(role, _)| {
            role.group == GROUP && role.plural == plural && role.namespace == place && role.name == name
        });
        rules.extend(role.map(|(_, role)| role.list("/rules").to_vec()).unwrap_or_default());
    }
    rules
}

fn is(subject: &Value, user: &User, binding: &str) -> bool {
    let name = subject.text("/name");
    match subject.text("/kind") {
        "User" => name == user.name,
        "Group" => user.groups.iter().any(|group| group == name),
        "ServiceAccount" => {
            let said = subject.text("/namespace");
            let namespace = if said.is_empty() { binding } else { said };
            user.name == format!("system:serviceaccount:{namespace}:{name}")
        }
        _ => false,
    }
}

fn allows(rule: &Value, access: &Access) -> bool {
    let holds =
        |field: &str, wanted: &str| rule.list(field).iter().any(|value| value == "*" || value == wanted);
    let resource = if access.sub.is_empty() {
        access.resource.clone()
    } else {
        format!("{}/{}", access.resource, access.sub)
    };
    let names = rule.list("/resourceNames");
    let any_sub = !access.sub.is_empty()
        && rule.list("/resources").iter().any(|value| *value == format!("*/{}", access.sub));
    holds("/verbs", &access.verb)
        && holds("/apiGroups", &access.group)
        && (holds("/resources", &resource) || any_sub)
        && (names.is_empty() || names.iter().any(|name| name == access.name.as_str()))
}
