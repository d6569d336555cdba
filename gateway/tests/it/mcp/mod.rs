//! MCP servers, tried out and logged in to.

mod fake;
mod logins;
mod replayed;
mod trials;

use reqwest::Method;
use serde_json::Value;

use crate::harness::Client;

/// Status and answer of a call with a body.
async fn post(client: &Client, path: &str, body: Value) -> (u16, Value) {
    client.send(Method::POST, path, Some(&body)).await
}

/// What comes of a trial.
async fn test(client: &Client, body: Value) -> Value {
    let (status, answer) = post(client, "/api/mcp/test", body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}
