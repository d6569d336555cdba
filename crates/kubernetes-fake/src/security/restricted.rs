//! The profile `restricted`: what `baseline` asks for, and that a container can get no rights that it has not.

use std::collections::BTreeSet;

use serde_json::Value;

use super::spec::{
    Check, Finding, bad_values, containers, finding, has_own_users, named, plural, quoted, say, setters,
};
use crate::value::Look;

pub const CHECKS: [Check; 7] = [
    ("allowPrivilegeEscalation", escalation),
    ("capabilities_restricted", capabilities),
    ("procMount_restricted", super::baseline::proc_mount),
    ("restrictedVolumes", volumes),
    ("runAsNonRoot", non_root),
    ("runAsUser", user),
    ("seccompProfile_restricted", seccomp),
];

fn escalation(pod: &Value) -> Finding {
    let names = named(pod, |container| container.at("/securityContext/allowPrivilegeEscalation") != false);
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", say(&names));
    finding("allowPrivilegeEscalation != false", detail)
}

fn capabilities(pod: &Value) -> Finding {
    let (add, drop) = ("/securityContext/capabilities/add", "/securityContext/capabilities/drop");
    let keeping = named(pod, |container| !container.list(drop).iter().any(|capability| capability == "ALL"));
    let bad = |capability: &Value| capability != "NET_BIND_SERVICE";
    let adding = named(pod, |container| container.list(add).iter().any(bad));
    let added =
        containers(pod).flat_map(|container| container.list(add)).filter(|capability| bad(capability));
    let added: BTreeSet<&str> = added.filter_map(Value::as_str).collect();
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", say(&keeping)));
    }
    if !adding.is_empty() {
        let added = quoted(added);
        details
            .push(format!("{} must not include {added} in securityContext.capabilities.add", say(&adding)));
    }
    if details.is_empty() { None } else { finding("unrestricted capabilities", details.join("; ")) }
}

const SOURCES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

fn volumes(pod: &Value) -> Finding {
    let bad = pod
        .list("/spec/volumes")
        .iter()
        .filter(|volume| !SOURCES.iter().any(|source| !volume[*source].is_null()));
    let mut names = Vec::new();
    let mut kinds = BTreeSet::new();
    for volume in bad {
        names.push(volume.text("/name"));
        let kind =
            volume.as_object().into_iter().flatten().find(|(key, value)| *key != "name" && !value.is_null());
        kinds.insert(kind.map_or("unknown", |(kind, _)| kind.as_str()));
    }
    if names.is_empty() {
        return None;
    }
    let uses = if names.len() == 1 { "uses" } else { "use" };
    let volumes = format!("{} {}", plural("volume", names.len()), quoted(&names));
    let kinds = format!("{} {}", plural("restricted volume type", kinds.len()), quoted(kinds));
    finding("restricted volume types", format!("{volumes} {uses} {kinds}"))
}

fn non_root(pod: &Value) -> Finding {
    if has_own_users(pod) {
        return None;
    }
    let of_pod = pod.at("/spec/securityContext/runAsNonRoot");
    let of = |container: &Value| container.at("/securityContext/runAsNonRoot").as_bool();
    let refusing = named(pod, |container| of(container) == Some(false));
    if let Some(who) = setters(*of_pod == false, &refusing) {
        return finding(
            "runAsNonRoot != true",
            format!("{who} must not set securityContext.runAsNonRoot=false"),
        );
    }
    let silent = named(pod, |container| of(container).is_none() && *of_pod != true);
    if silent.is_empty() {
        return None;
    }
    let detail = format!("pod or {} must set securityContext.runAsNonRoot=true", say(&silent));
    finding("runAsNonRoot != true", detail)
}

fn user(pod: &Value) -> Finding {
    if has_own_users(pod) {
        return None;
    }
    let is_root = |of: &Value| of.at("/securityContext/runAsUser") == 0;
    let who = setters(is_root(&pod["spec"]), &named(pod, is_root))?;
    finding("runAsUser=0", format!("{who} must not set runAsUser=0"))
}

fn seccomp(pod: &Value) -> Finding {
    let allowed = |value: &str| ["RuntimeDefault", "Localhost"].contains(&value);
    if let Some((who, values)) = bad_values(pod, "seccompProfile/type", allowed) {
        let detail = format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(values));
        return finding("seccompProfile", detail);
    }
    let of_pod = pod.has("/spec/securityContext/seccompProfile/type");
    let silent = named(pod, |container| !of_pod && !container.has("/securityContext/seccompProfile/type"));
    if silent.is_empty() {
        return None;
    }
    let who = say(&silent);
    let detail = format!(
        "pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\""
    );
    finding("seccompProfile", detail)
}
