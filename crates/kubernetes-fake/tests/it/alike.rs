//! The stand-in and a real server answer alike: the same requests, one after the other, compared by code, reason and words.

use serde_json::{Value, json};
use testing::{until, within};

use crate::client::{Answer, Client, PATIENT, claim, config, pod, pod_with};
use crate::real::real;

/// What the real server of the tests, which is older, says in other words.
const OLDER: [(&str, &str); 10] = [
    ("NetworkPolicy.extensions", "NetworkPolicy.networking.k8s.io"),
    ("map[string]string{\"a\":\"c\"}", "{\"a\":\"c\"}"),
    ("a DNS-1123 subdomain must", "a lowercase RFC 1123 subdomain must"),
    ("must be no more than 63 characters", "must be no more than 63 bytes"),
    ("`, `spec.initContainers", "`,`spec.initContainers"),
    ("less than or equal to memory limit", "less than or equal to memory limit of 1Gi"),
    ("limit of 1Gi of 1Gi", "limit of 1Gi"),
    (" for: worker", ""),
    (
        ", `spec.activeDeadlineSeconds` or `spec.tolerations` (only additions to existing tolerations)",
        ",`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
    ),
    ("resources.requests for bound", "resources.requests and volumeAttributesClassName for bound"),
];

/// Code, reason and message, without what differs by chance, and without what follows a field's old and new value.
fn brief((code, body): &Answer) -> String {
    if body["kind"] != "Status" {
        return code.to_string();
    }
    let mut message = body["message"].as_str().unwrap_or_default().to_owned();
    for (older, newer) in OLDER {
        message = message.replace(older, newer);
    }
    let message = message.split('\n').next().unwrap().trim();
    let words = message.split(' ').map(|word| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_uid = bare.len() == 36 && bare.matches('-').count() == 4;
        let is_number = !bare.is_empty() && bare.chars().all(|c| c.is_ascii_digit()) && bare.len() > 2;
        if is_uid {
            word.replace(bare, "UID")
        } else if is_number {
            word.replace(bare, "#")
        } else {
            word.to_owned()
        }
    });
    format!("{code} {} {}", body["reason"].as_str().unwrap_or("-"), words.collect::<Vec<_>>().join(" "))
}

