//! Named secrets that a tenant keeps.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::replay::replay;
use crate::harness::tokens::{bearer, token};
use crate::harness::{Server, start, start_with};

/// Made of a running peer: the calls, their statuses, and what was told of those that it refused.
const PEER: &str = include_str!("peer.json");

async fn put(server: &Server, name: &str, value: &str) -> (u16, Value) {
    server.send(Method::PUT, "/api/settings/secrets", Some(&json!({"name": name, "value": value}))).await
}

async fn value(server: &Server, name: &str) -> (u16, String) {
    let response = server.fetch(&format!("/api/settings/secrets/{name}")).await;
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_peers_answers_are_ours() {
    let server = start().await;
    replay(&server, "", PEER).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_shows_names_in_the_order_they_came_and_never_values() {
    let server = start().await;
    for (name, text) in [("B", "sk-1"), ("A", "sk-2"), ("B", "sk-3")] {
        assert_eq!(put(&server, name, text).await.0, 200);
    }
    let (_, list) = server.get("/api/settings/secrets").await;
    let shown = json!({"secrets": [{"name": "B", "description": null}, {"name": "A", "description": null}]});
    assert_eq!(list, shown);
    assert_eq!(value(&server, "B").await, (200, "sk-3".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_is_given_out_as_a_text_that_nobody_keeps() {
    let server = start().await;
    put(&server, "A", "{\"a\": 1}").await;
    let response = server.fetch("/api/settings/secrets/A").await;
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(
        (header("cache-control"), header("x-content-type-options")),
        ("no-store".into(), "nosniff".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_of_64_kib_is_kept_and_one_byte_more_is_refused() {
    let server = start().await;
    let largest = "x".repeat(64 << 10);
    assert_eq!(put(&server, "A", &largest).await.0, 200);
    assert_eq!(value(&server, "A").await, (200, largest.clone()));
    let (status, answer) = put(&server, "A", &format!("{largest}x")).await;
    assert_eq!((status, &answer["detail"]), (413, &json!("A secret may have at most 64 KiB.")));
    assert_eq!(value(&server, "A").await.1.len(), 64 << 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_looks_like_a_token_is_a_secret_like_any_other() {
    let server = start().await;
    let text = "gAAAAABrA7CCtnFNxa0j6sit4c6CLB50";
    assert_eq!(put(&server, "A", text).await.0, 200);
    assert_eq!(value(&server, "A").await, (200, text.to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_tenant_has_none_of_them_and_who_may_only_look_gets_no_value() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    let call = async |tenant: &str, scope: &str, method: Method, path: &str, body: Option<Value>| {
        let request = server.request(method, &format!("/api/settings/secrets{path}"));
        let mut request = request.bearer_auth(token(tenant, scope));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let secret = json!({"name": "A", "value": "sk-marked"});
    assert_eq!(call("a", "write", Method::PUT, "", Some(secret)).await.0, 200);
    assert_eq!(call("a", "read write", Method::GET, "/A", None).await, (200, "sk-marked".to_owned()));
    assert_eq!(call("a", "read", Method::GET, "/A", None).await.0, 403);
    assert_eq!(call("b", "read write", Method::GET, "/A", None).await.0, 404);
    assert_eq!(call("b", "read write", Method::DELETE, "/A", None).await.0, 404);
    assert_eq!(call("b", "read write", Method::GET, "", None).await.1, r#"{"secrets":[]}"#);
}
