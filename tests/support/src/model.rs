//! The scripted model server: OpenAI chat completions and responses, and Anthropic messages, whole or streamed.
//!
//! Which turn comes next is read from the request (assistant messages since the start), so the server keeps
//! no cursors and any number of conversations can share it. Turns that were queued come before all scripts. A
//! request without tools is a question on the side (a title): it gets a fixed text, or the one that was set. What some provider
//! would refuse is refused, see the crate `strict`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};
use strict::Dialect;
use tokio::net::ToSocketAddrs;

use crate::http::{self, Answer, reply};
use crate::script::{Ending, Failure, Script, Turn};

#[derive(Default)]
struct Shared {
    scripts: Mutex<Vec<Script>>,
    queue: Mutex<VecDeque<Turn>>,
    title: Mutex<Option<Turn>>,
    requests: Mutex<Vec<Value>>,
    forgetful: AtomicBool,
}

/// Serves until it is dropped with its runtime.
#[derive(Clone)]
pub struct Model {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Model {
    /// Listens on a free port of loopback (`port` 0), or on the one given.
    pub async fn start(port: u16, scripts: Vec<Script>) -> std::io::Result<Self> {
        Self::start_at((http::LOOPBACK.0, port), scripts).await
    }

    /// Listens where containers reach it, too.
    pub async fn start_at(at: impl ToSocketAddrs, scripts: Vec<Script>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { scripts: Mutex::new(scripts), ..Shared::default() });
        let state = shared.clone();
        let address =
            http::serve(at, move |method, path, body| answer(state.clone(), method, path, body)).await?;
        Ok(Self { address, shared })
    }

    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// For programs that are not ours: takes what some provider would refuse.
    #[must_use]
    pub fn lenient_url(&self) -> String {
        format!("http://{}{LENIENT}/v1", self.address)
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Keeps no requests from now on: long conversations send much.
    pub fn forget(&self) {
        self.shared.forgetful.store(true, Ordering::Relaxed);
    }

    pub fn add(&self, script: Script) {
        self.shared.scripts.lock().unwrap().insert(0, script);
    }

    /// Queues turns: the next requests get them, whoever asks.
    pub fn will(&self, turns: impl IntoIterator<Item = Turn>) {
        self.shared.queue.lock().unwrap().extend(turns);
    }

    pub fn will_title(&self, turn: Turn) {
        *self.shared.title.lock().unwrap() = Some(turn);
    }

    /// How many requests there were so far.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.shared.requests.lock().unwrap().len()
    }

    /// The bodies of all requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Value> {
        self.shared.requests.lock().unwrap().clone()
    }
}

const LENIENT: &str = "/lenient";

async fn answer(shared: Arc<Shared>, method: Method, path: String, body: Value) -> Answer {
    let (path, is_lenient) = path.strip_prefix(LENIENT).map_or((path.as_str(), false), |path| (path, true));
    let refusal = |dialect| strict::check(dialect, &body).err().filter(|_| !is_lenient);
    match (method, path) {
        (Method::POST, "/v1/chat/completions") => {
            let refusal = refusal(Dialect::Chat);
            say(&shared, body, Dialect::Chat, refusal).await
        }
        (Method::POST, "/v1/messages") => {
            let refusal = refusal(Dialect::Anthropic);
            say(&shared, body, Dialect::Anthropic, refusal).await
        }
        (Method::POST, "/v1/responses") => {
            let refusal = refusal(Dialect::Responses);
            say(&shared, body, Dialect::Responses, refusal).await
        }
        (Method::POST, "/_scripts") => match serde_json::from_value::<Vec<Script>>(body) {
            Ok(scripts) => {
                shared.scripts.lock().unwrap().splice(0..0, scripts);
                reply(StatusCode::OK, &json!({}))
            }
            Err(error) => reply(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "error": error.to_string() })),
        },
        (Method::GET, "/_requests") => reply(StatusCode::OK, &json!(*shared.requests.lock().unwrap())),
        _ => {
            reply(StatusCode::NOT_FOUND, &json!({ "error": { "message": format!("no such path: {path}") } }))
        }
    }
}

async fn say(shared: &Shared, body: Value, dialect: Dialect, refusal: Option<String>) -> Answer {
    let turn = refusal.map_or_else(|| shared.next_turn(&body), |refusal| Turn::failure(400, &refusal));
    let streamed = body["stream"] == json!(true);
    if !shared.forgetful.load(Ordering::Relaxed) {
        shared.requests.lock().unwrap().push(body);
    }
    tokio::time::sleep(Duration::from_millis(turn.delay_ms)).await;
    if let Some(failure) = &turn.error {
        return refuse(failure, dialect);
    }
    match (dialect, streamed) {
        (Dialect::Chat, false) => reply(StatusCode::OK, &openai_whole(&turn)),
        (Dialect::Chat, true) => stream(openai_pieces(&turn)),
        (Dialect::Responses, false) => reply(StatusCode::OK, &response_whole(&turn)),
        (Dialect::Responses, true) => stream(response_pieces(&turn)),
        (Dialect::Anthropic, false) => reply(StatusCode::OK, &anthropic_whole(&turn)),
        (Dialect::Anthropic, true) => stream(anthropic_pieces(&turn)),
    }
}