/// What is said of each request, in order.
async fn story(client: &Client) -> Vec<(String, String)> {
    let mut told = Vec::new();
    let mut tell = |what: &str, answer: &Answer| told.push((what.to_owned(), brief(answer)));
    let role = "/apis/rbac.authorization.k8s.io/v1/namespaces/sandboxes/rolebindings";

    tell("missing", &client.get("pods/none").await);
    tell("missing of a group", &client.get("/apis/apps/v1/namespaces/sandboxes/deployments/none").await);
    tell("no such resource", &client.get("/apis/apps/v1/namespaces/sandboxes/nothings").await);
    tell("no such namespace", &client.post("/api/v1/namespaces/none/pods", &pod("a")).await);
    tell("other namespace", &client.post("/api/v1/namespaces/default/pods", &json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "a", "namespace": "sandboxes" }, "spec": {} })).await);
    tell("no name", &client.post("configmaps", &json!({ "metadata": {} })).await);
    tell("bad name", &client.post("configmaps", &config("Bad", &json!({}))).await);
    let mut bad = config("c", &json!({}));
    bad["metadata"]["labels"] = json!({ "a": "-b" });
    tell("bad label", &client.post("configmaps", &bad).await);
    bad["metadata"]["labels"] = json!({ "a": "b".repeat(64) });
    tell("long label", &client.post("configmaps", &bad).await);
    bad["metadata"]["labels"] = json!({ "-a": "b" });
    tell("bad key", &client.post("configmaps", &bad).await);
    tell(
        "bad service",
        &client
            .post("services", &json!({ "metadata": { "name": "1a" }, "spec": { "ports": [{ "port": 1 }] } }))
            .await,
    );
    tell("made", &client.post("configmaps", &config("c", &json!({ "a": "1" }))).await);
    tell("made twice", &client.post("configmaps", &config("c", &json!({}))).await);
    let mut versioned = config("d", &json!({}));
    versioned["metadata"]["resourceVersion"] = "5".into();
    tell("made with a version", &client.post("configmaps", &versioned).await);

    let (_, first) = client.get("configmaps/c").await;
    let mut second = first.clone();
    second["data"]["a"] = "2".into();
    tell("changed", &client.put("configmaps/c", &second).await);
    tell("changed twice", &client.put("configmaps/c", &second).await);
    tell("another name", &client.put("configmaps/d", &second).await);
    tell(
        "patched with an old version",
        &client
            .patch(
                "merge",
                "configmaps/c",
                &json!({ "metadata": { "resourceVersion": first["metadata"]["resourceVersion"] } }),
            )
            .await,
    );
    tell("patched by test", &client.patch("json", "configmaps/c", &json!([{ "op": "test", "path": "/data/a", "value": "2" }, { "op": "replace", "path": "/data/a", "value": "3" }])).await);
    tell("unknown patch", &client.patch("other", "configmaps/c", &json!({})).await);
    tell("applied by nobody", &client.patch("apply", "configmaps/c", &config("c", &json!({}))).await);
    tell(
        "applied against it",
        &client.patch("apply", "configmaps/c?fieldManager=x", &config("c", &json!({ "a": "9" }))).await,
    );
    tell(
        "applied by force",
        &client
            .patch("apply", "configmaps/c?fieldManager=x&force=true", &config("c", &json!({ "a": "9" })))
            .await,
    );
    tell(
        "applied anew",
        &client.patch("apply", "configmaps/e?fieldManager=x", &config("e", &json!({ "a": "9" }))).await,
    );

    tell("no containers", &client.post("pods", &json!({ "metadata": { "name": "a" }, "spec": {} })).await);
    let mut odd = pod("a");
    odd["spec"]["containers"][0]["image"] = "".into();
    odd["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "v", "mountPath": "/v" }]);
    tell("no image, no volume", &client.post("pods", &odd).await);
    let mut odd = pod("a");
    odd["spec"]["containers"][0]["resources"] =
        json!({ "requests": { "memory": "2Gi" }, "limits": { "memory": "1Gi" } });
    tell("more than its limit", &client.post("pods", &odd).await);
    let mut odd = pod("a");
    odd["spec"]["dnsPolicy"] = "None".into();
    tell("no names", &client.post("pods", &odd).await);
    for (field, value) in
        [("serviceAccountName", "none"), ("priorityClassName", "none"), ("runtimeClassName", "none")]
    {
        let mut odd = pod("a");
        odd["spec"][field] = value.into();
        tell(field, &client.post("pods", &odd).await);
    }
    tell(
        "claim without a size",
        &client
            .post(
                "persistentvolumeclaims",
                &json!({ "metadata": { "name": "f" }, "spec": { "accessModes": ["ReadWriteOnce"] } }),
            )
            .await,
    );
    tell("claim without a mode", &client.post("persistentvolumeclaims", &json!({ "metadata": { "name": "f" }, "spec": { "resources": { "requests": { "storage": "1Gi" } } } })).await);
    let secret = json!({ "metadata": { "name": "s" }, "stringData": { "k": "v" }, "immutable": true });
    tell("secret", &client.post("secrets", &secret).await);
    tell("secret again", &client.patch("merge", "secrets/s", &json!({ "data": { "k": "dw==" } })).await);
    tell("binding without a role", &client.post(role, &json!({ "metadata": { "name": "b" }, "roleRef": { "kind": "Role", "apiGroup": "rbac.authorization.k8s.io" } })).await);

    let apps = "/apis/apps/v1/namespaces/sandboxes";
    let mut stateful = json!({ "metadata": { "name": "s" }, "spec": {
        "serviceName": "s",
        "selector": { "matchLabels": { "a": "b" } },
        "template": { "metadata": { "labels": { "a": "b" } }, "spec": pod_with("x", "f")["spec"] },
        "volumeClaimTemplates": [{ "metadata": { "name": "files" }, "spec": claim("f")["spec"] }],
    } });
    tell("set with a policy", &client.post(&format!("{apps}/statefulsets?dryRun=All"), &stateful).await);
    stateful["spec"]["template"]["spec"]["restartPolicy"] = "Always".into();
    stateful["spec"]["template"]["spec"]["volumes"] = json!([]);
    tell("set", &client.post(&format!("{apps}/statefulsets?dryRun=All"), &stateful).await);
    let mut deployment = stateful.clone();
    deployment["spec"]
        .as_object_mut()
        .unwrap()
        .retain(|field, _| ["selector", "template"].contains(&field.as_str()));
    tell(
        "deployment without a volume",
        &client.post(&format!("{apps}/deployments?dryRun=All"), &deployment).await,
    );
    deployment["spec"]["template"] =
        json!({ "metadata": { "labels": { "a": "c" } }, "spec": pod("x")["spec"] });
    deployment["spec"]["template"]["spec"]["restartPolicy"] = "Always".into();
    tell("deployment of others", &client.post(&format!("{apps}/deployments?dryRun=All"), &deployment).await);
    let job = json!({ "metadata": { "name": "j" }, "spec": { "template": { "spec": { "containers": [{ "name": "c", "image": "i" }] } } } });
    tell("job", &client.post("/apis/batch/v1/namespaces/sandboxes/jobs?dryRun=All", &job).await);
    let policy = |except: &str| json!({ "metadata": { "name": "n" }, "spec": { "podSelector": {}, "egress": [{ "to": [{ "ipBlock": { "cidr": "::/0", "except": [except] } }] }] } });
    let policies = "/apis/networking.k8s.io/v1/namespaces/sandboxes/networkpolicies?dryRun=All";
    tell("policy", &client.post(policies, &policy("fc00::/7")).await);
    tell("policy with what is elsewhere", &client.post(policies, &policy("10.0.0.0/8")).await);

    tell("quota", &client.post("resourcequotas", &json!({ "metadata": { "name": "q" }, "spec": { "hard": { "pods": "2", "limits.memory": "3Gi" } } })).await);
    until(async || client.get("resourcequotas/q").await.1["status"]["used"]["pods"] == "0").await;
    tell("silent about memory", &client.post("pods", &pod("a")).await);
    let large = |name: &str, memory: &str| {
        let mut pod = pod_with(name, "f");
        pod["spec"]["containers"][0]["image"] = "manyhands-test-sandbox".into();
        pod["spec"]["containers"][0]["imagePullPolicy"] = "IfNotPresent".into();
        pod["spec"]["containers"][0]["command"] = json!(["sleep", "1000"]);
        pod["spec"]["containers"][0]["resources"] = json!({ "limits": { "memory": memory, "cpu": "100m" } });
        pod["spec"]["terminationGracePeriodSeconds"] = 1.into();
        pod
    };
    tell("too much", &client.post("pods", &large("a", "4Gi")).await);
    tell("claim", &client.post("persistentvolumeclaims", &claim("f")).await);
    tell("pod", &client.post("pods", &large("a", "1Gi")).await);
    until(async || client.get("pods/a").await.1["status"]["phase"] == "Running").await;
    tell(
        "pod that is changed",
        &client.patch("merge", "pods/a", &json!({ "spec": { "nodeSelector": { "a": "b" } } })).await,
    );
    tell(
        "claim that shrinks",
        &client
            .patch(
                "merge",
                "persistentvolumeclaims/f",
                &json!({ "spec": { "accessModes": ["ReadWriteMany"] } }),
            )
            .await,
    );
    tell(
        "of another uid",
        &client
            .delete("pods/a", &json!({ "preconditions": { "uid": "00000000-0000-0000-0000-000000000000" } }))
            .await,
    );
    tell("unknown field", &client.get("pods?fieldSelector=spec.image%3Dx").await);
    tell("unknown container", &client.get("pods/a/log?container=none").await);
    tell("no previous", &client.get("pods/a/log?previous=true").await);
    tell("claim in use", &client.delete("persistentvolumeclaims/f", &json!(null)).await);
    let (_, held) = client.get("persistentvolumeclaims/f").await;
    tell("held", &(if held["metadata"]["deletionTimestamp"].is_string() { 1 } else { 0 }, Value::Null));
    tell("pod goes", &client.delete("pods/a", &json!({ "gracePeriodSeconds": 1 })).await);
    // The node of 1.20 takes its time where the claim goes first.
    let gone = async || (client.get("persistentvolumeclaims/f").await.0 == 404).then_some(());
    within(PATIENT, "the claim to go", gone).await;
    tell("wrong method", &client.put("configmaps", &config("c", &json!({}))).await);
    told
}

#[tokio::test]
async fn both_say_the_same() {
    let Some(real) = real("whether the stand-in for Kubernetes and a real server answer alike") else {
        return;
    };
    let fake = Client::new().await;
    let real = Client::of_real(real).await;
    let (mut said, mut wanted) = (story(&fake).await, story(&real).await);
    real.delete("/api/v1/namespaces/sandboxes", &json!(null)).await;
    let same = said.iter().zip(&wanted).filter(|(one, other)| one == other).count();
    println!("{same} of {} answers alike", wanted.len());
    said.retain(|one| !wanted.contains(one));
    wanted.retain(|one| said.iter().any(|other| one.0 == other.0));
    assert!(said.is_empty(), "the stand-in says\n{said:#?}\nand the real server\n{wanted:#?}");
}
