//! When a call is made again, and how long it waits.

use std::time::{Duration, Instant};

use serde_json::json;
use types::agent::LlmConfig;
use types::content::joined_text;

use super::fake::{FakeModel, Turn, ask, chat, messages, user};

fn hi() -> Turn {
    Turn::ok(&chat(json!({"content": "hi"})))
}

fn busy() -> Turn {
    Turn::json(503, &json!({"error": {"message": "busy"}}))
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let fake = FakeModel::start([busy(), Turn::json(429, &json!({})), hi()]).await;
    let answer = ask(&fake.llm("openai/x"), vec![user("go")]).await.unwrap();
    assert_eq!(joined_text(&answer.message.content), "hi");
    assert_eq!(fake.asked().len(), 3);
}

#[tokio::test]
async fn num_retries_counts_attempts_and_zero_is_one() {
    for (num_retries, attempts) in [(0, 1), (1, 1), (2, 2)] {
        let fake = FakeModel::start([busy(), busy(), busy()]).await;
        let llm = LlmConfig { num_retries, ..fake.llm("openai/x") };
        assert_eq!(ask(&llm, vec![user("go")]).await.unwrap_err().code, "LLMServiceUnavailableError");
        assert_eq!(fake.asked().len(), attempts);
    }
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let limited = Turn::json(429, &json!({})).header("retry-after", "0.2");
    let fake = FakeModel::start([limited, hi()]).await;
    let began = Instant::now();
    ask(&fake.llm("openai/x"), vec![user("go")]).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(200), "{:?}", began.elapsed());

    let at_once = Turn::json(429, &json!({})).header("retry-after", "0");
    let fake = FakeModel::start([at_once, hi()]).await;
    let patient = LlmConfig { retry_min_wait: 60.0, retry_max_wait: 60.0, ..fake.llm("openai/x") };
    tokio::time::timeout(Duration::from_secs(20), ask(&patient, vec![user("go")])).await.unwrap().unwrap();
}

#[tokio::test]
async fn errors_of_the_request_are_not_tried_again() {
    for status in [400, 401, 403, 404] {
        let fake = FakeModel::start([Turn::json(status, &json!({"error": {"message": "no"}})), hi()]).await;
        assert!(ask(&fake.llm("openai/x"), vec![user("go")]).await.is_err());
        assert_eq!(fake.asked().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn an_answer_without_choices_is_tried_again_and_warmer() {
    let empty = || Turn::ok(&json!({"id": "x", "choices": []}));
    let fake = FakeModel::start([empty(), hi()]).await;
    let llm = LlmConfig { temperature: Some(0.0), ..fake.llm("openai/x") };
    ask(&llm, vec![user("go")]).await.unwrap();
    let temperatures: Vec<_> = fake.asked().iter().map(|asked| asked.body["temperature"].clone()).collect();
    assert_eq!(temperatures, [json!(0), json!(1)]);

    let fake = FakeModel::start([empty(), empty(), empty()]).await;
    let failure = ask(&fake.llm("openai/x"), vec![user("go")]).await.unwrap_err();
    assert_eq!(failure.code, "LLMNoResponseError");
}

#[tokio::test]
async fn a_cut_answer_is_asked_for_again() {
    let half = Turn::raw("application/json", "{\"choices\": [{\"message\": {\"content\": \"h").cut();
    let fake = FakeModel::start([half, hi()]).await;
    ask(&fake.llm("openai/x"), vec![user("go")]).await.unwrap();
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test]
async fn a_silent_server_times_out() {
    let fake = FakeModel::start([hi().then_silence(), hi().then_silence()]).await;
    let llm = LlmConfig { timeout: Some(0.1), num_retries: 2, ..fake.llm("openai/x") };
    assert_eq!(ask(&llm, vec![user("go")]).await.unwrap_err().code, "LLMTimeoutError");
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test]
async fn a_prompt_too_short_to_cache_is_sent_once_more_without_markers() {
    let refused =
        json!({"error": {"message": "The prompt is below the minimum token count to start caching."}});
    let said = messages(json!([{"type": "text", "text": "hi"}]));
    let fake = FakeModel::start([Turn::json(400, &refused), Turn::ok(&said)]).await;
    let llm = LlmConfig { num_retries: 1, ..fake.llm("anthropic/claude-sonnet-4-5") };
    ask(&llm, vec![user("go")]).await.unwrap();
    let marked: Vec<_> =
        fake.asked().iter().map(|asked| asked.body.to_string().contains("cache_control")).collect();
    assert_eq!(marked, [true, false]);
}