impl Shared {
    fn next_turn(&self, body: &Value) -> Turn {
        let has_tools = body["tools"].as_array().is_some_and(|tools| !tools.is_empty());
        if !has_tools {
            let title = self.title.lock().unwrap().clone();
            return title.unwrap_or_else(|| Turn {
                input_tokens: 30,
                output_tokens: 3,
                ..Turn::text("A title")
            });
        }
        let queued = self.queue.lock().unwrap().pop_front();
        queued.unwrap_or_else(|| scripted(&self.scripts.lock().unwrap(), body))
    }
}

fn scripted(scripts: &[Script], body: &Value) -> Turn {
    let messages = body["messages"].as_array().or(body["input"].as_array()).map_or(&[][..], Vec::as_slice);
    let of = |role: &str| messages.iter().filter(|m| m["role"] == role).collect::<Vec<_>>();
    let first_user = of("user").first().map(|m| m["content"].to_string()).unwrap_or_default();
    let said = of("assistant").len();
    let script = scripts.iter().find(|script| first_user.contains(&script.marker));
    script.and_then(|script| script.turns.get(said).cloned()).unwrap_or_else(|| Turn::finish("done"))
}

fn arguments_text(arguments: &Value) -> String {
    arguments.as_str().map_or_else(|| arguments.to_string(), str::to_owned)
}

fn openai_usage(turn: &Turn) -> Value {
    json!({ "prompt_tokens": turn.input_tokens, "completion_tokens": turn.output_tokens,
        "total_tokens": turn.input_tokens + turn.output_tokens })
}

fn openai_calls(turn: &Turn) -> Vec<Value> {
    let call = |(index, call): (usize, &crate::script::Call)| {
        json!({ "index": index, "id": call.id, "type": "function",
            "function": { "name": call.name, "arguments": arguments_text(&call.arguments) } })
    };
    turn.tool_calls.iter().enumerate().map(call).collect()
}

fn finish_reason(turn: &Turn) -> &'static str {
    match turn.ending {
        Ending::Done if turn.tool_calls.is_empty() => "stop",
        Ending::Done => "tool_calls",
        Ending::Cut => "length",
        Ending::Withheld => "content_filter",
        Ending::Paused => "pause_turn",
    }
}

/// Each answer has one of its own, as a provider's has.
fn new_id(kind: &str) -> String {
    static ANSWERS: AtomicU64 = AtomicU64::new(0);
    format!("{kind}-scripted-{}", ANSWERS.fetch_add(1, Ordering::Relaxed))
}

fn openai_whole(turn: &Turn) -> Value {
    let mut message = json!({ "role": "assistant", "content": turn.text });
    if let Some(reasoning) = &turn.reasoning {
        message["reasoning_content"] = json!(reasoning);
    }
    if !turn.tool_calls.is_empty() {
        message["tool_calls"] = json!(openai_calls(turn));
    }
    json!({ "id": new_id("chatcmpl"), "object": "chat.completion", "created": 0, "model": "scripted",
        "choices": [{ "index": 0, "message": message, "finish_reason": finish_reason(turn) }], "usage": openai_usage(turn) })
}

fn openai_pieces(turn: &Turn) -> String {
    let id = new_id("chatcmpl");
    let chunk = |delta: Value, reason: Value| {
        json!({ "id": id, "object": "chat.completion.chunk", "created": 0, "model": "scripted",
            "choices": [{ "index": 0, "delta": delta, "finish_reason": reason }] })
    };
    let mut chunks = vec![chunk(json!({ "role": "assistant", "content": "" }), Value::Null)];
    chunks.extend(pieces(turn.text.as_deref()).map(|piece| chunk(json!({ "content": piece }), Value::Null)));
    chunks.extend(
        openai_calls(turn).into_iter().map(|call| chunk(json!({ "tool_calls": [call] }), Value::Null)),
    );
    chunks.push(chunk(json!({}), json!(finish_reason(turn))));
    let mut last = chunk(json!({}), Value::Null);
    last["choices"] = json!([]);
    last["usage"] = openai_usage(turn);
    chunks.push(last);
    let lines: String = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    lines + "data: [DONE]\n\n"
}

fn pieces(text: Option<&str>) -> impl Iterator<Item = String> {
    let letters: Vec<char> = text.unwrap_or_default().chars().collect();
    letters.chunks(12).map(|piece| piece.iter().collect()).collect::<Vec<String>>().into_iter()
}

