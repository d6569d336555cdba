//! LLM profiles, the connections that they share keys by, and meta-profiles, which choose between them.

mod connections;
mod marked;
mod meta;
mod models;
mod replayed;
mod validating;

use ports::Expect;
use reqwest::Method;
use serde_json::{Value, json};
use types::buckets::SETTINGS;

use crate::harness::{Client, Server};

const MASK: &str = "**********";

async fn save(client: &Client, name: &str, llm: Value) -> (u16, Value) {
    client.post(&format!("/api/profiles/{name}"), json!({ "llm": llm })).await
}

async fn saved(client: &Client, name: &str, llm: Value) {
    let (status, answer) = save(client, name, llm).await;
    assert_eq!(status, 201, "{answer}");
}

/// A profile, with this header `X-Expose-Secrets`.
async fn shown(client: &Client, name: &str, how: &str) -> (u16, Value) {
    let request = client.request(Method::GET, &format!("/api/profiles/{name}"));
    let response = request.header("x-expose-secrets", how).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn plain(client: &Client, name: &str) -> Value {
    let (status, profile) = shown(client, name, "plaintext").await;
    assert_eq!(status, 200, "{profile}");
    profile["config"].clone()
}

/// What an operation without a body answers.
async fn do_to(client: &Client, path: &str) -> (u16, Value) {
    client.send(Method::POST, path, None).await
}

async fn active(client: &Client) -> Value {
    client.get("/api/profiles").await.1["active_profile"].clone()
}

/// The settings with their secrets in plain text.
async fn settings(client: &Client) -> Value {
    let request = client.request(Method::GET, "/api/settings").header("x-expose-secrets", "plaintext");
    request.send().await.unwrap().json().await.unwrap()
}

/// Puts an agent profile where the server keeps them.
async fn keep_agent_profile(server: &Server, name: &str, profile: Value) {
    let stored = server.ports.kv.get(SETTINGS, "default").await.unwrap().unwrap();
    let mut setup: Value = serde_json::from_slice(&stored.value).unwrap();
    setup["agent_profiles"][name] = profile;
    let value = serde_json::to_vec(&setup).unwrap().into();
    server.ports.kv.put(SETTINGS, "default", value, Expect::Revision(stored.revision)).await.unwrap();
}

async fn agent_profile(server: &Server, name: &str) -> Value {
    let stored = server.ports.kv.get(SETTINGS, "default").await.unwrap().unwrap();
    let setup: Value = serde_json::from_slice(&stored.value).unwrap();
    setup["agent_profiles"][name].clone()
}
