//! Watches: what has changed, bookmarks, ends, and versions that are forgotten.

use std::time::Duration;

use manyhands_kubernetes_fake::{Server, Settings};
use serde_json::{Value, json};

use crate::client::{Client, config};

fn labelled(name: &str, app: &str) -> Value {
    let mut config = config(name, &json!({}));
    config["metadata"]["labels"] = json!({ "app": app });
    config
}

#[tokio::test]
async fn what_comes_to_be_selected_is_added_and_what_ceases_is_deleted() {
    let client = Client::new().await;
    let (_, list) = client.get("configmaps").await;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    let mut watch =
        client.watch(&format!("configmaps?watch=1&resourceVersion={version}&labelSelector=app%3Dx")).await;
    client.post("configmaps", &labelled("a", "y")).await;
    let label = |app: &str| json!({ "metadata": { "labels": { "app": app } } });
    client.patch("merge", "configmaps/a", &label("x")).await;
    client.patch("merge", "configmaps/a", &json!({ "data": { "k": "v" } })).await;
    client.patch("merge", "configmaps/a", &label("y")).await;
    client.patch("merge", "configmaps/a", &label("x")).await;
    client.delete("configmaps/a", &Value::Null).await;
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(watch.brief().await.0);
    }
    assert_eq!(seen, ["ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED"]);
}

#[tokio::test]
async fn a_watch_without_a_version_begins_with_what_there_is() {
    let client = Client::new().await;
    client.post("configmaps", &labelled("a", "x")).await;
    let mut watch = client.watch("configmaps?watch=1&labelSelector=app").await;
    assert_eq!(watch.brief().await, ("ADDED".to_owned(), "a".to_owned()));
    let mut initial = client
        .watch("configmaps?watch=1&labelSelector=app&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan")
        .await;
    assert_eq!(initial.brief().await.0, "ADDED");
    let bookmark = initial.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
}

#[tokio::test]
async fn bookmarks_come_in_between_and_before_the_end() {
    let server = Server::with(Settings { pace: 300.0, ..Settings::default() }).await;
    let client = Client::of(server);
    let version = client.get("pods").await.1["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    client.post("configmaps", &labelled("a", "x")).await;
    let mut watch = client
        .watch(&format!("pods?watch=1&resourceVersion={version}&allowWatchBookmarks=true&timeoutSeconds=1"))
        .await;
    let mut bookmarks = 0;
    while let Some(event) = watch.next().await {
        assert_eq!(event["type"], "BOOKMARK");
        let seen: u64 = event["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
        assert!(seen > version.parse().unwrap(), "versions of other kinds count");
        bookmarks += 1;
    }
    assert!(bookmarks >= 2, "{bookmarks}");
}

#[tokio::test]
async fn a_version_that_is_forgotten_is_expired() {
    let client = Client::new().await;
    let version = client.get("pods").await.1["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let mut before = client.watch(&format!("configmaps?watch=1&resourceVersion={version}")).await;
    client.server.stall_watches(true);
    client.post("configmaps", &labelled("a", "x")).await;
    let silent = tokio::time::timeout(Duration::from_millis(100), before.next()).await;
    assert!(silent.is_err(), "a watch that stalls says nothing and does not end: {silent:?}");
    client.server.compact();
    client.server.stall_watches(false);
    for mut watch in [before, client.watch(&format!("configmaps?watch=1&resourceVersion={version}")).await] {
        let event = watch.next().await.unwrap();
        assert_eq!(event["type"], "ERROR");
        assert_eq!((&event["object"]["code"], &event["object"]["reason"]), (&json!(410), &json!("Expired")));
        let message = event["object"]["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("too old resource version: {version} (")), "{message}");
        assert!(watch.next().await.is_none());
    }
}
