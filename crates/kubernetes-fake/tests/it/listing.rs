//! Lists: whole, in parts, selected, and as they were.

use serde_json::{Value, json};

use crate::client::{Client, NAMESPACE, config, pod, refusal};

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn labels_and_fields_select() {
    let client = Client::new().await;
    for (name, app) in [("a", "worker"), ("b", "worker"), ("c", "other")] {
        let mut pod = pod(name);
        pod["metadata"]["labels"]["app"] = app.into();
        client.post("pods", &pod).await;
    }
    for (query, wanted) in [
        ("labelSelector=app%3Dworker", vec!["a", "b"]),
        ("labelSelector=app!=worker", vec!["c"]),
        ("labelSelector=app%20in%20(worker,other)", vec!["a", "b", "c"]),
        ("labelSelector=app%20notin%20(worker),app", vec!["c"]),
        ("labelSelector=!app", vec![]),
        ("fieldSelector=metadata.name%3Db", vec!["b"]),
        ("fieldSelector=metadata.name!%3Db,spec.schedulerName%3Ddefault-scheduler", vec!["a", "c"]),
    ] {
        let (code, list) = client.get(&format!("pods?{query}")).await;
        assert_eq!((code, names(&list)), (200, wanted), "{query}");
    }
    let refused = client.get("pods?fieldSelector=spec.image%3Dx").await;
    assert_eq!(refusal(&refused), (400, "BadRequest", "field label not supported: spec.image"));
}

#[tokio::test]
async fn a_list_in_parts_is_as_it_was_when_it_began() {
    let client = Client::new().await;
    for name in ["a", "b", "c", "d", "e"] {
        client.post("configmaps", &config(name, &json!({}))).await;
    }
    let (_, first) = client.get("configmaps?limit=2").await;
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 4, "one is of the namespace itself");
    client.delete("configmaps/d", &Value::Null).await;
    client.post("configmaps", &config("f", &json!({}))).await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let (_, rest) = client.get(&format!("configmaps?limit=10&continue={token}")).await;
    assert_eq!(names(&rest), ["c", "d", "e", "kube-root-ca.crt"]);
    assert_eq!(rest["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    client.server.compact();
    let expired = client.get(&format!("configmaps?limit=10&continue={token}")).await;
    assert_eq!((refusal(&expired).0, refusal(&expired).1), (410, "Expired"));
}

#[tokio::test]
async fn a_cache_that_lags_answers_who_takes_any_version() {
    let client = Client::new().await;
    client.post("pods", &pod("a")).await;
    client.server.freeze_cache();
    let (_, made) = client.post("pods", &pod("b")).await;
    assert_eq!(names(&client.get("pods?resourceVersion=0").await.1), ["a"]);
    assert_eq!(names(&client.get("pods").await.1), ["a", "b"]);
    let version = made["metadata"]["resourceVersion"].as_str().unwrap();
    let behind =
        client.get(&format!("pods?resourceVersion={version}&resourceVersionMatch=NotOlderThan")).await;
    let (code, reason, message) = refusal(&behind);
    assert_eq!((code, reason), (504, "Timeout"));
    assert!(message.starts_with("Timeout: Too large resource version: "), "{message}");
    client.server.thaw_cache();
    assert_eq!(names(&client.get("pods?resourceVersion=0").await.1), ["a", "b"]);
}

#[tokio::test]
async fn all_namespaces_are_listed_together() {
    let client = Client::new().await;
    client.post("pods", &pod("a")).await;
    client.post("/api/v1/namespaces/default/pods", &pod("b")).await;
    let (_, list) = client.get("/api/v1/pods").await;
    assert_eq!(names(&list), ["b", "a"]);
    assert_eq!(list["items"][1]["metadata"]["namespace"], NAMESPACE);
    assert_eq!(list["kind"], "PodList");
}
