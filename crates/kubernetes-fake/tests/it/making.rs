//! Objects come to be, with what the server fills in, or are refused.

use manyhands_kubernetes_fake::kinds::Kind;
use manyhands_kubernetes_fake::{Server, Settings};
use serde_json::json;
use testing::until;

use crate::client::{Client, NAMESPACE, claim, config, pod, refusal};

#[tokio::test]
async fn a_pod_has_what_the_server_fills_in() {
    let client = Client::new().await;
    let (code, made) = client.post("pods", &pod("a")).await;
    assert_eq!(code, 201, "{made}");
    for (pointer, wanted) in [
        ("/metadata/namespace", json!(NAMESPACE)),
        ("/metadata/generation", json!(1)),
        ("/spec/terminationGracePeriodSeconds", json!(30)),
        ("/spec/dnsPolicy", json!("ClusterFirst")),
        ("/spec/serviceAccountName", json!("default")),
        ("/spec/tolerations/0/tolerationSeconds", json!(300)),
        ("/spec/containers/0/imagePullPolicy", json!("IfNotPresent")),
        (
            "/spec/containers/0/volumeMounts/0/mountPath",
            json!("/var/run/secrets/kubernetes.io/serviceaccount"),
        ),
        ("/status/phase", json!("Pending")),
        ("/status/qosClass", json!("BestEffort")),
        ("/metadata/managedFields/0/manager", json!("it")),
    ] {
        assert_eq!(made.pointer(pointer), Some(&wanted), "{pointer} of {made}");
    }
    for pointer in ["/metadata/uid", "/metadata/creationTimestamp", "/metadata/resourceVersion"] {
        assert!(made.pointer(pointer).unwrap().is_string());
    }
    until(async || client.get("pods/a").await.1["status"]["phase"] == "Running").await;
}

#[tokio::test]
async fn a_name_is_taken_once_and_generated_names_are_new() {
    let client = Client::new().await;
    client.post("pods", &pod("a")).await;
    let again = client.post("pods", &pod("a")).await;
    assert_eq!(refusal(&again), (409, "AlreadyExists", "pods \"a\" already exists"));
    assert_eq!(again.1["details"], json!({ "name": "a", "kind": "pods" }));
    let mut generated = pod("a");
    generated["metadata"] = json!({ "generateName": "a-" });
    let (code, made) = client.post("pods", &generated).await;
    let name = made["metadata"]["name"].as_str().unwrap();
    assert_eq!((code, name.len()), (201, 7), "{name}");
    let missing = client.get("pods/b").await;
    assert_eq!(refusal(&missing), (404, "NotFound", "pods \"b\" not found"));
}

