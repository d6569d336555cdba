//! What a pod's specification must say.

use std::collections::HashSet;

use serde_json::Value;

use super::{names, quantity};
use crate::status::Cause;
use crate::value::Look;

pub fn check(path: &str, spec: &Value, causes: &mut Vec<Cause>) {
    let containers = spec.list("/containers");
    if containers.is_empty() {
        causes.push(Cause::required(format!("{path}.containers"), ""));
    }
    let volumes = volumes(path, spec, causes);
    let mut seen = HashSet::new();
    for list in ["initContainers", "containers"] {
        for (at, container) in spec.list(&format!("/{list}")).iter().enumerate() {
            let path = format!("{path}.{list}[{at}]");
            let name = container["name"].as_str().unwrap_or_default();
            if name.is_empty() {
                causes.push(Cause::required(format!("{path}.name"), ""));
            } else if let Some(why) = names::label(name) {
                causes.push(Cause::invalid(format!("{path}.name"), &name.into(), &why));
            } else if !seen.insert(name) {
                causes.push(Cause::duplicate(format!("{path}.name"), &name.into()));
            }
            check_container(&path, container, &volumes, causes);
        }
    }
    let policy = spec.at("/restartPolicy");
    if !policy.is_null() && !["Always", "OnFailure", "Never"].iter().any(|known| policy == known) {
        causes.push(Cause::unsupported(
            format!("{path}.restartPolicy"),
            policy,
            &["Always", "OnFailure", "Never"],
        ));
    }
    if spec.at("/dnsPolicy") == "None" && !spec.has("/dnsConfig") {
        let why = "must provide `dnsConfig` when `dnsPolicy` is None";
        causes.push(Cause::required(format!("{path}.dnsConfig"), why));
    } else if spec.at("/dnsPolicy") == "None" && spec.list("/dnsConfig/nameservers").is_empty() {
        let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        causes.push(Cause::required(format!("{path}.dnsConfig.nameservers"), why));
    }
    for (at, toleration) in spec.list("/tolerations").iter().enumerate() {
        let path = format!("{path}.tolerations[{at}]");
        if toleration.has("/tolerationSeconds") && toleration["effect"] != "NoExecute" {
            let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            causes.push(Cause::invalid(format!("{path}.effect"), &toleration["effect"], why));
        }
        if toleration["operator"] == "Exists" && toleration.has("/value") {
            let why = "value must be empty when `operator` is 'Exists'";
            causes.push(Cause::invalid(format!("{path}.operator"), &toleration["value"], why));
        }
    }
    if spec.at("/terminationGracePeriodSeconds").as_i64().is_some_and(|seconds| seconds < 0) {
        let seconds = spec.at("/terminationGracePeriodSeconds");
        let why = "must be greater than or equal to 0";
        causes.push(Cause::invalid(format!("{path}.terminationGracePeriodSeconds"), seconds, why));
    }
    names::labels(&format!("{path}.nodeSelector"), spec.at("/nodeSelector"), causes);
}

fn volumes<'a>(path: &str, spec: &'a Value, causes: &mut Vec<Cause>) -> HashSet<&'a str> {
    let mut known = HashSet::new();
    for (at, volume) in spec.list("/volumes").iter().enumerate() {
        let path = format!("{path}.volumes[{at}]");
        let name = volume["name"].as_str().unwrap_or_default();
        if let Some(why) = names::label(name) {
            causes.push(Cause::invalid(format!("{path}.name"), &name.into(), &why));
        }
        if !known.insert(name) {
            causes.push(Cause::duplicate(format!("{path}.name"), &name.into()));
        }
        let sources = volume
            .as_object()
            .map_or(0, |map| map.iter().filter(|(key, value)| *key != "name" && !value.is_null()).count());
        if sources > 1 {
            causes.push(Cause::forbidden(path.clone(), "may not specify more than 1 volume type"));
        }
        if volume.has("/persistentVolumeClaim") && volume.text("/persistentVolumeClaim/claimName").is_empty()
        {
            causes.push(Cause::required(format!("{path}.persistentVolumeClaim.claimName"), ""));
        }
    }
    known
}

fn check_container(path: &str, container: &Value, volumes: &HashSet<&str>, causes: &mut Vec<Cause>) {
    if container.text("/image").is_empty() {
        causes.push(Cause::required(format!("{path}.image"), ""));
    }
    let mut mounted = HashSet::new();
    for (at, mount) in container.list("/volumeMounts").iter().enumerate() {
        let path = format!("{path}.volumeMounts[{at}]");
        if !volumes.contains(mount.text("/name")) {
            causes.push(Cause::not_found(format!("{path}.name"), &mount["name"]));
        }
        let place = mount.text("/mountPath");
        if place.is_empty() {
            causes.push(Cause::required(format!("{path}.mountPath"), ""));
        } else if !mounted.insert(place) {
            causes.push(Cause::invalid(format!("{path}.mountPath"), &place.into(), "must be unique"));
        }
    }
    for (at, variable) in container.list("/env").iter().enumerate() {
        if variable.text("/name").is_empty() {
            causes.push(Cause::required(format!("{path}.env[{at}].name"), ""));
        }
        if variable.has("/value") && !variable["value"].is_string() {
            let field = format!("{path}.env[{at}].value");
            causes.push(Cause::invalid(field, &variable["value"], "must be a string"));
        }
    }
    for of in ["limits", "requests"] {
        for (what, amount) in container.at(&format!("/resources/{of}")).as_object().into_iter().flatten() {
            if quantity::milli(amount).is_none_or(|amount| amount < 0) {
                let field = format!("{path}.resources.{of}[{what}]");
                causes.push(Cause::invalid(field, amount, "must be greater than or equal to 0"));
            }
        }
    }
    for (what, request) in container.at("/resources/requests").as_object().into_iter().flatten() {
        let limit = container.at(&format!("/resources/limits/{}", what.replace('/', "~1")));
        if let (Some(wanted), Some(most)) = (quantity::milli(request), quantity::milli(limit))
            && wanted > most
        {
            let why = format!(
                "must be less than or equal to {what} limit of {}",
                limit.as_str().unwrap_or_default()
            );
            causes.push(Cause::invalid(format!("{path}.resources.requests"), request, &why));
        }
    }
    let security = container.at("/securityContext");
    if security["allowPrivilegeEscalation"] == false {
        let added = security.list("/capabilities/add");
        if security["privileged"] == true
            || added.iter().any(|capability| capability == "SYS_ADMIN" || capability == "CAP_SYS_ADMIN")
        {
            let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            causes.push(Cause::invalid(format!("{path}.securityContext"), security, why));
        }
    }
}
