//! Agent profiles: kept by name, known by id, and one of them always active.

mod changing;
mod replayed;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::Client;

const PROFILES: &str = "/api/agent-profiles";

async fn list(server: &Client) -> Value {
    let (status, list) = server.get(PROFILES).await;
    assert_eq!(status, 200, "{list}");
    list
}

async fn save(server: &Client, name: &str, profile: Value) -> (u16, Value) {
    server.post(&format!("{PROFILES}/{name}"), profile).await
}

async fn saved(server: &Client, name: &str) {
    let (status, answer) = save(server, name, json!({"llm_profile_ref": "l"})).await;
    assert_eq!(status, 201, "{answer}");
}

async fn shown(server: &Client, name: &str) -> Value {
    let (status, answer) = server.get(&format!("{PROFILES}/{name}")).await;
    assert_eq!(status, 200, "{answer}");
    answer["profile"].clone()
}

async fn activate(server: &Client, id: &str) -> (u16, Value) {
    server.send(Method::POST, &format!("{PROFILES}/{id}/activate"), None).await
}

fn names(list: &Value) -> Vec<&str> {
    list["profiles"].as_array().unwrap().iter().map(|profile| profile["name"].as_str().unwrap()).collect()
}
