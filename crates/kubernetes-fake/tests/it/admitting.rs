//! Who may come in: quotas, limits, security profiles, accounts and classes.

use kubernetes_fake::security::{self, Level};
use manyhands_kubernetes_fake as kubernetes_fake;
use serde_json::{Value, json};
use testing::until;

use crate::client::{Client, NAMESPACE, claim, pod, refusal};

fn forbidden(answer: &(u16, Value)) -> &str {
    let (code, reason, message) = refusal(answer);
    assert_eq!((code, reason), (403, "Forbidden"), "{message}");
    message
}

fn with_resources(name: &str, memory: &str) -> Value {
    let mut pod = pod(name);
    pod["spec"]["containers"][0]["resources"] = json!({ "limits": { "memory": memory, "cpu": "1" } });
    pod
}

fn quota(hard: &Value) -> Value {
    json!({ "metadata": { "name": "q" }, "spec": { "hard": hard } })
}

#[tokio::test]
async fn a_quota_counts_what_is_there_and_wants_to_be_told() {
    let client = Client::new().await;
    client.post("resourcequotas", &quota(&json!({ "pods": "2", "limits.memory": "3Gi" }))).await;
    let refused = client.post("pods", &pod("a")).await;
    assert_eq!(
        forbidden(&refused),
        "pods \"a\" is forbidden: failed quota: q: must specify limits.memory for: worker"
    );
    assert_eq!(client.post("pods", &with_resources("a", "2Gi")).await.0, 201);
    let refused = client.post("pods", &with_resources("b", "2Gi")).await;
    assert_eq!(
        forbidden(&refused),
        "pods \"b\" is forbidden: exceeded quota: q, requested: limits.memory=2Gi, used: limits.memory=2Gi, limited: limits.memory=3Gi"
    );
    client.post("pods", &with_resources("b", "1Gi")).await;
    let refused = client.post("pods", &with_resources("c", "0")).await;
    assert_eq!(
        forbidden(&refused),
        "pods \"c\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"
    );
    until(async || client.get("resourcequotas/q").await.1["status"]["used"]["pods"] == "2").await;
    client.delete("pods/a", &json!({ "gracePeriodSeconds": 0 })).await;
    assert_eq!(client.post("pods", &with_resources("c", "2Gi")).await.0, 201);
}

#[tokio::test]
async fn a_quota_counts_storage_also_when_it_grows() {
    let client = Client::new().await;
    client
        .post("resourcequotas", &quota(&json!({ "requests.storage": "3Gi", "persistentvolumeclaims": "2" })))
        .await;
    assert_eq!(client.post("persistentvolumeclaims", &claim("f")).await.0, 201);
    until(async || client.get("persistentvolumeclaims/f").await.1["status"]["phase"] == "Bound").await;
    let size = |size: &str| json!({ "spec": { "resources": { "requests": { "storage": size } } } });
    let refused = client.patch("merge", "persistentvolumeclaims/f", &size("4Gi")).await;
    assert_eq!(
        forbidden(&refused),
        "persistentvolumeclaims \"f\" is forbidden: exceeded quota: q, requested: requests.storage=3Gi, used: requests.storage=1Gi, limited: requests.storage=3Gi"
    );
    assert_eq!(client.patch("merge", "persistentvolumeclaims/f", &size("3Gi")).await.0, 200);
}

#[tokio::test]
async fn limits_are_filled_in_and_kept() {
    let client = Client::new().await;
    let limit = json!({ "type": "Container", "default": { "memory": "1Gi" }, "defaultRequest": { "memory": "512Mi" }, "max": { "memory": "2Gi" } });
    client.post("limitranges", &json!({ "metadata": { "name": "l" }, "spec": { "limits": [limit] } })).await;
    let (_, made) = client.post("pods", &pod("a")).await;
    let resources = &made["spec"]["containers"][0]["resources"];
    assert_eq!(resources, &json!({ "limits": { "memory": "1Gi" }, "requests": { "memory": "512Mi" } }));
    let refused = client.post("pods", &with_resources("b", "4Gi")).await;
    assert_eq!(
        forbidden(&refused),
        "pods \"b\" is forbidden: maximum memory usage per Container is 2Gi, but limit is 4Gi"
    );
}

/// What the profile `restricted` asks of a pod.
fn restricted(name: &str) -> Value {
    let mut pod = pod(name);
    pod["spec"]["securityContext"] =
        json!({ "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } });
    pod["spec"]["containers"][0]["securityContext"] =
        json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } });
    pod
}

#[tokio::test]
async fn a_namespace_takes_only_pods_of_its_profile() {
    let client = Client::new().await;
    client.server.namespace("strict", json!({ "pod-security.kubernetes.io/enforce": "restricted" }));
    let path = "/api/v1/namespaces/strict/pods";
    let refused = client.post(path, &pod("a")).await;
    assert_eq!(
        forbidden(&refused),
        "pods \"a\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false (container \"worker\" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"worker\" must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"worker\" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container \"worker\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
    );
    assert_eq!(client.post(path, &restricted("a")).await.0, 201);
}

