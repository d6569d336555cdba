//! OpenAI's responses API.

use manyhands_llm::StreamEvent;
use serde_json::{Value, json};
use types::agent::LlmConfig;
use types::content::joined_text;

use super::fake::{FakeModel, Heard, Turn, ask, ask_streamed, user};

fn response() -> Value {
    json!({"id": "resp_1", "status": "completed", "error": null, "incomplete_details": null, "output": [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "On it."}]},
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "terminal", "arguments": "{\"command\": \"ls\"}"}],
        "usage": {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 2}}})
}

fn over_responses(fake: &FakeModel) -> LlmConfig {
    LlmConfig { api_mode: "responses".to_owned(), ..fake.llm("openai/gpt-5.2") }
}

#[tokio::test]
async fn a_response_becomes_text_reasoning_and_calls() {
    let fake = FakeModel::start([Turn::ok(&response())]).await;
    let answer = ask(&over_responses(&fake), vec![user("go")]).await.unwrap();
    assert_eq!(fake.asked()[0].path, "/v1/responses");
    assert_eq!(joined_text(&answer.message.content), "On it.");
    assert_eq!(answer.message.reasoning_content.as_deref(), Some("hm"));
    let call = &answer.message.tool_calls[0];
    assert_eq!(
        (call.id.as_str(), call.name.as_str(), call.origin.as_str()),
        ("call_1", "terminal", "responses")
    );
    let tokens = &answer.tokens;
    assert_eq!((tokens.prompt_tokens, tokens.completion_tokens), (9, 7));
    assert_eq!((tokens.cache_read_tokens, tokens.reasoning_tokens), (4, 2));
}

#[tokio::test]
async fn a_streamed_response_is_heard_and_retried_when_cut() {
    let text = json!({"type": "response.output_text.delta", "delta": "On it.", "item_id": "msg_1"});
    let item = json!({"type": "response.output_item.done", "item": response()["output"][1]});
    let mut bare = response();
    bare["output"] = json!([]);
    let done = json!({"type": "response.completed", "response": bare});
    let begun = json!({"type": "response.created", "response": {}});
    let fake =
        FakeModel::start([Turn::events([&begun, &text]), Turn::events([&begun, &text, &item, &done])]).await;
    let heard = Heard::default();
    let answer = ask_streamed(&over_responses(&fake), vec![user("go")], &heard).await.unwrap();
    assert_eq!(joined_text(&answer.message.content), "On it.");
    let started = heard.events().iter().filter(|event| matches!(event, StreamEvent::Started { .. })).count();
    assert_eq!((started, fake.asked().len()), (2, 2));
}

#[tokio::test]
async fn a_failed_response_is_an_error() {
    let failed = json!({"type": "response.failed", "response": {"id": "r", "error": {"code": "rate_limit_exceeded", "message": "slow down"}}});
    let fake = FakeModel::start([Turn::events([&failed])]).await;
    let llm = LlmConfig { num_retries: 1, ..over_responses(&fake) };
    let failure = ask_streamed(&llm, vec![user("go")], &Heard::default()).await.unwrap_err();
    assert_eq!(failure.code, "LLMRateLimitError");
}