fn response_whole(turn: &Turn) -> Value {
    let text = turn.text.iter().map(|text| {
        let content = json!([{ "type": "output_text", "text": text, "annotations": [] }]);
        json!({ "type": "message", "id": new_id("msg"), "role": "assistant", "status": "completed", "content": content })
    });
    let calls = turn.tool_calls.iter().map(|call| {
        json!({ "type": "function_call", "id": new_id("fc"), "call_id": call.id, "name": call.name,
            "arguments": arguments_text(&call.arguments), "status": "completed" })
    });
    let (status, why) = match turn.ending {
        Ending::Done | Ending::Paused => ("completed", Value::Null),
        Ending::Cut => ("incomplete", json!({ "reason": "max_output_tokens" })),
        Ending::Withheld => ("incomplete", json!({ "reason": "content_filter" })),
    };
    json!({ "id": new_id("resp"), "object": "response", "created_at": 0, "model": "scripted", "status": status,
        "incomplete_details": why, "output": text.chain(calls).collect::<Vec<_>>(),
        "usage": { "input_tokens": turn.input_tokens, "output_tokens": turn.output_tokens,
            "total_tokens": turn.input_tokens + turn.output_tokens } })
}

fn response_pieces(turn: &Turn) -> String {
    let response = response_whole(turn);
    let kind = if response["status"] == "incomplete" { "response.incomplete" } else { "response.completed" };
    format!("event: {kind}\ndata: {}\n\n", json!({ "type": kind, "response": response }))
}

fn anthropic_blocks(turn: &Turn) -> Vec<Value> {
    let text = turn.text.iter().map(|text| json!({ "type": "text", "text": text }));
    let calls = turn.tool_calls.iter().map(|call| {
        let input = match &call.arguments {
            Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
            object => object.clone(),
        };
        json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": input })
    });
    text.chain(calls).collect()
}

fn stop_reason(turn: &Turn) -> &'static str {
    match turn.ending {
        Ending::Done if turn.tool_calls.is_empty() => "end_turn",
        Ending::Done => "tool_use",
        Ending::Cut => "max_tokens",
        Ending::Withheld => "refusal",
        Ending::Paused => "pause_turn",
    }
}

fn anthropic_whole(turn: &Turn) -> Value {
    json!({ "id": new_id("msg"), "type": "message", "role": "assistant", "model": "scripted",
        "content": anthropic_blocks(turn), "stop_reason": stop_reason(turn),
        "usage": { "input_tokens": turn.input_tokens, "output_tokens": turn.output_tokens } })
}

fn anthropic_pieces(turn: &Turn) -> String {
    let mut events = vec![
        json!({ "type": "message_start", "message": { "id": new_id("msg"), "type": "message",
        "role": "assistant", "model": "scripted", "content": [], "usage": { "input_tokens": turn.input_tokens, "output_tokens": 0 } } }),
    ];
    for (index, mut block) in anthropic_blocks(turn).into_iter().enumerate() {
        let (field, deltas) = match block["type"].as_str() {
            Some("text") => {
                let deltas = pieces(block["text"].as_str())
                    .map(|text| json!({ "type": "text_delta", "text": text }))
                    .collect();
                ("text", deltas)
            }
            _ => (
                "input",
                vec![json!({ "type": "input_json_delta", "partial_json": block["input"].to_string() })],
            ),
        };
        block[field] = if field == "text" { json!("") } else { json!({}) };
        events.push(json!({ "type": "content_block_start", "index": index, "content_block": block }));
        events.extend(
            deltas
                .into_iter()
                .map(|delta| json!({ "type": "content_block_delta", "index": index, "delta": delta })),
        );
        events.push(json!({ "type": "content_block_stop", "index": index }));
    }
    events.push(json!({ "type": "message_delta", "delta": { "stop_reason": stop_reason(turn) }, "usage": { "output_tokens": turn.output_tokens } }));
    events.push(json!({ "type": "message_stop" }));
    events
        .iter()
        .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default()))
        .collect()
}

fn refuse(failure: &Failure, dialect: Dialect) -> Answer {
    let error = json!({ "message": failure.message, "type": "scripted_error" });
    let body = match dialect {
        Dialect::Chat | Dialect::Responses => json!({ "error": error }),
        Dialect::Anthropic => json!({ "type": "error", "error": error }),
    };
    let mut response = reply(StatusCode::from_u16(failure.status).unwrap(), &body);
    if let Some(wait) = &failure.retry_after {
        response.headers_mut().insert("retry-after", wait.parse().unwrap());
    }
    response
}

fn stream(events: String) -> Answer {
    Response::builder().header("content-type", "text/event-stream").body(http::whole(events)).unwrap()
}
