//! A provider of all three dialects: it answers what it is told to, and takes nothing that any provider refuses.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, StatusCode};
use llm::{HttpAnswer, HttpCall, Transport, TransportError};
use serde_json::{Value, json};
use strict::{Dialect, Seen};

/// An image that it refuses, and does not say why.
pub const REFUSED_IMAGE: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";
/// A word that it forbids.
pub const FORBIDDEN: &str = "forbidden-word";
/// Bytes of messages that it takes.
const WINDOW: usize = 60_000;

#[derive(Clone, Debug)]
pub enum Block {
    Thinking(&'static str),
    Redacted,
    Text(&'static str),
    Call { id: String, name: &'static str, arguments: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Done,
    Cut,
    Withheld,
    Paused,
}

#[derive(Clone, Debug)]
pub enum Said {
    Answer(Vec<Block>, End),
    Refusal(u16, &'static str),
}

#[derive(Default)]
pub struct Provider {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: VecDeque<Said>,
    seen: Seen,
    answers: u64,
    requests: u64,
    /// What some provider would have refused.
    findings: Vec<String>,
}

impl Provider {
    pub fn will(&self, said: Said) {
        self.state.lock().unwrap().next.push_back(said);
    }

    /// Forgets what was not asked for.
    pub fn rest(&self) {
        self.state.lock().unwrap().next.clear();
    }

    pub fn requests(&self) -> u64 {
        self.state.lock().unwrap().requests
    }

    pub fn findings(&self) -> Vec<String> {
        self.state.lock().unwrap().findings.clone()
    }
}

#[async_trait]
impl Transport for Provider {
    async fn send(&self, call: HttpCall) -> Result<HttpAnswer, TransportError> {
        let body: Value = serde_json::from_slice(&call.body).unwrap();
        let dialect = match call.url.path() {
            path if path.ends_with("/messages") => Dialect::Anthropic,
            path if path.ends_with("/responses") => Dialect::Responses,
            _ => Dialect::Chat,
        };
        let (status, answer) = self.state.lock().unwrap().answer(dialect, &body);
        let body = stream::once(async move { Ok(Bytes::from(answer.to_string())) }).boxed();
        Ok(HttpAnswer { status, headers: HeaderMap::new(), body })
    }
}

impl State {
    fn answer(&mut self, dialect: Dialect, body: &Value) -> (StatusCode, Value) {
        self.requests += 1;
        let checked = strict::check(dialect, body).and_then(|()| self.seen.request(dialect, body));
        if let Err(finding) = checked {
            self.findings.push(format!("{dialect:?}: {finding}: {body}"));
            return refusal(400, &finding);
        }
        let text = body.to_string();
        if text.len() > WINDOW {
            return refusal(400, "prompt is too long");
        }
        if text.contains(REFUSED_IMAGE) || text.contains(&REFUSED_IMAGE["data:image/png;base64,".len()..]) {
            return refusal(400, "The request is invalid.");
        }
        if text.contains(FORBIDDEN) {
            return refusal(400, "Output blocked by content filtering policy");
        }
        match self.next.pop_front() {
            Some(Said::Refusal(status, text)) => refusal(status, text),
            Some(Said::Answer(blocks, end)) => (StatusCode::OK, self.written(dialect, body, blocks, end)),
            None => (StatusCode::OK, self.written(dialect, body, vec![Block::Text("Some text.")], End::Done)),
        }
    }

    fn written(&mut self, dialect: Dialect, body: &Value, blocks: Vec<Block>, end: End) -> Value {
        self.answers += 1;
        let id = format!("answer-{}", self.answers);
        match dialect {
            Dialect::Anthropic => self.message(&id, body, blocks, end),
            Dialect::Chat => completion(&id, blocks, end),
            Dialect::Responses => response(&id, blocks, end),
        }
    }

    fn message(&mut self, id: &str, body: &Value, blocks: Vec<Block>, end: End) -> Value {
        let thinks = body.get("thinking").is_some();
        let mut content = Vec::new();
        for block in blocks {
            let block = match block {
                Block::Thinking(_) | Block::Redacted if !thinks => continue,
                Block::Thinking(text) => {
                    json!({"type": "thinking", "thinking": text, "signature": format!("s{}-{}", self.answers, content.len())})
                }
                Block::Redacted => json!({"type": "redacted_thinking", "data": format!("d{}", self.answers)}),
                Block::Text(text) => json!({"type": "text", "text": text}),
                Block::Call { id, name, arguments } => {
                    let input: Value = serde_json::from_str(&arguments).unwrap_or_else(|_| json!({}));
                    json!({"type": "tool_use", "id": id, "name": name, "input": input})
                }
            };
            if block["type"].as_str().unwrap().ends_with("thinking") {
                self.seen.answered(&block);
            }
            content.push(block);
        }
        let stop = match end {
            End::Done => "end_turn",
            End::Cut => "max_tokens",
            End::Withheld => "refusal",
            End::Paused => "pause_turn",
        };
        json!({"id": id, "type": "message", "role": "assistant", "content": content, "stop_reason": stop,
            "usage": {"input_tokens": 10, "output_tokens": 5}})
    }
}

fn refusal(status: u16, text: &str) -> (StatusCode, Value) {
    (
        StatusCode::from_u16(status).unwrap(),
        json!({"error": {"message": text, "type": "invalid_request_error"}}),
    )
}

fn completion(id: &str, blocks: Vec<Block>, end: End) -> Value {
    let (mut text, mut reasoning, mut calls) = (String::new(), String::new(), Vec::new());
    for block in blocks {
        match block {
            Block::Thinking(thought) => reasoning.push_str(thought),
            Block::Redacted => {}
            Block::Text(piece) => text.push_str(piece),
            Block::Call { id, name, arguments } => {
                calls.push(
                    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}),
                );
            }
        }
    }
    let reason = match end {
        End::Done if calls.is_empty() => "stop",
        End::Done => "tool_calls",
        End::Cut => "length",
        End::Withheld => "content_filter",
        End::Paused => "pause_turn",
    };
    let mut message = json!({"role": "assistant", "content": text, "reasoning_content": reasoning});
    if !calls.is_empty() {
        message["tool_calls"] = json!(calls);
    }
    json!({"id": id, "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}})
}

fn response(id: &str, blocks: Vec<Block>, end: End) -> Value {
    let items = blocks.into_iter().enumerate().map(|(at, block)| match block {
        Block::Thinking(text) => {
            json!({"type": "reasoning", "id": format!("rs_{at}"), "summary": [{"type": "summary_text", "text": text}]})
        }
        Block::Redacted => json!({"type": "reasoning", "id": format!("rs_{at}"), "summary": []}),
        Block::Text(text) => json!({"type": "message", "id": format!("m_{at}"), "role": "assistant",
            "content": [{"type": "output_text", "text": text, "annotations": []}]}),
        Block::Call { id, name, arguments } => {
            json!({"type": "function_call", "id": format!("fc_{at}"), "call_id": id, "name": name, "arguments": arguments})
        }
    });
    let (status, why) = match end {
        End::Done | End::Paused => ("completed", Value::Null),
        End::Cut => ("incomplete", json!({"reason": "max_output_tokens"})),
        End::Withheld => ("incomplete", json!({"reason": "content_filter"})),
    };
    json!({"id": id, "object": "response", "status": status, "incomplete_details": why, "output": items.collect::<Vec<_>>(),
        "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}})
}
