//! Answers that come in pieces.

use std::time::Duration;

use manyhands_llm::StreamEvent;
use serde_json::{Value, json};
use types::agent::LlmConfig;
use types::calls::DeltaKind;
use types::content::joined_text;

use super::fake::{FakeModel, Heard, Turn, ask_streamed, chat, user};

fn chunk(delta: Value) -> Value {
    json!({"id": "chatcmpl-1", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

fn chat_events() -> Vec<Value> {
    let call = |piece: Value| chunk(json!({"tool_calls": [piece]}));
    vec![
        chunk(json!({"role": "assistant", "content": ""})),
        chunk(json!({"reasoning_content": "hm"})),
        chunk(json!({"content": "Hel"})),
        chunk(json!({"content": "lo"})),
        call(
            json!({"index": 0, "id": "c1", "type": "function", "function": {"name": "terminal", "arguments": ""}}),
        ),
        call(json!({"index": 0, "function": {"arguments": "{\"command\": \"ls\"}"}})),
        json!({"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
        json!({"id": "chatcmpl-1", "choices": [], "usage": {"prompt_tokens": 50, "completion_tokens": 20}}),
        json!("[DONE]"),
    ]
}

fn delta(attempt: u32, kind: DeltaKind, content: &str, id: &str) -> StreamEvent {
    let (content, chunk_id) = (content.to_owned(), Some(id.to_owned()));
    StreamEvent::Delta { attempt, kind, content, chunk_id }
}

#[tokio::test]
async fn a_streamed_chat_answer_is_heard_and_put_together() {
    let fake = FakeModel::start([Turn::events(&chat_events())]).await;
    let heard = Heard::default();
    let answer = ask_streamed(&fake.llm("openai/x"), vec![user("go")], &heard).await.unwrap();
    let expected = [
        StreamEvent::Started { attempt: 1 },
        delta(1, DeltaKind::Reasoning, "hm", "chatcmpl-1"),
        delta(1, DeltaKind::Text, "Hel", "chatcmpl-1"),
        delta(1, DeltaKind::Text, "lo", "chatcmpl-1"),
    ];
    assert_eq!(heard.events(), expected);
    assert_eq!(joined_text(&answer.message.content), "Hello");
    assert_eq!(answer.message.tool_calls[0].arguments, "{\"command\": \"ls\"}");
    assert_eq!((answer.tokens.prompt_tokens, answer.tokens.completion_tokens), (50, 20));
    let body = &fake.asked()[0].body;
    assert_eq!((&body["stream"], &body["stream_options"]), (&json!(true), &json!({"include_usage": true})));
}

#[tokio::test]
async fn a_streamed_anthropic_answer_is_heard_and_put_together() {
    let events = [
        json!({"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 9, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "A thought."}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "sig"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "On it."}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}),
        json!({"type": "message_stop"}),
    ];
    let fake = FakeModel::start([Turn::events(&events)]).await;
    let heard = Heard::default();
    let answer =
        ask_streamed(&fake.llm("anthropic/claude-sonnet-4-5"), vec![user("go")], &heard).await.unwrap();
    let expected = [
        StreamEvent::Started { attempt: 1 },
        delta(1, DeltaKind::Reasoning, "A thought.", "msg_1"),
        delta(1, DeltaKind::Text, "On it.", "msg_1"),
    ];
    assert_eq!(heard.events(), expected);
    let thinking = json!({"type": "thinking", "thinking": "A thought.", "signature": "sig"});
    assert_eq!(answer.message.thinking_blocks, [thinking]);
    assert_eq!((answer.tokens.prompt_tokens, answer.tokens.completion_tokens), (9, 7));
    assert_eq!(fake.asked()[0].body["stream"], true);
}

#[tokio::test]
async fn a_cut_stream_is_retried() {
    let events = chat_events();
    let fake = FakeModel::start([Turn::events(&events[..3]).cut(), Turn::events(&events)]).await;
    let heard = Heard::default();
    let answer = ask_streamed(&fake.llm("openai/x"), vec![user("go")], &heard).await.unwrap();
    assert_eq!(joined_text(&answer.message.content), "Hello");
    let outline: Vec<_> = heard
        .events()
        .iter()
        .filter_map(|event| match event {
            StreamEvent::Started { attempt } => Some(format!("started {attempt}")),
            StreamEvent::Aborted { attempt, .. } => Some(format!("aborted {attempt}")),
            StreamEvent::Delta { .. } => None,
        })
        .collect();
    assert_eq!(outline, ["started 1", "aborted 1", "started 2"]);
}

#[tokio::test]
async fn a_stream_that_just_ends_is_cut_too() {
    let events = chat_events();
    let fake = FakeModel::start([Turn::events(&events[..3]), Turn::events(&events)]).await;
    ask_streamed(&fake.llm("openai/x"), vec![user("go")], &Heard::default()).await.unwrap();
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test]
async fn a_stream_without_done_but_with_a_reason_is_whole() {
    let events = chat_events();
    let fake = FakeModel::start([Turn::events(&events[..7])]).await;
    let answer = ask_streamed(&fake.llm("openai/x"), vec![user("go")], &Heard::default()).await.unwrap();
    assert_eq!(answer.message.tool_calls.len(), 1);
}

#[tokio::test]
async fn a_stream_that_falls_silent_times_out() {
    let fake = FakeModel::start([Turn::events(&chat_events()[..3]).then_silence()]).await;
    let llm = LlmConfig { stream_idle_timeout: Some(0.1), num_retries: 1, ..fake.llm("openai/x") };
    let failure = ask_streamed(&llm, vec![user("go")], &Heard::default()).await.unwrap_err();
    assert_eq!(failure.code, "LLMTimeoutError");
}

#[tokio::test]
async fn a_stream_that_goes_on_with_comments_alone_times_out() {
    let fake = FakeModel::start([Turn::events(&chat_events()[..3]).then_comments()]).await;
    let llm = LlmConfig { stream_idle_timeout: Some(0.2), num_retries: 1, ..fake.llm("openai/x") };
    let failure = ask_streamed(&llm, vec![user("go")], &Heard::default()).await.unwrap_err();
    assert_eq!(failure.code, "LLMTimeoutError");
}

#[tokio::test]
async fn an_overload_within_the_stream_is_retried() {
    let start = json!({"type": "message_start", "message": {"id": "msg_1"}});
    let overload = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    let fake = FakeModel::start([Turn::events([&start, &overload]), Turn::events([&start, &overload])]).await;
    let llm = LlmConfig { num_retries: 2, ..fake.llm("anthropic/claude-sonnet-4-5") };
    let failure = ask_streamed(&llm, vec![user("go")], &Heard::default()).await.unwrap_err();
    assert_eq!(failure.code, "LLMServiceUnavailableError");
    assert_eq!(fake.asked().len(), 2);
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_understood() {
    let fake = FakeModel::start([Turn::ok(&chat(json!({"content": "hi"})))]).await;
    let answer = ask_streamed(&fake.llm("openai/x"), vec![user("go")], &Heard::default()).await.unwrap();
    assert_eq!(joined_text(&answer.message.content), "hi");
}

#[tokio::test]
async fn dropping_a_call_aborts_its_attempt() {
    let fake = FakeModel::start([Turn::events(&chat_events()[..4]).then_silence()]).await;
    let (heard, llm) = (Heard::default(), fake.llm("openai/x"));
    let call = ask_streamed(&llm, vec![user("go")], &heard);
    let heard_text = async {
        while heard.events().len() < 3 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        _ = call => panic!("the stream never ends"),
        () = heard_text => {}
        () = tokio::time::sleep(Duration::from_secs(20)) => panic!("no deltas came"),
    }
    let last = heard.events().pop();
    assert_eq!(last, Some(StreamEvent::Aborted { attempt: 1, reason: "cancelled".to_owned() }));
}

#[tokio::test]
async fn without_the_option_nothing_is_streamed() {
    let fake = FakeModel::start([Turn::ok(&chat(json!({"content": "hi"})))]).await;
    let heard = Heard::default();
    let request = types::model::ModelRequest::new(vec![user("go")], vec![]);
    super::fake::client().complete(&fake.llm("openai/x"), "s", &request, Some(&heard)).await.unwrap();
    assert!(heard.events().is_empty());
    assert!(fake.asked()[0].body.get("stream").is_none());
}
