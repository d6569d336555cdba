//! A model that says by chance what agents do next, and sometimes nothing.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, StatusCode};
use llm::{HttpAnswer, HttpCall, Transport, TransportError};
use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

/// What it says after a user's message before it is done.
const MOST_TURNS: usize = 4;

pub struct Scripted;

#[async_trait]
impl Transport for Scripted {
    async fn send(&self, call: HttpCall) -> Result<HttpAnswer, TransportError> {
        let most = [50, 800, 6_000][fastrand::usize(..3)];
        sleep(Duration::from_millis(fastrand::u64(1..most))).await;
        let (status, body) = match fastrand::u32(..40) {
            0 => return Err(TransportError::Connection("reset".to_owned())),
            1 => (StatusCode::INTERNAL_SERVER_ERROR, json!({"error": {"message": "broken"}})),
            2 => (StatusCode::TOO_MANY_REQUESTS, json!({"error": {"message": "slowly"}})),
            _ => (StatusCode::OK, turn(&serde_json::from_slice(&call.body).unwrap_or_default())),
        };
        let body = stream::iter([Ok(body.to_string().into())]).boxed();
        let headers = HeaderMap::from_iter([(
            http::header::CONTENT_TYPE,
            http::HeaderValue::from_static("application/json"),
        )]);
        Ok(HttpAnswer { status, headers, body })
    }
}

fn turn(asked: &Value) -> Value {
    let messages = asked["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let since = messages.iter().rev().take_while(|message| message["role"] != "user").count();
    let call = match fastrand::u32(..10) {
        _ if since >= 2 * MOST_TURNS => ("finish", json!({"message": "done"})),
        0..5 => ("deed", json!({"name": Uuid::new_v4().simple().to_string()})),
        5..7 => ("think", json!({"thought": "hm"})),
        _ => ("finish", json!({"message": "done"})),
    };
    let (name, arguments) = call;
    let id = format!("call_{}", Uuid::new_v4().simple());
    let called = json!({"id": id, "type": "function",
        "function": {"name": name, "arguments": arguments.to_string()}});
    let message = json!({"role": "assistant", "content": null, "tool_calls": [called]});
    json!({"id": format!("answer-{id}"), "object": "chat.completion", "created": 0, "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}})
}
