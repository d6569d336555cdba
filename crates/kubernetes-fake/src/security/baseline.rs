//! The profile `baseline`: no known way out of a container.

use std::collections::BTreeSet;

use serde_json::Value;

use super::spec::{
    Check, Finding, bad_values, containers, finding, has_own_users, named, plural, quoted, say, setters,
};
use crate::value::Look;

pub const CHECKS: [Check; 8] = [
    ("appArmorProfile", app_armor),
    ("hostNamespaces", host_namespaces),
    ("hostPorts", host_ports),
    ("hostProbesAndHostLifecycle", hosts),
    ("privileged", privileged),
    ("seLinuxOptions", selinux),
    ("sysctls", sysctls),
    ("windowsHostProcess", host_process),
];

/// Those that `restricted` has stricter ones for.
pub const REPLACED: [Check; 4] = [
    ("capabilities_baseline", capabilities),
    ("hostPathVolumes", host_paths),
    ("procMount", |pod| if has_own_users(pod) { None } else { proc_mount(pod) }),
    ("seccompProfile_baseline", seccomp),
];

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

fn app_armor(pod: &Value) -> Finding {
    let allowed = |value: &str| ["RuntimeDefault", "Localhost"].contains(&value);
    let found = bad_values(pod, "appArmorProfile/type", allowed);
    let annotations = pod.at("/metadata/annotations").as_object().into_iter().flatten();
    let bad: BTreeSet<String> = annotations
        .filter(|(key, _)| key.starts_with(APP_ARMOR))
        .filter_map(|(key, value)| Some((key, value.as_str()?)))
        .filter(|(_, value)| {
            !(value.is_empty() || *value == "runtime/default" || value.starts_with("localhost/"))
        })
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    let mut who: Vec<String> = found.iter().map(|(who, _)| who.clone()).collect();
    let mut values: Vec<String> =
        found.into_iter().flat_map(|(_, values)| values).map(str::to_owned).collect();
    if !bad.is_empty() {
        who.push(plural("annotation", bad.len()));
        values.extend(bad);
    }
    if who.is_empty() {
        return None;
    }
    let reason = plural("forbidden AppArmor profile", values.len());
    finding(
        &reason,
        format!("{} must not set AppArmor profile type to {}", who.join(" and "), quoted(&values)),
    )
}

const DEFAULT: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

fn capabilities(pod: &Value) -> Finding {
    let bad = |value: &Value| value.as_str().is_none_or(|value| !DEFAULT.contains(&value));
    let added = "/securityContext/capabilities/add";
    let names = named(pod, |container| container.list(added).iter().any(bad));
    if names.is_empty() {
        return None;
    }
    let values = containers(pod).flat_map(|container| container.list(added)).filter(|value| bad(value));
    let values: BTreeSet<&str> = values.filter_map(Value::as_str).collect();
    let detail =
        format!("{} must not include {} in securityContext.capabilities.add", say(&names), quoted(values));
    finding("non-default capabilities", detail)
}

fn host_namespaces(pod: &Value) -> Finding {
    let fields = ["hostNetwork", "hostPID", "hostIPC"];
    let used = fields.iter().filter(|field| pod.at(&format!("/spec/{field}")) == true);
    let used: Vec<String> = used.map(|field| format!("{field}=true")).collect();
    if used.is_empty() { None } else { finding("host namespaces", used.join(", ")) }
}

fn host_paths(pod: &Value) -> Finding {
    let volumes = pod.list("/spec/volumes").iter().filter(|volume| volume.has("/hostPath"));
    let names: Vec<&str> = volumes.map(|volume| volume.text("/name")).collect();
    if names.is_empty() {
        return None;
    }
    finding("hostPath volumes", format!("{} {}", plural("volume", names.len()), quoted(names)))
}

fn host_ports(pod: &Value) -> Finding {
    let ports = |container: &Value| -> Vec<u64> {
        let all = container.list("/ports").iter().filter_map(|port| port["hostPort"].as_u64());
        all.filter(|port| *port != 0).collect()
    };
    let names = named(pod, |container| !ports(container).is_empty());
    if names.is_empty() {
        return None;
    }
    let used: BTreeSet<String> = containers(pod).flat_map(ports).map(|port| port.to_string()).collect();
    let uses = if names.len() == 1 { "uses" } else { "use" };
    let list: Vec<String> = used.into_iter().collect();
    finding(
        "hostPort",
        format!("{} {uses} {} {}", say(&names), plural("hostPort", list.len()), list.join(", ")),
    )
}

