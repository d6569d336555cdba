//! The server is away, slow, or loses what it has said.

use std::time::Duration;

use manyhands_kubernetes_fake::{Away, Fault, Status};
use reqwest::Method;
use serde_json::{Value, json};
use testing::until;

use crate::client::{Client, pod, refusal};

#[tokio::test]
async fn the_server_is_away_in_each_way_and_comes_back() {
    let client = Client::new().await;
    let mut watch = client.watch("pods?watch=1").await;
    client.server.is_away(Away::Refused);
    until(async || client.try_get("pods").await.is_err_and(|error| error.is_connect())).await;
    assert!(watch.try_next().await.is_err(), "what was connected is cut");
    client.server.is_back();
    until(async || client.try_get("pods").await.is_ok()).await;
    client.server.is_away(Away::Hung);
    let hung = tokio::time::timeout(Duration::from_millis(200), client.try_get("pods")).await;
    assert!(hung.is_err(), "{hung:?}");
    client.server.is_away(Away::TooMany(2));
    let answer = client.try_get("pods").await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (429, "2"));
    client.server.is_away(Away::Unavailable);
    let refused = client.get("pods").await;
    assert_eq!((refusal(&refused).0, refusal(&refused).1), (503, "ServiceUnavailable"));
    client.server.is_away(Away::Page(502));
    let page = client.try_get("pods").await.unwrap();
    assert_eq!(page.status(), 502);
    assert!(page.text().await.unwrap().contains("<html>"));
    client.server.is_back();
    assert_eq!(client.get("pods").await.0, 200);
}

#[tokio::test]
async fn one_request_can_go_wrong() {
    let client = Client::new().await;
    client.server.plan("create", "pods", Fault::LoseRequest);
    assert!(client.try_send(Method::POST, "pods", &pod("a")).await.is_err());
    assert_eq!(client.get("pods/a").await.0, 404);
    client.server.plan("create", "pods", Fault::LoseAnswer);
    assert!(client.try_send(Method::POST, "pods", &pod("a")).await.is_err());
    assert_eq!(client.get("pods/a").await.0, 200, "it was done");
    let webhook = Status::new(400, "BadRequest", "admission webhook \"w\" denied the request: no");
    client.server.plan("create", "pods", Fault::Refuse(webhook));
    let refused = client.post("pods", &pod("b")).await;
    assert_eq!(refusal(&refused), (400, "BadRequest", "admission webhook \"w\" denied the request: no"));
    assert_eq!(client.post("pods", &pod("b")).await.0, 201, "once");
    client.server.plan("get", "pods", Fault::Slow(Duration::from_millis(50)));
    assert_eq!(client.get("pods/b").await.0, 200);
}

#[tokio::test]
async fn an_eviction_is_a_deletion_that_a_budget_can_refuse() {
    let client = Client::new().await;
    client.post("pods", &pod("a")).await;
    let budgets = "/apis/policy/v1/namespaces/sandboxes/poddisruptionbudgets";
    let budget = json!({ "metadata": { "name": "b" }, "spec": { "maxUnavailable": 0, "selector": { "matchLabels": { "app": "worker" } } } });
    client.post(budgets, &budget).await;
    let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": "a" } });
    let refused = client.post("pods/a/eviction", &eviction).await;
    let words = "Cannot evict pod as it would violate the pod's disruption budget.";
    assert_eq!(refusal(&refused), (429, "TooManyRequests", words));
    client.delete(&format!("{budgets}/b"), &Value::Null).await;
    until(async || client.get("pods/a").await.1["status"]["phase"] == "Running").await;
    assert_eq!(client.post("pods/a/eviction", &eviction).await.0, 201);
    let going = client.get("pods/a").await;
    if going.0 == 200 {
        let conditions = going.1["status"]["conditions"].as_array().unwrap();
        assert!(conditions.iter().any(|condition| condition["reason"] == "EvictionByEvictionAPI"));
    }
}
