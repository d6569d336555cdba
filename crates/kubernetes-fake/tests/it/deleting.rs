//! Objects go: at once, after a grace, or when nothing holds them any more.

use serde_json::{Value, json};
use testing::until;

use crate::client::{Client, claim, config, pod, pod_with, refusal};

#[tokio::test]
async fn a_pod_has_its_grace_and_can_only_lose_of_it() {
    let client = Client::new().await;
    client.server.on_pod(async |pod| {
        pod.running();
        // Ignores that it should end.
        pod.killed().await;
    });
    client.post("pods", &pod("a")).await;
    until(async || client.get("pods/a").await.1["status"]["phase"] == "Running").await;
    let (code, going) = client.delete("pods/a", &Value::Null).await;
    assert_eq!((code, &going["metadata"]["deletionGracePeriodSeconds"]), (200, &json!(30)));
    let longer = client.delete("pods/a", &json!({ "gracePeriodSeconds": 60 })).await.1;
    assert_eq!(longer["metadata"]["deletionGracePeriodSeconds"], 30);
    let shorter = client.delete("pods/a", &json!({ "gracePeriodSeconds": 1 })).await.1;
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 1);
    until(async || client.get("pods/a").await.0 == 404).await;
    assert_eq!(client.server.living(), 0);
}

#[tokio::test]
async fn by_force_it_is_gone_from_the_api_while_its_process_lives() {
    let client = Client::new().await;
    client.server.on_pod(async |pod| {
        pod.running();
        pod.killed().await;
    });
    client.post("pods", &pod("a")).await;
    until(async || client.get("pods/a").await.1["status"]["phase"] == "Running").await;
    client.delete("pods/a", &json!({ "gracePeriodSeconds": 0 })).await;
    assert_eq!(client.get("pods/a").await.0, 404);
    assert_eq!(client.server.living(), 1);
}

#[tokio::test]
async fn a_deletion_can_be_of_one_incarnation() {
    let client = Client::new().await;
    let (_, made) = client.post("pods", &pod("a")).await;
    let uid = made["metadata"]["uid"].as_str().unwrap();
    let refused = client.delete("pods/a", &json!({ "preconditions": { "uid": "other" } })).await;
    let words = format!(
        "Operation cannot be fulfilled on Pod \"a\": the UID in the precondition (other) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
    );
    assert_eq!(refusal(&refused), (409, "Conflict", words.as_str()));
    assert_eq!(client.delete("pods/a", &json!({ "preconditions": { "uid": uid } })).await.0, 200);
}

#[tokio::test]
async fn finalizers_hold_it_and_none_can_be_added() {
    let client = Client::new().await;
    let mut held = config("c", &json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    client.post("configmaps", &held).await;
    let (code, going) = client.delete("configmaps/c", &Value::Null).await;
    assert_eq!(code, 200);
    assert!(going["metadata"]["deletionTimestamp"].is_string());
    let more = json!({ "metadata": { "finalizers": ["example.com/hold", "example.com/more"] } });
    assert_eq!(client.patch("merge", "configmaps/c", &more).await.0, 422);
    let (code, _) =
        client.patch("merge", "configmaps/c", &json!({ "metadata": { "finalizers": null } })).await;
    assert_eq!(code, 200);
    assert_eq!(client.get("configmaps/c").await.0, 404);
}

#[tokio::test]
async fn a_claim_stays_while_a_pod_uses_it() {
    let client = Client::new().await;
    client.post("persistentvolumeclaims", &claim("f")).await;
    client.post("pods", &pod_with("a", "f")).await;
    until(async || client.get("pods/a").await.1["status"]["phase"] == "Running").await;
    client.delete("persistentvolumeclaims/f", &Value::Null).await;
    let (code, held) = client.get("persistentvolumeclaims/f").await;
    assert_eq!((code, &held["metadata"]["finalizers"]), (200, &json!(["kubernetes.io/pvc-protection"])));
    client.delete("pods/a", &json!({ "gracePeriodSeconds": 1 })).await;
    until(async || client.get("persistentvolumeclaims/f").await.0 == 404).await;
    assert_eq!(client.get("pods/a").await.0, 404);
}

#[tokio::test]
async fn what_has_lost_its_owner_goes() {
    let client = Client::new().await;
    let (_, owner) = client.post("configmaps", &config("owner", &json!({}))).await;
    let mut owned = pod("a");
    let uid = owner["metadata"]["uid"].clone();
    owned["metadata"]["ownerReferences"] =
        json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid }]);
    client.post("pods", &owned).await;
    client.post("pods", &pod("b")).await;
    client.delete("configmaps/owner", &Value::Null).await;
    until(async || client.get("pods/a").await.0 == 404).await;
    assert_eq!(client.get("pods/b").await.0, 200);
}

#[tokio::test]
async fn a_namespace_ends_with_all_that_is_in_it_and_takes_nothing_new() {
    let client = Client::new().await;
    client.server.on_pod(async |pod| {
        pod.running();
        pod.killed().await;
    });
    let mut slow = pod("a");
    slow["spec"]["terminationGracePeriodSeconds"] = 1.into();
    client.post("pods", &slow).await;
    until(async || client.get("pods/a").await.1["status"]["phase"] == "Running").await;
    client.delete("/api/v1/namespaces/sandboxes", &Value::Null).await;
    let refused = client.post("pods", &pod("b")).await;
    let words = "pods \"b\" is forbidden: unable to create new content in namespace sandboxes because it is being terminated";
    assert_eq!(refusal(&refused), (403, "Forbidden", words));
    assert_eq!(refused.1["details"]["causes"][0]["reason"], "NamespaceTerminating");
    until(async || client.get("/api/v1/namespaces/sandboxes").await.0 == 404).await;
}

#[tokio::test]
async fn an_owner_can_go_first_last_or_alone() {
    let client = Client::new().await;
    for (policy, left) in [("Background", 404), ("Foreground", 404), ("Orphan", 200)] {
        let (_, owner) = client.post("configmaps", &config("owner", &json!({}))).await;
        let mut held = config("owned", &json!({}));
        let uid = owner["metadata"]["uid"].clone();
        held["metadata"]["ownerReferences"] =
            json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid }]);
        held["metadata"]["finalizers"] = json!(["example.com/hold"]);
        client.post("configmaps", &held).await;
        client.delete("configmaps/owner", &json!({ "propagationPolicy": policy })).await;
        if policy == "Foreground" {
            until(async || {
                client.get("configmaps/owned").await.1["metadata"]["deletionTimestamp"].is_string()
            })
            .await;
            let (_, waits) = client.get("configmaps/owner").await;
            assert_eq!(waits["metadata"]["finalizers"], json!(["foregroundDeletion"]));
        }
        client.patch("merge", "configmaps/owned", &json!({ "metadata": { "finalizers": null } })).await;
        until(async || client.get("configmaps/owner").await.0 == 404).await;
        until(async || client.get("configmaps/owned").await.0 == left).await;
        client.delete("configmaps/owned", &Value::Null).await;
    }
}
