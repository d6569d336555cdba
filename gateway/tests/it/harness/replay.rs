//! Calls that were once made to the peer, made to us.

use reqwest::Method;
use serde_json::{Value, json};

use super::Client;

/// Makes `calls`, recorded of a running peer, one after the other, each below `base`, and compares what is answered.
///
/// A call has a `method`, a `path`, perhaps a `body`, what `expose`s secrets, and the peer's `status`. Then either the whole
/// `answer` is recorded, which is no JSON where it is a text, or the `detail` of a refusal. `$id` stands for the id of what
/// was made last.
///
/// # Panics
/// With all that is answered otherwise, and for an answer that is no JSON and should be.
pub async fn replay(client: &Client, base: &str, calls: &str) {
    let calls: Vec<Value> = serde_json::from_str(calls).unwrap();
    let (mut id, mut different) = (String::new(), Vec::new());
    for call in &calls {
        let call: Value = serde_json::from_str(&call.to_string().replace("$id", &id)).unwrap();
        let text = |name: &str| call[name].as_str().unwrap_or_default();
        let method: Method = text("method").parse().unwrap();
        let mut request = client.request(method, &format!("{base}{}", text("path")));
        request = request.header("x-expose-secrets", text("expose"));
        if let Some(body) = call.get("body") {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let answer = response.text().await.unwrap();
        let answer: Value = match &call["answer"] {
            Value::String(_) => answer.into(),
            _ => serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{call}\n   {status} {answer}")),
        };
        if let Some(made) = answer["id"].as_str() {
            id = made.to_owned();
        }
        let detail = if status < 400 { &Value::Null } else { &answer["detail"] };
        let is_alike = match call.get("answer") {
            Some(wanted) => *wanted == answer,
            None => *detail == call["detail"],
        };
        if !is_alike || json!(status) != call["status"] {
            different.push(format!("{call}\n   {status} {answer}"));
        }
    }
    assert!(different.is_empty(), "{} of {}:\n{}", different.len(), calls.len(), different.join("\n"));
}
