//! The same calls as were once made to the peer, one after the other, are answered alike.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::start;

/// Made of a running peer: the calls, their statuses, what was told of those that it refused, and answers that are the same every
/// time. `$id` is that of the connection which was made.
const PEER: &str = include_str!("peer.json");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_peers_answers_are_ours() {
    let server = start().await;
    let calls: Vec<Value> = serde_json::from_str(PEER).unwrap();
    let (mut id, mut different) = (String::new(), Vec::new());
    for call in &calls {
        let call: Value = serde_json::from_str(&call.to_string().replace("$id", &id)).unwrap();
        let text = |name: &str| call[name].as_str().unwrap_or_default();
        let method: Method = text("method").parse().unwrap();
        let request = server.request(method, text("path"));
        let mut request = request.header("x-expose-secrets", text("expose"));
        if let Some(body) = call.get("body") {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let answer: Value = response.json().await.unwrap();
        if let Some(made) = answer["id"].as_str() {
            id = made.to_owned();
        }
        let detail = if status < 400 { Value::Null } else { answer["detail"].clone() };
        let is_alike = call.get("answer").is_none_or(|wanted| *wanted == answer);
        if !is_alike || (json!(status), &detail) != (call["status"].clone(), &call["detail"]) {
            different.push(format!("{call}\n   {status} {answer}"));
        }
    }
    assert!(different.is_empty(), "{} of {}:\n{}", different.len(), calls.len(), different.join("\n"));
}
