//! A model is tried out before it is kept.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{MASK, saved, settings};
use crate::harness::provider::Provider;
use crate::harness::{Client, start, until};

const KEY: &str = "sk-marked-0123456789";

fn llm(provider: &Provider) -> Value {
    json!({"model": "openai/m", "api_key": KEY, "base_url": provider.base_url(), "num_retries": 5})
}

async fn tried(client: &Client, llm: &Value) -> (u16, Value) {
    client.post("/api/profiles/p/validate", json!({ "llm": llm })).await
}

fn told(kind: &str, answer: &Value) -> String {
    assert_eq!((&answer["valid"], &answer["error"]["type"]), (&json!(false), &json!(kind)), "{answer}");
    answer["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validation_makes_one_call_and_stores_nothing() {
    let (server, provider) = (start().await, Provider::start().await);
    let before = settings(&server).await["agent_settings"]["llm"].clone();
    let fine = json!({"valid": true, "error": null});
    assert_eq!(tried(&server, &llm(&provider)).await, (200, fine));
    let seen = provider.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].body["max_completion_tokens"], 1);
    assert_eq!(seen[0].headers["authorization"], format!("Bearer {KEY}").as_str());
    provider.refuse_once(503, None);
    told("LLMServiceUnavailableError", &tried(&server, &llm(&provider)).await.1);
    assert_eq!(provider.seen().len(), 2, "it is not tried again, whatever the model's own retries are");
    assert_eq!(server.get("/api/profiles").await.1["profiles"], json!([]));
    assert_eq!(settings(&server).await["agent_settings"]["llm"], before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_told_by_the_peers_name_and_without_the_key() {
    let (server, provider) = (start().await, Provider::start().await);
    for (status, kind) in
        [(401, "LLMAuthenticationError"), (400, "LLMBadRequestError"), (404, "NotFoundError")]
    {
        provider.refuse_once(status, None);
        let (_, answer) = tried(&server, &llm(&provider)).await;
        assert!(!told(kind, &answer).contains(KEY), "{answer}");
    }
    provider.refuse_once(429, Some("60"));
    assert_eq!(tried(&server, &llm(&provider)).await.1["valid"], true, "it passes");
    let (_, answer) = tried(&server, &json!({"model": "nosuchprovider/m", "api_key": KEY})).await;
    assert!(told("LLMBadRequestError", &answer).contains("LLM provider not provided"), "{answer}");
    let (_, answer) =
        tried(&server, &json!({"model": "openai/m", "base_url": "http://127.0.0.1:9/v1"})).await;
    told("LLMServiceUnavailableError", &answer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_addresses_are_not_validated() {
    let server = start().await;
    for base_url in ["http://169.254.169.254/v1", "http://[fd00:ec2::254]/v1", "http://0xa9fea9fe/v1"] {
        let (status, answer) =
            tried(&server, &json!({"model": "openai/m", "api_key": KEY, "base_url": base_url})).await;
        assert_eq!(status, 200);
        let told = told("LLMBadRequestError", &answer);
        assert!(told.contains("which is never called"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_linked_draft_is_tried_with_the_key_of_its_connection() {
    let (server, provider) = (start().await, Provider::start().await);
    let body = json!({"display_name": "D", "api_key": "sk-shared-key", "base_url": provider.base_url()});
    let (_, made) = server.post("/api/llm/provider-connections", body).await;
    let draft = json!({"model": "openai/m", "provider_connection_id": made["id"]});
    assert_eq!(tried(&server, &draft).await.1["valid"], true);
    assert_eq!(provider.seen()[0].headers["authorization"], "Bearer sk-shared-key");
    let dangling = json!({"model": "openai/m", "provider_connection_id": "zz"});
    let (status, answer) = tried(&server, &dangling).await;
    let told = "LLM config references provider connection 'zz', which does not exist. Update the profile or recreate the \
                connection.";
    assert_eq!((status, &answer["detail"]), (422, &json!(told)));
    let mut own = llm(&provider);
    own["provider_connection_id"] = "zz".into();
    assert_eq!(tried(&server, &own).await.1["valid"], true, "what has a key of its own can do without");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mask_is_tried_as_what_the_profile_has() {
    let (server, provider) = (start().await, Provider::start().await);
    saved(&server, "p", llm(&provider)).await;
    let mut draft = llm(&provider);
    draft["api_key"] = MASK.into();
    assert_eq!(tried(&server, &draft).await.1["valid"], true);
    assert_eq!(provider.seen()[0].headers["authorization"], format!("Bearer {KEY}").as_str());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_are_tried_at_once_and_no_more() {
    let (server, provider) = (Arc::new(start().await), Provider::start().await);
    provider.hang();
    let trying = |_| {
        let (server, llm) = (server.clone(), llm(&provider));
        tokio::spawn(async move { tried(&server, &llm).await })
    };
    let under_way: Vec<_> = (0..4).map(trying).collect();
    until(async || provider.open() == 4).await;
    assert_eq!(tried(&server, &llm(&provider)).await.0, 429);
    under_way.iter().for_each(tokio::task::JoinHandle::abort);
    join_all(under_way).await;
    // Who has hung up takes no room.
    until(async || provider.open() == 0).await;
    let draft = json!({"model": "openai/m", "base_url": "http://127.0.0.1:9/v1"});
    until(async || tried(&server, &draft).await.0 == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_without_a_login_is_told_so() {
    let server = start().await;
    let (_, answer) = tried(&server, &json!({"model": "openai/gpt-5.5", "auth_type": "subscription"})).await;
    assert_eq!(told("ValueError", &answer), "OpenAI subscription login is required");
}
