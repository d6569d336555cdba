//! A model server on loopback that speaks OpenAI chat completions and answers from a script.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// One answer.
#[derive(Clone, Debug)]
pub enum Turn {
    Text(String),
    Tool {
        name: String,
        arguments: Value,
    },
    /// Never answers.
    Hang,
    Status(u16),
}

impl Turn {
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub fn terminal(command: &str) -> Self {
        Self::Tool { name: "terminal".to_owned(), arguments: json!({"command": command}) }
    }

    /// A command that makes the file `begun` and goes on for long, as one process.
    pub fn sleep() -> Self {
        Self::terminal("sh -c 'touch begun; exec sleep 30'")
    }

    pub fn finish() -> Self {
        Self::Tool { name: "finish".to_owned(), arguments: json!({"message": "done"}) }
    }
}

#[derive(Default)]
struct Script {
    turns: VecDeque<Turn>,
    /// Answers requests that offer no tools: titles.
    title: Option<Turn>,
    requests: Vec<Value>,
}

/// Requests with tools take the next turn (`done` when there is none), those without get the title.
#[derive(Clone)]
pub struct Model {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
}

impl Model {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let model = Self { address: listener.local_addr().unwrap(), script: Arc::default() };
        let script = model.script.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                socket.set_nodelay(true).unwrap();
                tokio::spawn(serve(socket, script.clone()));
            }
        });
        model
    }

    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub fn will(&self, turns: impl IntoIterator<Item = Turn>) {
        self.script.lock().unwrap().turns.extend(turns);
    }

    pub fn will_title(&self, turn: Turn) {
        self.script.lock().unwrap().title = Some(turn);
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Value> {
        self.script.lock().unwrap().requests.clone()
    }
}

async fn serve(socket: TcpStream, script: Arc<Mutex<Script>>) {
    let mut socket = BufReader::new(socket);
    while let Some(request) = read(&mut socket).await {
        let turn = next(&script, &request);
        let streamed = request["stream"] == json!(true);
        let answer = match turn {
            Turn::Hang => {
                tokio::time::sleep(Duration::from_secs(600)).await;
                return;
            }
            Turn::Status(status) => {
                http(status, "application/json", r#"{"error":{"message":"scripted failure"}}"#)
            }
            Turn::Text(text) if streamed => http(200, "text/event-stream", &stream(&text)),
            turn => http(200, "application/json", &completion(&turn).to_string()),
        };
        if socket.get_mut().write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(socket: &mut BufReader<TcpStream>) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if socket.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.ok()?;
    serde_json::from_slice(&body).ok()
}

fn next(script: &Mutex<Script>, request: &Value) -> Turn {
    let mut script = script.lock().unwrap();
    script.requests.push(request.clone());
    if request["tools"].as_array().is_none_or(Vec::is_empty) {
        return script.title.clone().unwrap_or_else(|| Turn::text("A title"));
    }
    script.turns.pop_front().unwrap_or_else(|| Turn::text("done"))
}

fn completion(turn: &Turn) -> Value {
    let (message, reason) = match turn {
        Turn::Tool { name, arguments } => {
            let call = json!({"id": format!("call_{}", uuid::Uuid::new_v4().simple()), "type": "function",
                "function": {"name": name, "arguments": arguments.to_string()}});
            (json!({"role": "assistant", "content": null, "tool_calls": [call]}), "tool_calls")
        }
        Turn::Text(text) => (json!({"role": "assistant", "content": text}), "stop"),
        Turn::Hang | Turn::Status(_) => unreachable!("has no completion"),
    };
    json!({"id": format!("chatcmpl-{}", uuid::Uuid::new_v4().simple()), "object": "chat.completion",
        "created": 1, "model": "scripted", "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}})
}

fn stream(text: &str) -> String {
    let chunk = |delta: Value, reason: Option<&str>| {
        let chunk = json!({"id": "chatcmpl-s", "object": "chat.completion.chunk", "created": 1, "model": "scripted",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
        format!("data: {chunk}\n\n")
    };
    let mut body = chunk(json!({"role": "assistant", "content": ""}), None);
    for piece in text.chars() {
        body.push_str(&chunk(json!({"content": piece.to_string()}), None));
    }
    body.push_str(&chunk(json!({}), Some("stop")));
    body.push_str("data: [DONE]\n\n");
    body
}

fn http(status: u16, kind: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}")
}
