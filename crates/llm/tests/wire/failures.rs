//! What providers refuse, and what is made of it.

use serde_json::json;
use types::agent::LlmConfig;
use types::model::FailureKind;

use super::fake::{FakeModel, Turn, ask, chat, messages, user};

#[tokio::test]
async fn a_rejected_key_says_so_in_fixed_words() {
    let body = json!({"error": {"message": "Incorrect API key provided.", "code": "invalid_api_key"}});
    let fake = FakeModel::start([Turn::json(401, &body)]).await;
    let failure = ask(&fake.llm("openai/x"), vec![user("go")]).await.unwrap_err();
    assert_eq!(failure.code, "LLMAuthenticationError");
    assert_eq!(failure.detail, "Your LLM API key appears to be invalid or has expired.");
    assert_eq!(types::classify::classify(&failure.code, &failure.detail).kind, "auth");
}

#[tokio::test]
async fn a_prompt_that_is_too_long_asks_for_condensation() {
    let body = json!({"error": {"message": "prompt is too long: 200001 tokens > 200000 maximum", "type": "invalid_request_error"}, "type": "error"});
    let fake = FakeModel::start([Turn::json(400, &body)]).await;
    let failure = ask(&fake.llm("anthropic/claude-sonnet-4-5"), vec![user("go")]).await.unwrap_err();
    assert_eq!(
        (failure.kind, failure.code.as_str()),
        (FailureKind::ContextWindow, "LLMContextWindowExceedError")
    );
}

#[tokio::test]
async fn withheld_answers_ask_for_another_wording() {
    let mut filtered = chat(json!({"content": null}));
    filtered["choices"][0]["finish_reason"] = json!("content_filter");
    let mut refused = messages(json!([]));
    refused["stop_reason"] = json!("refusal");
    for (model, body) in [("openai/x", filtered), ("anthropic/claude-sonnet-4-5", refused)] {
        let fake = FakeModel::start([Turn::ok(&body)]).await;
        let failure = ask(&fake.llm(model), vec![user("go")]).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::ContentPolicy, "{model}");
    }
}

#[tokio::test]
async fn an_error_inside_a_good_status_is_an_error() {
    let fake = FakeModel::start([Turn::ok(&json!({"error": {"message": "gone", "code": 404}}))]).await;
    let failure = ask(&fake.llm("openrouter/a/b"), vec![user("go")]).await.unwrap_err();
    assert_eq!(failure.code, "NotFoundError");
}

#[tokio::test]
async fn a_page_instead_of_json_is_named() {
    let fake = FakeModel::start([Turn::ok(&json!("<html>")), Turn::ok(&json!("<html>"))]).await;
    let llm = LlmConfig { num_retries: 2, ..fake.llm("openai/x") };
    let failure = ask(&llm, vec![user("go")]).await.unwrap_err();
    assert_eq!(failure.code, "APIError");
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test]
async fn an_unreachable_server_is_a_passing_trouble() {
    let fake = FakeModel::start([]).await;
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let llm = LlmConfig {
        base_url: Some(format!("http://127.0.0.1:{closed}/v1")),
        num_retries: 2,
        ..fake.llm("openai/x")
    };
    let failure = ask(&llm, vec![user("go")]).await.unwrap_err();
    assert_eq!(failure.code, "LLMServiceUnavailableError");
    assert!(failure.detail.contains(&format!("127.0.0.1:{closed}")), "{}", failure.detail);
    assert_eq!(types::classify::classify(&failure.code, &failure.detail).kind, "transient");
}

#[tokio::test]
async fn configurations_that_cannot_work_fail_at_once() {
    let fake = FakeModel::start([]).await;
    for llm in [
        LlmConfig { base_url: Some("file:///etc/passwd".to_owned()), ..fake.llm("openai/x") },
        LlmConfig { base_url: None, ..fake.llm("litellm_proxy/x") },
        LlmConfig { base_url: None, ..fake.llm("nobody/x") },
        fake.llm("bedrock/x"),
        LlmConfig { api_key: Some("line\nbreak".to_owned()), ..fake.llm("openai/x") },
    ] {
        let failure = ask(&llm, vec![user("go")]).await.unwrap_err();
        assert_eq!(failure.code, "LLMBadRequestError", "{}", failure.detail);
    }
    assert!(fake.asked().is_empty());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = FakeModel::start([]).await;
    let away = Turn::json(307, &json!({})).header("location", target.url());
    let fake = FakeModel::start([away]).await;
    assert!(ask(&fake.llm("openai/x"), vec![user("go")]).await.is_err());
    assert!(target.asked().is_empty());
    assert_eq!(fake.asked().len(), 1);
}