fn hosts(pod: &Value) -> Finding {
    const PLACES: [&str; 5] =
        ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle/postStart", "lifecycle/preStop"];
    let hosts = |container: &Value| -> Vec<String> {
        let ways = PLACES
            .iter()
            .flat_map(|place| ["httpGet", "tcpSocket"].map(|way| format!("/{place}/{way}/host")));
        ways.map(|pointer| container.text(&pointer).to_owned()).filter(|host| !host.is_empty()).collect()
    };
    let names: BTreeSet<&str> = named(pod, |container| !hosts(container).is_empty()).into_iter().collect();
    if names.is_empty() {
        return None;
    }
    let names: Vec<&str> = names.into_iter().collect();
    let used: BTreeSet<String> = containers(pod).flat_map(hosts).collect();
    let uses = if names.len() == 1 { "uses" } else { "use" };
    let detail =
        format!("{} {uses} {} {}", say(&names), plural("probe or lifecycle host", used.len()), quoted(used));
    finding("probe or lifecycle host", detail)
}

fn privileged(pod: &Value) -> Finding {
    let names = named(pod, |container| container.at("/securityContext/privileged") == true);
    if names.is_empty() {
        return None;
    }
    finding("privileged", format!("{} must not set securityContext.privileged=true", say(&names)))
}

pub fn proc_mount(pod: &Value) -> Finding {
    let bad = |container: &Value| {
        let value = container.at("/securityContext/procMount").as_str();
        value.is_some_and(|value| value != "Default").then(|| value.unwrap_or_default().to_owned())
    };
    let names = named(pod, |container| bad(container).is_some());
    if names.is_empty() {
        return None;
    }
    let values: BTreeSet<String> = containers(pod).filter_map(bad).collect();
    finding(
        "procMount",
        format!("{} must not set securityContext.procMount to {}", say(&names), quoted(values)),
    )
}

fn selinux(pod: &Value) -> Finding {
    const TYPES: [&str; 5] = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
    let at = "/securityContext/seLinuxOptions";
    let bad = |of: &Value| {
        !TYPES.contains(&of.text(&format!("{at}/type")))
            || !of.text(&format!("{at}/user")).is_empty()
            || !of.text(&format!("{at}/role")).is_empty()
    };
    let who = setters(bad(&pod["spec"]), &named(pod, bad))?;
    let all: Vec<&Value> = containers(pod).chain([&pod["spec"]]).collect();
    let types: BTreeSet<&str> =
        all.iter().map(|of| of.text(&format!("{at}/type"))).filter(|kind| !TYPES.contains(kind)).collect();
    let mut values = Vec::new();
    if !types.is_empty() {
        values.push(format!("{} {}", plural("type", types.len()), quoted(types)));
    }
    for field in ["user", "role"] {
        if all.iter().any(|of| !of.text(&format!("{at}/{field}")).is_empty()) {
            values.push(format!("{field} may not be set"));
        }
    }
    finding(
        "seLinuxOptions",
        format!("{who} set forbidden securityContext.seLinuxOptions: {}", values.join("; ")),
    )
}

fn seccomp(pod: &Value) -> Finding {
    let allowed = |value: &str| ["RuntimeDefault", "Localhost"].contains(&value);
    let (who, values) = bad_values(pod, "seccompProfile/type", allowed)?;
    finding(
        "seccompProfile",
        format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(values)),
    )
}

const SYSCTLS: [&str; 14] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_notsent_lowat",
];

fn sysctls(pod: &Value) -> Finding {
    let all = pod.list("/spec/securityContext/sysctls").iter().map(|sysctl| sysctl.text("/name"));
    let bad: Vec<&str> = all.filter(|name| !SYSCTLS.contains(name)).collect();
    if bad.is_empty() { None } else { finding("forbidden sysctls", bad.join(", ")) }
}

fn host_process(pod: &Value) -> Finding {
    let bad = |of: &Value| of.at("/securityContext/windowsOptions/hostProcess") == true;
    let who = setters(bad(&pod["spec"]), &named(pod, bad))?;
    finding("hostProcess", format!("{who} must not set securityContext.windowsOptions.hostProcess=true"))
}
