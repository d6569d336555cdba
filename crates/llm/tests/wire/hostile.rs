//! Servers that send whatever costs most: an answer is read in little time and room, and what is whole of it counts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use manyhands_llm::Client;
use serde_json::{Value, json};
use types::agent::LlmConfig;
use types::content::joined_text;
use types::model::{Completion, ModelFailure, ModelRequest};

use super::cuts::Wire;
use super::fake::{FakeModel, Heard, Turn, ask, ask_streamed, chat, user};

const CHAT: &str = "openai/x";
const ANTHROPIC: &str = "anthropic/claude-sonnet-4-5";
const STREAM: &str = "text/event-stream";

async fn read(pieces: impl IntoIterator<Item = Bytes>) -> Result<Completion, ModelFailure> {
    let llm = LlmConfig {
        model: CHAT.to_owned(),
        base_url: Some("http://127.0.0.1:9/v1".to_owned()),
        num_retries: 1,
        stream: true,
        ..LlmConfig::default()
    };
    let request = ModelRequest::new(vec![user("go")], Vec::new());
    let client = Client::new(Arc::new(Wire(pieces.into_iter().collect())));
    client.complete(&llm, "s", &request, Some(&Heard::default())).await
}

/// What one attempt makes of it.
async fn streamed(llm: LlmConfig) -> Result<Completion, ModelFailure> {
    ask_streamed(&LlmConfig { num_retries: 1, ..llm }, vec![user("go")], &Heard::default()).await
}