#[tokio::test]
async fn what_is_wrong_is_all_said() {
    let client = Client::new().await;
    let mut bad = pod("Upper_Case");
    bad["metadata"]["labels"] = json!({ "app": "-x" });
    bad["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "none", "mountPath": "/x" }]);
    let refused = client.post("pods", &bad).await;
    let (code, reason, message) = refusal(&refused);
    assert_eq!((code, reason), (422, "Invalid"));
    assert!(message.starts_with("Pod \"Upper_Case\" is invalid: [metadata.name: Invalid value: \"Upper_Case\": a lowercase RFC 1123 subdomain"), "{message}");
    assert!(message.contains("metadata.labels: Invalid value: \"-x\": a valid label must be"), "{message}");
    assert!(message.contains("spec.containers[0].volumeMounts[0].name: Not found: \"none\""), "{message}");
    let fields: Vec<_> =
        refused.1["details"]["causes"].as_array().unwrap().iter().map(|cause| &cause["field"]).collect();
    assert_eq!(fields, ["metadata.name", "metadata.labels", "spec.containers[0].volumeMounts[0].name"]);
}

#[tokio::test]
async fn an_update_of_what_has_changed_is_refused() {
    let client = Client::new().await;
    let (_, first) = client.post("configmaps", &config("c", &json!({ "a": "1" }))).await;
    let mut second = first.clone();
    second["data"]["a"] = "2".into();
    assert_eq!(client.put("configmaps/c", &second).await.0, 200);
    let stale = client.put("configmaps/c", &second).await;
    let words = "Operation cannot be fulfilled on configmaps \"c\": the object has been modified; please apply your changes to the latest version and try again";
    assert_eq!(refusal(&stale), (409, "Conflict", words));
    let mut blind = second.clone();
    blind["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let (code, same) = client.put("configmaps/c", &blind).await;
    let now = client.get("configmaps/c").await.1;
    assert_eq!((code, &same), (200, &now), "what changes nothing has no new version");
}

#[tokio::test]
async fn what_is_immutable_stays() {
    let client = Client::new().await;
    client.post("pods", &pod("a")).await;
    let refused = client.patch("merge", "pods/a", &json!({ "spec": { "nodeSelector": { "a": "b" } } })).await;
    let (code, reason, message) = refusal(&refused);
    assert_eq!((code, reason), (422, "Invalid"));
    assert!(message.starts_with("Pod \"a\" is invalid: spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`"), "{message}");
    let image = json!({ "spec": { "containers": [{ "name": "worker", "image": "worker:2" }] } });
    let (code, changed) = client.patch("strategic-merge", "pods/a", &image).await;
    assert_eq!((code, &changed["spec"]["containers"][0]["image"]), (200, &json!("worker:2")));
    assert_eq!(changed["spec"]["containers"][0]["stdin"], true, "the rest of the item stays");

    client.post("persistentvolumeclaims", &claim("f")).await;
    until(async || client.get("persistentvolumeclaims/f").await.1["status"]["phase"] == "Bound").await;
    let size = |size: &str| json!({ "spec": { "resources": { "requests": { "storage": size } } } });
    assert_eq!(client.patch("merge", "persistentvolumeclaims/f", &size("2Gi")).await.0, 200);
    assert_eq!(client.patch("merge", "persistentvolumeclaims/f", &size("1Gi")).await.0, 422);
    let class = json!({ "spec": { "storageClassName": "other" } });
    assert_eq!(client.patch("merge", "persistentvolumeclaims/f", &class).await.0, 422);

    let secret = json!({ "metadata": { "name": "s" }, "stringData": { "k": "v" }, "immutable": true });
    let (code, made) = client.post("secrets", &secret).await;
    assert_eq!((code, &made["data"]), (201, &json!({ "k": "dg==" })));
    let refused = client.patch("merge", "secrets/s", &json!({ "data": { "k": "dw==" } })).await;
    let words = "Secret \"s\" is invalid: data: Forbidden: field is immutable when `immutable` is set";
    assert_eq!(refusal(&refused), (422, "Invalid", words));
}

#[tokio::test]
async fn a_dry_run_is_checked_and_leaves_nothing() {
    let client = Client::new().await;
    assert_eq!(client.post("pods?dryRun=All", &pod("a")).await.0, 201);
    assert_eq!(client.get("pods/a").await.0, 404);
    assert_eq!(client.post("pods?dryRun=All", &pod("A")).await.0, 422);
}

#[tokio::test]
async fn what_is_sent_must_be_json_of_the_kind_of_the_path() {
    let client = Client::new().await;
    let wrong = client.post("pods", &config("c", &json!({}))).await;
    assert_eq!(refusal(&wrong).0, 400);
    let odd = client.send(reqwest::Method::POST, "pods", "text/plain", &pod("a")).await;
    assert_eq!(odd.status(), 415);
    let mut elsewhere = pod("a");
    elsewhere["metadata"]["namespace"] = "other".into();
    let refused = client.post("pods", &elsewhere).await;
    let words = "the namespace of the provided object does not match the namespace sent on the request";
    assert_eq!(refusal(&refused), (400, "BadRequest", words));
    let nowhere = client.post("/api/v1/namespaces/none/pods", &pod("a")).await;
    assert_eq!(refusal(&nowhere), (404, "NotFound", "namespaces \"none\" not found"));
}

#[tokio::test]
async fn a_test_can_tell_it_of_kinds_that_it_does_not_know() {
    let sandbox = Kind {
        group: "agents.x-k8s.io",
        version: "v1beta1",
        plural: "sandboxes",
        kind: "Sandbox",
        namespaced: true,
        short: &[],
        has_status: true,
    };
    let server = Server::with(Settings { kinds: vec![sandbox], ..Settings::default() }).await;
    let client = Client::of(server);
    let path = "/apis/agents.x-k8s.io/v1beta1/namespaces/sandboxes/sandboxes";
    let (code, made) = client
        .post(path, &json!({ "metadata": { "name": "a" }, "spec": { "b": 1 }, "status": { "c": 1 } }))
        .await;
    assert_eq!((code, &made["status"], &made["metadata"]["generation"]), (201, &json!({}), &json!(1)));
    let status = json!({ "status": { "phase": "Ready" }, "spec": { "b": 2 } });
    let (_, told) = client.patch("merge", &format!("{path}/a/status"), &status).await;
    assert_eq!((&told["status"]["phase"], &told["spec"]["b"]), (&json!("Ready"), &json!(1)));
    let (_, changed) = client.patch("merge", &format!("{path}/a"), &status).await;
    assert_eq!((&changed["spec"]["b"], &changed["metadata"]["generation"]), (&json!(2), &json!(2)));
    let (_, list) = client.get("/apis/agents.x-k8s.io/v1beta1").await;
    assert_eq!(list["resources"][0]["name"], "sandboxes");
}
