//! Settings: what is set is kept, shown and given back, to the tenant that set it and to nobody else.

mod changing;
mod replayed;
mod showing;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::Server;

async fn patch(server: &Server, change: Value) -> (u16, Value) {
    server.send(Method::PATCH, "/api/settings", Some(&change)).await
}

async fn changed(server: &Server, change: Value) -> Value {
    let (status, settings) = patch(server, change.clone()).await;
    assert_eq!(status, 200, "{change}: {settings}");
    settings
}

/// The settings, with this header `X-Expose-Secrets`.
async fn shown(server: &Server, how: &str) -> (u16, Value) {
    let request = server.request(Method::GET, "/api/settings");
    let response = request.header("x-expose-secrets", how).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn plain(server: &Server) -> Value {
    let (status, settings) = shown(server, "plaintext").await;
    assert_eq!(status, 200, "{settings}");
    settings
}

fn llm(key: &str) -> Value {
    json!({"agent_settings_diff": {"llm": {"model": "openai/m", "api_key": key}}})
}