/// The most that this process has held, in MiB.
fn most_held() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn hi() -> String {
    let piece = json!({"choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}]});
    format!("data: {piece}\n\ndata: [DONE]\n\n")
}

#[tokio::test]
async fn a_list_of_zeros_is_not_made_into_values() {
    let before = most_held();
    let zeros = format!("{{\"choices\":[{}0]}}", "0,".repeat(8 << 20));
    assert_eq!(read([Bytes::from(zeros.clone())]).await.unwrap_err().code, "APIError");
    assert!(read([Bytes::from(format!("data: {}\n\n", &zeros[..12 << 20]))]).await.is_err());
    assert!(most_held() < before + 250, "{} MiB", most_held() - before);
    // A text that is as long is one value.
    let long = json!({"choices": [{"message": {"content": "a line\n".repeat(1 << 20)}}]}).to_string();
    assert!(read([Bytes::from(long)]).await.is_ok());
}

#[tokio::test]
async fn of_many_small_events_only_a_few_are_held_at_once() {
    let before = most_held();
    let bomb = format!("{}{}", "data:1\n\n".repeat(2 << 20), hi());
    assert!(read([Bytes::from(bomb)]).await.is_ok());
    assert!(most_held() < before + 100, "{} MiB", most_held() - before);
}

#[tokio::test]
async fn blanks_before_an_answer_cost_no_time() {
    let blanks = Bytes::from(" \n".repeat(2 << 10));
    let begun = Instant::now();
    let pieces = std::iter::repeat_n(blanks, 4 << 10).chain([Bytes::from(hi())]);
    assert_eq!(joined_text(&read(pieces).await.unwrap().message.content), "hi");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn long_arguments_in_many_pieces_are_put_together_in_time() {
    let piece = |arguments: &str, end: Value| {
        let call = json!({"index": 0, "id": "1", "function": {"name": "terminal", "arguments": arguments}});
        format!("data: {}\n\n", json!({"choices": [{"delta": {"tool_calls": [call]}, "finish_reason": end}]}))
    };
    let begun = Instant::now();
    let body = [
        piece(&format!("{{\"command\": \"{}", "x".repeat(4 << 20)), Value::Null),
        piece("{}", Value::Null).repeat(30_000),
        piece("\"}", json!("tool_calls")),
    ];
    let answer = read([Bytes::from(body.concat())]).await.unwrap();
    assert_eq!(answer.message.tool_calls[0].arguments.len(), 15 + (4 << 20) + 60_000);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_mark_that_is_cut_is_still_one() {
    let body = format!("\u{feff}{}", hi());
    for cut in [1, 2, 3] {
        let pieces = [&body.as_bytes()[..cut], &body.as_bytes()[cut..]];
        let answer = read(pieces.map(Bytes::copy_from_slice)).await;
        assert_eq!(answer.map(|answer| joined_text(&answer.message.content)), Ok("hi".to_owned()), "{cut}");
    }
}

#[tokio::test]
async fn a_refusal_that_never_ends_is_understood_all_the_same() {
    let events = [json!({"error": {"message": "Slow down.", "code": "rate_limit"}})];
    let fake = FakeModel::start([Turn::events(&events).status(429).then_silence()]).await;
    let begun = Instant::now();
    let failure = streamed(fake.llm(CHAT)).await.unwrap_err();
    assert_eq!(failure.code, "LLMRateLimitError");
    assert!(failure.detail.contains("Slow down"), "{}", failure.detail);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_plain_answer_is_whole_although_its_connection_breaks() {
    let whole = Turn::raw("application/json", chat(json!({"content": "hi"})).to_string()).cut();
    let half = Turn::raw("application/json", "{\"choices\": [{\"message\": {\"content\": \"h").cut();
    let fake = FakeModel::start([half, whole]).await;
    let llm = LlmConfig { num_retries: 2, ..fake.llm(CHAT) };
    assert_eq!(joined_text(&ask(&llm, vec![user("go")]).await.unwrap().message.content), "hi");
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test]
async fn what_is_said_in_the_place_of_an_answer_is_told() {
    for body in [
        json!({"object": "error", "message": "This model's maximum context length is 4096 tokens.", "code": 400}),
        json!({"detail": "This model's maximum context length is 4096 tokens.", "status": 400}),
        json!({"choices": null, "base_resp": {"status_code": 400, "status_msg": "context window exceeds limit"}}),
    ] {
        for turn in [Turn::ok(&body), Turn::events([&body]), Turn::events([&body, &json!("[DONE]")])] {
            let fake = FakeModel::start([turn]).await;
            let failure = streamed(fake.llm(CHAT)).await.unwrap_err();
            assert_eq!(failure.code, "LLMContextWindowExceedError", "{body}: {}", failure.detail);
        }
        let fake = FakeModel::start([Turn::ok(&body)]).await;
        assert_eq!(streamed(fake.llm(ANTHROPIC)).await.unwrap_err().code, "LLMContextWindowExceedError");
    }
}

#[tokio::test]
async fn an_error_that_says_nothing_is_none() {
    for none in [json!({}), json!(""), json!(false), json!([])] {
        let content = json!([{"type": "text", "text": "hi"}]);
        let answers = [
            (ANTHROPIC, "auto", json!({"content": content, "error": none, "stop_reason": "end_turn"})),
            (CHAT, "auto", json!({"choices": [{"message": {"content": "hi"}}], "error": none})),
            (CHAT, "responses", json!({"output": [{"type": "message", "content": content}], "error": none})),
        ];
        for (model, api_mode, answer) in answers {
            let fake = FakeModel::start([Turn::ok(&answer)]).await;
            let llm = LlmConfig { api_mode: api_mode.to_owned(), ..fake.llm(model) };
            let answer = streamed(llm).await.unwrap();
            assert_eq!(joined_text(&answer.message.content), "hi", "{model} {api_mode} {none}");
        }
    }
}

#[tokio::test]
async fn counts_of_any_form_are_read_and_none_is_beyond_belief() {
    for (usage, prompt) in [
        (json!({"prompt_tokens": "12", "completion_tokens": 3.0}), 12),
        (json!({"prompt_tokens": 12.0, "completion_tokens": "3"}), 12),
        (json!({"prompt_tokens": -12, "completion_tokens": 3}), 0),
        (json!({"prompt_tokens": u64::MAX, "completion_tokens": 3, "cost": 1e300}), 0),
        (json!({"prompt_tokens": 1e300, "completion_tokens": 3}), 0),
    ] {
        let usages = [usage.clone(), json!({"prompt_tokens": 0, "completion_tokens": 0})];
        let [first, last] = usages.map(|usage| json!({"choices": [], "usage": usage}));
        let end = json!({"choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}]});
        let fake = FakeModel::start([Turn::events([&end, &first, &last, &json!("[DONE]")])]).await;
        let answer = streamed(fake.llm(CHAT)).await.unwrap();
        let tokens = (answer.tokens.prompt_tokens, answer.tokens.completion_tokens);
        assert_eq!(tokens, (prompt, 3), "{usage}");
        assert!(answer.cost < 1e6, "{}", answer.cost);
    }
}

#[tokio::test]
async fn a_stream_that_is_called_over_within_a_call_is_cut() {
    let call =
        json!({"index": 0, "id": "1", "function": {"name": "terminal", "arguments": "{\"command\": \"rm"}});
    let piece = json!({"choices": [{"delta": {"tool_calls": [call]}}]});
    let fake = FakeModel::start([Turn::events([&piece, &json!("[DONE]")])]).await;
    assert_eq!(streamed(fake.llm(CHAT)).await.unwrap_err().code, "LLMServiceUnavailableError");
}

#[tokio::test]
async fn items_are_told_apart_whatever_their_ids() {
    let event = |kind: &str, key: &str, value: Value, id: Value, index: u64| json!({"type": format!("response.{kind}"), key: value, "item_id": id, "output_index": index});
    let call = |id: &str, call: &str, arguments: &str| json!({"type": "function_call", "id": id, "call_id": call, "name": "terminal", "arguments": arguments});
    let text =
        |id: &str| json!({"type": "message", "id": id, "content": [{"type": "output_text", "text": "hi"}]});
    let begun = |id: &str| json!({"type": "message", "id": id, "content": []});
    let done = json!({"type": "response.completed", "response": {"id": "r", "output": []}});
    for [one, two, three] in [["a", "a", "a"], ["", "", ""], ["a", "b", "c"]] {
        let events = [
            event("output_item.added", "item", begun(one), Value::Null, 0),
            event("output_text.delta", "delta", json!("hi"), json!(two), 0),
            event("output_item.done", "item", text(three), Value::Null, 0),
            event("output_item.added", "item", call(&format!("{one}1"), "1", ""), Value::Null, 1),
            event("output_item.added", "item", call(&format!("{one}2"), "2", ""), Value::Null, 2),
            event("function_call_arguments.delta", "delta", json!("{\"a\":1}"), json!(format!("{two}1")), 1),
            event("function_call_arguments.delta", "delta", json!("{\"a\":2}"), json!(format!("{two}2")), 2),
            done.clone(),
        ];
        let fake = FakeModel::start([Turn::events(&events)]).await;
        let llm = LlmConfig { api_mode: "responses".to_owned(), ..fake.llm(CHAT) };
        let answer = streamed(llm).await.unwrap();
        assert_eq!(joined_text(&answer.message.content), "hi", "{one:?}");
        let calls: Vec<_> = answer
            .message
            .tool_calls
            .iter()
            .map(|call| (call.id.as_str(), call.arguments.as_str()))
            .collect();
        assert_eq!(calls, [("1", "{\"a\":1}"), ("2", "{\"a\":2}")], "{one:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_said_to_be_packed_and_is_not_is_read() {
    for named in ["br", "gzip", "deflate", "zstd"] {
        let turn = Turn::raw(STREAM, hi()).header("content-encoding", named);
        let fake = FakeModel::start([turn]).await;
        let answer = streamed(fake.llm(CHAT)).await.unwrap_or_else(|failure| panic!("{named}: {failure:?}"));
        assert_eq!(joined_text(&answer.message.content), "hi");
    }
}