#[test]
fn each_rule_of_the_profiles_is_evaluated() {
    let found = |level: Level, change: &dyn Fn(&mut Value)| -> Vec<String> {
        let mut pod = restricted("a");
        change(&mut pod);
        security::violations(level, &pod).iter().map(ToString::to_string).collect()
    };
    assert!(found(Level::Restricted, &|_| {}).is_empty());
    let set = |pointer: &'static str, value: Value| {
        move |pod: &mut Value| {
            let (parent, last) = pointer.rsplit_once('/').unwrap();
            let parent = pod.pointer_mut(parent).unwrap();
            if parent.is_null() {
                *parent = json!({});
            }
            parent[last] = value.clone();
        }
    };
    let container = "/spec/containers/0/securityContext";
    let of = |pointer: String, value: Value| set(Box::leak(pointer.into_boxed_str()), value);
    for (pointer, value, baseline, restricted) in [
        ("/spec/hostNetwork".to_owned(), json!(true), "host namespaces (hostNetwork=true)", ""),
        (
            format!("{container}/privileged"),
            json!(true),
            "privileged (container \"worker\" must not set securityContext.privileged=true)",
            "",
        ),
        (
            "/spec/volumes".to_owned(),
            json!([{ "name": "h", "hostPath": { "path": "/" } }]),
            "hostPath volumes (volume \"h\")",
            "restricted volume types (volume \"h\" uses restricted volume type \"hostPath\")",
        ),
        (
            "/spec/volumes".to_owned(),
            json!([{ "name": "n", "nfs": {} }]),
            "-",
            "restricted volume types (volume \"n\" uses restricted volume type \"nfs\")",
        ),
        (
            format!("{container}/capabilities"),
            json!({ "drop": ["ALL"], "add": ["CHOWN"] }),
            "-",
            "unrestricted capabilities (container \"worker\" must not include \"CHOWN\" in securityContext.capabilities.add)",
        ),
        (
            format!("{container}/capabilities"),
            json!({ "drop": ["ALL"], "add": ["SYS_ADMIN"] }),
            "non-default capabilities (container \"worker\" must not include \"SYS_ADMIN\" in securityContext.capabilities.add)",
            "unrestricted capabilities (container \"worker\" must not include \"SYS_ADMIN\" in securityContext.capabilities.add)",
        ),
        (
            format!("{container}/runAsUser"),
            json!(0),
            "-",
            "runAsUser=0 (container \"worker\" must not set runAsUser=0)",
        ),
        (
            format!("{container}/runAsNonRoot"),
            json!(false),
            "-",
            "runAsNonRoot != true (container \"worker\" must not set securityContext.runAsNonRoot=false)",
        ),
        (
            format!("{container}/seccompProfile"),
            json!({ "type": "Unconfined" }),
            "seccompProfile (container \"worker\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
            "",
        ),
        (
            format!("{container}/procMount"),
            json!("Unmasked"),
            "procMount (container \"worker\" must not set securityContext.procMount to \"Unmasked\")",
            "",
        ),
        (
            "/spec/containers/0/ports".to_owned(),
            json!([{ "containerPort": 1, "hostPort": 80 }]),
            "hostPort (container \"worker\" uses hostPort 80)",
            "",
        ),
        (
            "/spec/containers/0/livenessProbe".to_owned(),
            json!({ "httpGet": { "host": "h" } }),
            "probe or lifecycle host (container \"worker\" uses probe or lifecycle host \"h\")",
            "",
        ),
        (
            "/spec/securityContext/sysctls".to_owned(),
            json!([{ "name": "kernel.msgmax" }]),
            "forbidden sysctls (kernel.msgmax)",
            "",
        ),
        (
            "/spec/securityContext/appArmorProfile".to_owned(),
            json!({ "type": "Unconfined" }),
            "forbidden AppArmor profile (pod must not set AppArmor profile type to \"Unconfined\")",
            "",
        ),
        (
            "/spec/securityContext/seLinuxOptions".to_owned(),
            json!({ "user": "u" }),
            "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: user may not be set)",
            "",
        ),
    ] {
        let change = of(pointer.clone(), value);
        let wanted = |words: &str| if words == "-" { vec![] } else { vec![words.to_owned()] };
        assert_eq!(found(Level::Baseline, &change), wanted(baseline), "{pointer}");
        let restricted = if restricted.is_empty() { baseline } else { restricted };
        assert_eq!(found(Level::Restricted, &change), wanted(restricted), "{pointer}");
    }
    let own_users = |pod: &mut Value| {
        pod["spec"]["hostUsers"] = false.into();
        pod["spec"]["securityContext"]["runAsNonRoot"] = false.into();
    };
    assert!(found(Level::Restricted, &own_users).is_empty());
}

#[tokio::test]
async fn a_pod_needs_its_account_and_its_classes() {
    let client = Client::new().await;
    for (field, value, words) in [
        (
            "serviceAccountName",
            "none",
            format!("error looking up service account {NAMESPACE}/none: serviceaccount \"none\" not found"),
        ),
        ("priorityClassName", "none", "no PriorityClass with name none was found".to_owned()),
        ("runtimeClassName", "none", "pod rejected: RuntimeClass \"none\" not found".to_owned()),
    ] {
        let mut pod = pod("a");
        pod["spec"][field] = value.into();
        let refused = client.post("pods", &pod).await;
        assert_eq!(forbidden(&refused), format!("pods \"a\" is forbidden: {words}"));
    }
    let class = json!({ "metadata": { "name": "gvisor" }, "handler": "runsc", "overhead": { "podFixed": { "memory": "64Mi" } } });
    client.post("/apis/node.k8s.io/v1/runtimeclasses", &class).await;
    let mut pod = pod("a");
    pod["spec"]["runtimeClassName"] = "gvisor".into();
    pod["spec"]["automountServiceAccountToken"] = false.into();
    let (code, made) = client.post("pods", &pod).await;
    assert_eq!((code, &made["spec"]["overhead"]), (201, &json!({ "memory": "64Mi" })));
    assert!(made["spec"]["volumes"].is_null(), "no token: {made}");
}
