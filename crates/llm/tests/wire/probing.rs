//! Whether a model answers is found out with one small call.

use std::sync::Arc;

use manyhands_llm::{Direct, Subscription, probe, probe_subscription};
use serde_json::json;
use types::agent::LlmConfig;
use types::model::ModelFailure;

use super::fake::{FakeModel, Turn, chat, messages};

async fn tried(llm: LlmConfig) -> Result<(), ModelFailure> {
    probe(Arc::new(Direct::default()), llm).await
}

#[tokio::test]
async fn one_small_call_is_made_in_each_dialect() {
    let said = Turn::ok(&chat(json!({"content": "p"})));
    let fake = FakeModel::start([said]).await;
    tried(LlmConfig { stream: true, ..fake.llm("openai/x") }).await.unwrap();
    let asked = &fake.asked()[0];
    assert_eq!((&asked.body["max_completion_tokens"], asked.body.get("stream")), (&json!(1), None));
    assert_eq!(asked.body["messages"].as_array().unwrap().len(), 2);

    let said = Turn::ok(&messages(json!([{"type": "text", "text": "p"}])));
    let fake = FakeModel::start([said]).await;
    tried(fake.llm("anthropic/claude-sonnet-4-5")).await.unwrap();
    let asked = &fake.asked()[0];
    assert_eq!((&asked.body["max_tokens"], asked.body.get("thinking")), (&json!(1), None));
    assert!(!asked.body.to_string().contains("cache_control"), "{}", asked.body);

    let message = json!({"type": "message", "content": [{"type": "output_text", "text": "p"}]});
    let fake = FakeModel::start([Turn::ok(&json!({"id": "r", "output": [message]}))]).await;
    tried(LlmConfig { api_mode: "responses".to_owned(), ..fake.llm("openai/x") }).await.unwrap();
    assert_eq!(fake.asked()[0].body["max_output_tokens"], 16);
}

#[tokio::test]
async fn what_fails_is_not_tried_again() {
    for status in [401, 429, 503] {
        let refused = || Turn::json(status, &json!({"error": {"message": "no"}}));
        let fake = FakeModel::start([refused(), refused()]).await;
        assert!(tried(fake.llm("openai/x")).await.is_err());
        assert_eq!(fake.asked().len(), 1, "{status}");
    }
    let fake = FakeModel::start([Turn::ok(&chat(json!({"content": "p"}))).then_silence()]).await;
    let failure = tried(LlmConfig { timeout: Some(0.1), ..fake.llm("openai/x") }).await.unwrap_err();
    assert_eq!((failure.code.as_str(), fake.asked().len()), ("LLMTimeoutError", 1));
}

#[tokio::test]
async fn a_login_is_tried_as_the_providers_own_program_does_and_is_not_told() {
    let begun = Turn::events([&json!({"type": "response.created"})]).then_silence();
    let refused = Turn::json(403, &json!({"error": {"message": "no such token: the-token-of-a-login"}}));
    let fake = FakeModel::start([begun, refused]).await;
    let url = format!("{}/codex", fake.url());
    let login = Subscription { base_url: &url, token: "the-token-of-a-login", account: Some("acc") };
    let transport = Direct::default();
    probe_subscription(&transport, &login, "gpt-x").await.unwrap();
    let failure = probe_subscription(&transport, &login, "gpt-x").await.unwrap_err();
    assert!(!failure.detail.contains("the-token") && failure.detail.contains("no such token"), "{failure:?}");
    let asked = &fake.asked()[0];
    assert_eq!(asked.path, "/codex/responses");
    assert_eq!((&asked.body["model"], &asked.body["stream"]), (&json!("gpt-x"), &json!(true)));
    assert_eq!(asked.headers["authorization"], "Bearer the-token-of-a-login");
    assert_eq!(asked.headers["chatgpt-account-id"], "acc");
}
