//! A model that says what is written here: it has a command run, looks at what that printed, and ends. It speaks just so much of
//! OpenAI's protocol.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::client::values::{list, text};

/// Bytes of a call, which has all that was said.
const LARGEST_CALL: usize = 4 << 20;
/// For a call and its answer.
const PATIENCE: Duration = Duration::from_secs(10);
const AFTER_A_FAILURE: Duration = Duration::from_millis(200);

/// Serves until it is dropped.
pub struct Script {
    address: SocketAddr,
    lines: Arc<Lines>,
    _serving: DropGuard,
}

struct Lines {
    /// Prints what stands nowhere in it.
    command: String,
    result: String,
    calls: AtomicUsize,
    has_seen_the_result: AtomicBool,
}

impl Script {
    /// # Errors
    /// When the address cannot be had.
    pub async fn start(at: SocketAddr) -> anyhow::Result<Self> {
        let socket = TcpListener::bind(at).await;
        let socket = socket.with_context(|| format!("the script cannot listen on {at}"))?;
        let (address, lines) = (socket.local_addr()?, Arc::new(Lines::new()));
        let stop = CancellationToken::new();
        let serving = serve(socket, lines.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(serving));
        Ok(Self { address, lines, _serving: stop.drop_guard() })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the command prints.
    pub fn result(&self) -> &str {
        &self.lines.result
    }

    pub fn calls(&self) -> usize {
        self.lines.calls.load(Ordering::Relaxed)
    }

    pub fn has_seen_the_result(&self) -> bool {
        self.lines.has_seen_the_result.load(Ordering::Relaxed)
    }
}

impl Lines {
    fn new() -> Self {
        let (one, other) = (Uuid::new_v4().as_u128() % 900_000 + 100_000, 999_983);
        Self {
            command: format!("echo $(({one} * {other}))"),
            result: (one * other).to_string(),
            calls: AtomicUsize::new(0),
            has_seen_the_result: AtomicBool::new(false),
        }
    }

    /// What comes next is read from what was said: who asks twice is answered alike.
    fn answer(&self, call: &Value) -> Value {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let messages = list(call, "/messages");
        let of = |role: &'static str| messages.iter().filter(move |message| text(message, "/role") == role);
        if of("tool").any(|message| message.to_string().contains(&self.result)) {
            self.has_seen_the_result.store(true, Ordering::Relaxed);
        }
        let (name, arguments) = match of("assistant").count() {
            0 => ("terminal", json!({"command": self.command})),
            _ => ("finish", json!({"message": "That is all."})),
        };
        let function = json!({"name": name, "arguments": arguments.to_string()});
        let calls =
            json!([{"index": 0, "id": format!("call_{name}"), "type": "function", "function": function}]);
        let message = json!({"role": "assistant", "content": null, "tool_calls": calls});
        json!({"id": "script", "object": "chat.completion", "created": 0, "model": "scripted",
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})
    }
}

async fn serve(socket: TcpListener, lines: Arc<Lines>) {
    loop {
        let Ok((stream, _)) = socket.accept().await else {
            tokio::time::sleep(AFTER_A_FAILURE).await;
            continue;
        };
        let lines = lines.clone();
        // Who goes away or takes too long gets nothing.
        tokio::spawn(async move { tokio::time::timeout(PATIENCE, exchange(stream, &lines)).await });
    }
}

async fn exchange(stream: TcpStream, lines: &Lines) -> hyper::Result<()> {
    let service = service_fn(async |request: Request<Incoming>| {
        Ok::<_, Infallible>(match request.uri().path().ends_with("/chat/completions") {
            true => match Limited::new(request.into_body(), LARGEST_CALL).collect().await {
                Ok(body) => match serde_json::from_slice(&body.to_bytes()) {
                    Ok(call) => reply(StatusCode::OK, &lines.answer(&call)),
                    Err(_) => reply(StatusCode::BAD_REQUEST, &json!({"error": {"message": "is no JSON"}})),
                },
                Err(_) => reply(StatusCode::PAYLOAD_TOO_LARGE, &json!({"error": {"message": "is too long"}})),
            },
            false => reply(StatusCode::NOT_FOUND, &json!({"error": {"message": "only chat completions"}})),
        })
    });
    let mut connection = http1::Builder::new();
    connection.keep_alive(false);
    connection.serve_connection(TokioIo::new(stream), service).await
}

fn reply(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_taken_for_seen_only_as_what_a_tool_has_said() {
        let lines = Lines::new();
        assert!(!lines.command.contains(&lines.result));
        let ask = |messages: Value| lines.answer(&json!({"messages": messages}));
        let first = ask(json!([{"role": "user", "content": lines.result}]));
        assert_eq!(first["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "terminal");
        assert!(!lines.has_seen_the_result.load(Ordering::Relaxed));
        let said = json!([{"role": "assistant"}, {"role": "tool", "content": lines.result}]);
        assert_eq!(ask(said)["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "finish");
        assert!(lines.has_seen_the_result.load(Ordering::Relaxed));
    }
}
