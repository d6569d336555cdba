//! Streams cut at every byte. Into pieces: the answer is the same. Off: it is an error or the same answer, and never a
//! shorter one that passes for whole.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, StatusCode};
use manyhands_llm::{Client, HttpAnswer, HttpCall, Transport, TransportError};
use serde_json::{Value, json};
use types::agent::LlmConfig;
use types::content::Message;
use types::model::{Ending, ModelRequest};

use super::fake::{Heard, user};

/// Hands out these pieces and then ends.
pub struct Wire(pub Vec<Bytes>);

#[async_trait]
impl Transport for Wire {
    async fn send(&self, _: HttpCall) -> Result<HttpAnswer, TransportError> {
        let body = stream::iter(self.0.clone()).map(Ok).boxed();
        Ok(HttpAnswer { status: StatusCode::OK, headers: HeaderMap::new(), body })
    }
}

/// What counts of an answer.
type Got = Option<(Message, Ending)>;

async fn read(model: &str, api_mode: &str, pieces: Vec<Bytes>) -> Got {
    let llm = LlmConfig {
        model: model.to_owned(),
        api_mode: api_mode.to_owned(),
        base_url: Some("http://127.0.0.1:9/v1".to_owned()),
        num_retries: 1,
        stream: true,
        ..LlmConfig::default()
    };
    let request = ModelRequest::new(vec![user("go")], Vec::new());
    let answer =
        Client::new(Arc::new(Wire(pieces))).complete(&llm, "s", &request, Some(&Heard::default())).await;
    answer.ok().map(|answer| (answer.message, answer.ending))
}

fn events(events: &[Value], ends: &str) -> Vec<u8> {
    let line = |event: &Value| match event.get("type").and_then(Value::as_str) {
        Some(name) => format!("event: {name}{ends}data: {event}{ends}{ends}"),
        None => format!("data: {event}{ends}{ends}"),
    };
    let text: String = events.iter().map(line).collect();
    // As servers in Python write them, an emoji as two halves.
    text.replace('😀', "\\ud83d\\ude00").into_bytes()
}

fn chat() -> Vec<Value> {
    let piece = |delta: Value, end: Value| json!({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": end}]});
    let call = |piece: Value| json!({"tool_calls": [piece]});
    vec![
        piece(json!({"role": "assistant", "content": ""}), json!(null)),
        piece(json!({"reasoning_content": "hm 😀"}), json!(null)),
        piece(json!({"content": "Grüß 😀"}), json!(null)),
        piece(
            call(json!({"index": 0, "id": "1", "function": {"name": "terminal", "arguments": ""}})),
            json!(null),
        ),
        piece(call(json!({"index": 0, "function": {"arguments": "{\"command\": \"ls"}})), json!(null)),
        piece(call(json!({"index": 0, "function": {"arguments": "\"}"}})), json!(null)),
        piece(json!({}), json!("tool_calls")),
        json!({"id": "c", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}),
    ]
}

fn anthropic() -> Vec<Value> {
    let delta =
        |index: u64, delta: Value| json!({"type": "content_block_delta", "index": index, "delta": delta});
    let start = |index: u64, block: Value| json!({"type": "content_block_start", "index": index, "content_block": block});
    let stop = |index: u64| json!({"type": "content_block_stop", "index": index});
    vec![
        json!({"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 9, "output_tokens": 1}}}),
        start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        json!({"type": "ping"}),
        delta(0, json!({"type": "thinking_delta", "thinking": "hm 😀"})),
        delta(0, json!({"type": "signature_delta", "signature": "sig"})),
        stop(0),
        start(1, json!({"type": "text", "text": ""})),
        delta(1, json!({"type": "text_delta", "text": "Grüß 😀"})),
        stop(1),
        start(2, json!({"type": "tool_use", "id": "t", "name": "terminal", "input": {}})),
        delta(2, json!({"type": "input_json_delta", "partial_json": "{\"command\": \"ls"})),
        delta(2, json!({"type": "input_json_delta", "partial_json": "\"}"})),
        stop(2),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 7}}),
        json!({"type": "message_stop"}),
    ]
}

fn responses() -> Vec<Value> {
    let message =
        json!({"type": "message", "id": "m", "content": [{"type": "output_text", "text": "Grüß 😀"}]});
    let call = json!({"type": "function_call", "id": "fc", "call_id": "c", "name": "terminal", "arguments": "{\"command\": \"ls\"}"});
    vec![
        json!({"type": "response.created", "response": {"id": "r"}}),
        json!({"type": "response.output_item.added", "item": {"type": "message", "id": "m", "content": []}}),
        json!({"type": "response.output_text.delta", "item_id": "m", "delta": "Grüß "}),
        json!({"type": "response.output_text.delta", "item_id": "m", "delta": "😀"}),
        json!({"type": "response.output_item.done", "item": message}),
        json!({"type": "response.output_item.done", "item": call}),
        json!({"type": "response.completed", "response": {"id": "r", "status": "completed", "output": [message, call],
            "usage": {"input_tokens": 3, "output_tokens": 2}}}),
    ]
}

type Events = fn() -> Vec<Value>;

const DIALECTS: [(&str, &str, Events); 3] = [
    ("openai/x", "auto", chat),
    ("anthropic/claude-sonnet-4-5", "auto", anthropic),
    ("openai/gpt-5-codex", "responses", responses),
];

#[tokio::test]
async fn an_answer_in_pieces_cut_anywhere_is_the_same() {
    for (model, api_mode, recorded) in DIALECTS {
        for ends in ["\n", "\r\n", "\r"] {
            let body = events(&recorded(), ends);
            let whole = read(model, api_mode, vec![body.clone().into()]).await;
            let (message, ending) = whole.clone().unwrap();
            assert_eq!((message.tool_calls.len(), ending), (1, Ending::Done), "{model}");
            let bytes = body.iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect();
            assert_eq!(read(model, api_mode, bytes).await, whole, "{model}: single bytes");
            for at in 0..body.len() {
                let (head, tail) = body.split_at(at);
                let pieces = [head, tail].map(Bytes::copy_from_slice).to_vec();
                assert_eq!(read(model, api_mode, pieces).await, whole, "{model}: cut at {at}");
            }
        }
    }
}

#[tokio::test]
async fn an_answer_cut_off_anywhere_is_an_error_or_whole() {
    for (model, api_mode, recorded) in DIALECTS {
        let body = events(&recorded(), "\n");
        let whole = read(model, api_mode, vec![body.clone().into()]).await;
        let mut errors = 0;
        for at in 0..body.len() {
            let got = read(model, api_mode, vec![Bytes::copy_from_slice(&body[..at])]).await;
            errors += usize::from(got.is_none());
            assert!(got.is_none() || got == whole, "{model}: cut off at {at}: {got:?}");
        }
        assert!(errors > body.len() / 2, "{model}");
    }
}
