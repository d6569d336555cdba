//! Every pod keeps to the profile *restricted* of Kubernetes' Pod Security Standards, and to more: all fields are looked at, of all
//! containers.

use serde_json::{Map, Value, json};

use super::{Pod, SETS, Tools, items, text};

const VOLUMES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
const SYSCTLS: [&str; 8] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
];

/// What *restricted* has against a pod.
fn violations(spec: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |holds: bool, what: &str, of: &str| {
        if !holds {
            found.push(format!("{of}: {what}"));
        }
    };
    let pod = &spec["securityContext"];
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        check(spec[field].is_null() || spec[field] == false, field, "pod");
    }
    for volume in items(&spec["volumes"]) {
        let kinds: Vec<_> =
            volume.as_object().into_iter().flat_map(Map::keys).filter(|key| *key != "name").collect();
        check(kinds.iter().all(|kind| VOLUMES.contains(&kind.as_str())), "a volume of another kind", "pod");
    }
    let sysctls = items(&pod["sysctls"]).all(|one| SYSCTLS.contains(&text(&one["name"])));
    check(sysctls, "sysctls", "pod");
    check(pod["windowsOptions"]["hostProcess"] != true, "hostProcess", "pod");
    let kinds = ["initContainers", "containers", "ephemeralContainers"];
    for container in kinds.iter().flat_map(|kind| items(&spec[*kind])) {
        let (own, name) = (&container["securityContext"], text(&container["name"]));
        let effective = |field: &str| if own[field].is_null() { &pod[field] } else { &own[field] };
        check(own["privileged"].is_null() || own["privileged"] == false, "privileged", name);
        check(own["allowPrivilegeEscalation"] == false, "allowPrivilegeEscalation", name);
        check(
            items(&own["capabilities"]["drop"]).any(|one| one == "ALL"),
            "drops not all capabilities",
            name,
        );
        let added = items(&own["capabilities"]["add"]).all(|one| one == "NET_BIND_SERVICE");
        check(added, "adds capabilities", name);
        check(own["procMount"].is_null() || own["procMount"] == "Default", "procMount", name);
        check(effective("runAsNonRoot") == true, "runAsNonRoot", name);
        check(*effective("runAsUser") != 0, "runAsUser", name);
        let seccomp = text(&effective("seccompProfile")["type"]);
        check(["RuntimeDefault", "Localhost"].contains(&seccomp), "seccompProfile", name);
        let app_armor = &effective("appArmorProfile")["type"];
        check(app_armor.is_null() || app_armor != "Unconfined", "appArmorProfile", name);
        let selinux = &effective("seLinuxOptions");
        let kind = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
        check(kind.contains(&text(&selinux["type"])), "seLinuxOptions.type", name);
        check(selinux["user"].is_null() && selinux["role"].is_null(), "seLinuxOptions", name);
        check(
            items(&container["ports"]).all(|port| port["hostPort"].as_u64().unwrap_or_default() == 0),
            "hostPort",
            name,
        );
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            check(!has_host(&container[probe]), "a probe with a host", name);
        }
        for hook in ["postStart", "preStop"] {
            check(!has_host(&container["lifecycle"][hook]), "a hook with a host", name);
        }
    }
    found
}

fn has_host(probe: &Value) -> bool {
    ["httpGet", "tcpSocket"].iter().any(|kind| !probe[*kind]["host"].is_null())
}

/// What the chart promises beyond the profile.
fn shortcomings(pod: &Pod<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |holds: bool, what: &str| {
        if !holds {
            found.push(format!("{}: {what}", pod.name));
        }
    };
    check(pod.spec["enableServiceLinks"] == false, "enableServiceLinks");
    check(!text(&pod.spec["serviceAccountName"]).is_empty(), "has the namespace's own service account");
    for container in pod.containers() {
        check(container["securityContext"]["readOnlyRootFilesystem"] == true, "may write its root");
        for bound in ["memory", "ephemeral-storage"] {
            check(!container["resources"]["limits"][bound].is_null(), bound);
        }
        for asked in ["cpu", "memory", "ephemeral-storage"] {
            check(!container["resources"]["requests"][asked].is_null(), asked);
        }
        check(text(&container["image"]).contains([':', '@']), "an image without a version");
    }
    for volume in items(&pod.spec["volumes"]).filter_map(|volume| volume.get("emptyDir")) {
        check(!volume["sizeLimit"].is_null(), "an emptyDir without an end");
    }
    found
}

#[test]
fn every_pod_is_restricted_whatever_the_values_are() {
    let Some(tools) = Tools::find() else { return };
    for set in SETS {
        let objects = tools.render(set, &[]);
        let pods = objects.pods();
        assert!(pods.len() >= 3, "{set}: {}", pods.len());
        for pod in pods {
            assert_eq!(
                (violations(pod.spec), shortcomings(&pod)),
                (Vec::new(), Vec::new()),
                "{set}: {}",
                pod.name
            );
        }
    }
    // Where the platform gives users.
    let nobody = ["--set", "podSecurity.runAsUser=null,nats.podSecurity.runAsUser=null"];
    for pod in tools.render("default", &nobody).pods() {
        assert_eq!(violations(pod.spec), Vec::<String>::new(), "{}", pod.name);
        assert!(pod.spec["securityContext"]["runAsUser"].is_null());
    }
}

/// Each field, so that the evaluation is known to look at it.
#[test]
fn a_pod_that_is_not_restricted_is_found_by_each_field() {
    let own = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"}});
    let good = json!({"containers": [{"name": "c", "securityContext": own}], "volumes": [{"name": "v", "emptyDir": {}}]});
    assert_eq!(violations(&good), Vec::<String>::new());
    let container = "/containers/0/securityContext";
    for (pointer, field, value) in [
        ("", "hostNetwork", json!(true)),
        ("", "hostPID", json!(true)),
        ("", "hostIPC", json!(true)),
        ("/volumes/0", "hostPath", json!({"path": "/"})),
        ("", "securityContext", json!({"sysctls": [{"name": "kernel.msgmax"}]})),
        (container, "privileged", json!(true)),
        (container, "allowPrivilegeEscalation", json!(null)),
        (container, "capabilities", json!({"drop": ["KILL"]})),
        (container, "capabilities", json!({"drop": ["ALL"], "add": ["CHOWN"]})),
        (container, "procMount", json!("Unmasked")),
        (container, "runAsNonRoot", json!(null)),
        (container, "runAsUser", json!(0)),
        (container, "seccompProfile", json!({"type": "Unconfined"})),
        (container, "appArmorProfile", json!({"type": "Unconfined"})),
        (container, "seLinuxOptions", json!({"type": "spc_t"})),
        (container, "seLinuxOptions", json!({"user": "system_u"})),
        ("/containers/0", "ports", json!([{"hostPort": 80}])),
        ("/containers/0", "livenessProbe", json!({"tcpSocket": {"port": 1, "host": "10.0.0.1"}})),
        ("/containers/0", "lifecycle", json!({"preStop": {"httpGet": {"host": "10.0.0.1"}}})),
    ] {
        let mut bad = good.clone();
        bad.pointer_mut(pointer).unwrap()[field] = value.clone();
        assert_eq!(violations(&bad).len(), 1, "{pointer}/{field}: {value}: {:?}", violations(&bad));
    }
    let mut other = good.clone();
    other["initContainers"] = json!([{"name": "i"}]);
    assert!(violations(&other).len() >= 4, "containers that come first are looked at, too");
}
