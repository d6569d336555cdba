//! How answers end, and what is no end.

use serde_json::{Value, json};
use types::agent::LlmConfig;
use types::content::joined_text;
use types::model::{Ending, FailureKind};

use super::fake::{FakeModel, Heard, Turn, ask, ask_streamed, chat, messages, user};

const CHAT: &str = "openai/x";
const ANTHROPIC: &str = "anthropic/claude-sonnet-4-5";

fn ended(reason: &str, message: Value) -> Value {
    let mut body = chat(message);
    body["choices"][0]["finish_reason"] = json!(reason);
    body
}

fn stopped(reason: &str, content: Value) -> Value {
    let mut body = messages(content);
    body["stop_reason"] = json!(reason);
    body
}

fn incomplete(reason: &str, output: Value) -> Value {
    json!({"id": "r", "status": "incomplete", "incomplete_details": {"reason": reason}, "output": output})
}

async fn ending(model: &str, api_mode: &str, body: &Value) -> Ending {
    let fake = FakeModel::start([Turn::ok(body)]).await;
    let llm = LlmConfig { api_mode: api_mode.to_owned(), ..fake.llm(model) };
    ask(&llm, vec![user("go")]).await.unwrap().ending
}

#[tokio::test]
async fn an_answer_that_was_cut_is_not_taken_for_whole() {
    let arguments = "{\"command\": \"create\", \"file_text\": \"def main():\\n    prin\"}";
    let call = json!({"id": "c", "function": {"name": "terminal", "arguments": arguments}});
    let cut = Ending::Cut { whole_calls: 0 };
    assert_eq!(ending(CHAT, "auto", &ended("length", json!({"tool_calls": [call]}))).await, cut);
    assert_eq!(ending(CHAT, "auto", &ended("length", json!({"content": "Half of"}))).await, cut);
    let first = json!({"type": "tool_use", "id": "a", "name": "terminal", "input": {"command": "ls"}});
    let last = json!({"type": "tool_use", "id": "b", "name": "terminal", "input": {"command": "def main():\n    prin"}});
    let one = Ending::Cut { whole_calls: 1 };
    assert_eq!(ending(ANTHROPIC, "auto", &stopped("max_tokens", json!([first, last]))).await, one);
    let call = json!({"type": "function_call", "call_id": "c", "name": "terminal", "arguments": "{}"});
    let body = incomplete("max_output_tokens", json!([call, call]));
    assert_eq!(ending("openai/gpt-5-codex", "responses", &body).await, one);
}

#[tokio::test]
async fn an_answer_that_was_withheld_half_way_says_so() {
    let said = "Here is how you would";
    let text = json!([{"type": "text", "text": said}]);
    assert_eq!(
        ending(CHAT, "auto", &ended("content_filter", json!({"content": said}))).await,
        Ending::Withheld
    );
    assert_eq!(ending(ANTHROPIC, "auto", &stopped("refusal", text.clone())).await, Ending::Withheld);
    assert_eq!(ending(ANTHROPIC, "auto", &stopped("pause_turn", text)).await, Ending::Paused);
    let message = json!([{"type": "message", "content": [{"type": "output_text", "text": said}]}]);
    let body = incomplete("content_filter", message);
    assert_eq!(ending("openai/gpt-5-codex", "responses", &body).await, Ending::Withheld);
    for reason in ["stop", "tool_calls", "end_turn", "whatever comes next"] {
        assert_eq!(
            ending(CHAT, "auto", &ended(reason, json!({"content": said}))).await,
            Ending::Done,
            "{reason}"
        );
    }
}

#[tokio::test]
async fn what_broke_within_a_choice_is_tried_again() {
    let mut broken = ended("error", json!({"content": "Part of an"}));
    broken["choices"][0]["error"] = json!({"code": 502, "message": "Upstream provider disconnected"});
    let silent = ended("error", json!({"content": "Part of an"}));
    let piece = json!({"choices": [{"delta": {"content": "Part of an"}, "finish_reason": "error"}]});
    let good = chat(json!({"content": "whole"}));
    for first in [Turn::ok(&broken), Turn::ok(&silent), Turn::events([&piece, &json!("[DONE]")])] {
        let fake = FakeModel::start([first, Turn::ok(&good)]).await;
        let answer = ask_streamed(&fake.llm(CHAT), vec![user("go")], &Heard::default()).await.unwrap();
        assert_eq!(joined_text(&answer.message.content), "whole");
        assert_eq!(fake.asked().len(), 2);
    }
    let fake = FakeModel::start([Turn::ok(&broken)]).await;
    let llm = LlmConfig { num_retries: 1, ..fake.llm(CHAT) };
    let failure = ask(&llm, vec![user("go")]).await.unwrap_err();
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Other, "LLMServiceUnavailableError"));
    assert!(failure.detail.contains("Upstream provider disconnected"), "{}", failure.detail);
}

#[tokio::test]
async fn an_empty_reason_is_no_end() {
    let half = json!({"choices": [{"delta": {"content": "Half of an ans"}, "finish_reason": ""}]});
    let end = json!({"choices": [{"delta": {"content": "wer."}, "finish_reason": "stop"}]});
    let fake = FakeModel::start([Turn::events([&half]), Turn::events([&half, &end])]).await;
    let answer = ask_streamed(&fake.llm(CHAT), vec![user("go")], &Heard::default()).await.unwrap();
    assert_eq!(joined_text(&answer.message.content), "Half of an answer.");
    assert_eq!(fake.asked().len(), 2);
}
