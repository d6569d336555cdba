//! A model server that answers from a script and keeps what it was asked.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use manyhands_llm::{Client, Direct, StreamEvent, StreamSink};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use types::agent::LlmConfig;
use types::content::{Message, Role, ToolCall};
use types::model::{Completion, ModelFailure, ModelRequest, ToolSchema};

#[derive(Clone)]
pub struct Turn {
    status: u16,
    headers: Vec<(&'static str, String)>,
    pieces: Vec<Bytes>,
    end: End,
}

#[derive(Clone, Copy)]
enum End {
    Whole,
    /// The connection breaks.
    Cut,
    /// Nothing more comes, and the connection stays open.
    Silence,
    /// Only comments come, for ever.
    Comments,
}

impl Turn {
    pub fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", vec![body.to_string()])
    }

    pub fn ok(body: &Value) -> Self {
        Self::json(200, body)
    }

    /// A stream of server-sent events, one piece each.
    pub fn events<'a>(events: impl IntoIterator<Item = &'a Value>) -> Self {
        let line = |event: &Value| match event.as_str() {
            Some(text) => format!("data: {text}\n\n"),
            None => format!("data: {event}\n\n"),
        };
        Self::new(200, "text/event-stream", events.into_iter().map(line).collect())
    }

    /// A good answer of these bytes, in one piece.
    pub fn raw(kind: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type", kind.to_owned())];
        Self { status: 200, headers, pieces: vec![Bytes::from(bytes.into())], end: End::Whole }
    }

    /// The same in gzip, which nobody has asked for.
    pub fn zipped(mut self) -> Self {
        for piece in &mut self.pieces {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            std::io::Write::write_all(&mut packed, piece).unwrap();
            *piece = packed.finish().unwrap().into();
        }
        self.header("content-encoding", "gzip")
    }

    pub fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn cut(self) -> Self {
        Self { end: End::Cut, ..self }
    }

    pub fn then_silence(self) -> Self {
        Self { end: End::Silence, ..self }
    }

    pub fn then_comments(self) -> Self {
        Self { end: End::Comments, ..self }
    }

    fn new(status: u16, kind: &str, pieces: Vec<String>) -> Self {
        let headers = vec![("content-type", kind.to_owned())];
        Self { status, headers, pieces: pieces.into_iter().map(Bytes::from).collect(), end: End::Whole }
    }

    fn response(self) -> Response<Body> {
        let pieces = stream::iter(self.pieces.into_iter().map(|piece| Ok(Frame::data(piece))));
        let end: BoxStream<'static, Piece> = match self.end {
            End::Whole => stream::empty().boxed(),
            // The delay lets the pieces before it reach the client.
            End::Cut => stream::once(async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("cut"))
            })
            .boxed(),
            End::Silence => stream::pending().boxed(),
            End::Comments => stream::repeat(())
                .then(|()| async {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                    Ok(Frame::data(Bytes::from_static(b": still here\n\n")))
                })
                .boxed(),
        };
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(StreamBody::new(pieces.chain(end).boxed())).unwrap()
    }
}

type Piece = Result<Frame<Bytes>, std::io::Error>;
type Body = StreamBody<BoxStream<'static, Piece>>;

#[derive(Clone)]
pub struct Asked {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Value,
}

#[derive(Clone, Default)]
pub struct FakeModel {
    port: u16,
    turns: Arc<Mutex<VecDeque<Turn>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<AtomicUsize>,
}

impl FakeModel {
    /// Answers with the turns in order; a request beyond them gets a 500.
    pub async fn start(turns: impl IntoIterator<Item = Turn>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            port: listener.local_addr().unwrap().port(),
            turns: Arc::new(Mutex::new(turns.into_iter().collect())),
            ..Self::default()
        };
        let server = fake.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                server.connections.fetch_add(1, Ordering::SeqCst);
                let server = server.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| server.answer(request));
                    let http = hyper::server::conn::http1::Builder::new();
                    // A cut answer ends the connection with an error, as scripted.
                    let _ = http.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        fake
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        self.asked.lock().unwrap().push(Asked { path: head.uri.to_string(), headers: head.headers, body });
        let turn = self.turns.lock().unwrap().pop_front();
        Ok(turn.unwrap_or_else(|| Turn::json(500, &json!({"error": "the script is over"}))).response())
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A configuration that ends here and does not wait long between attempts.
    pub fn llm(&self, model: &str) -> LlmConfig {
        LlmConfig {
            model: model.to_owned(),
            base_url: Some(format!("{}/v1", self.url())),
            api_key: Some("sk-test-0123456789".to_owned()),
            num_retries: 3,
            retry_min_wait: 0.001,
            retry_max_wait: 0.002,
            timeout: Some(20.0),
            stream_idle_timeout: Some(20.0),
            ..LlmConfig::default()
        }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Keeps what a listener hears.
#[derive(Default)]
pub struct Heard(Mutex<Vec<StreamEvent>>);

impl StreamSink for Heard {
    fn push(&self, event: StreamEvent) {
        self.0.lock().unwrap().push(event);
    }
}

impl Heard {
    pub fn events(&self) -> Vec<StreamEvent> {
        self.0.lock().unwrap().clone()
    }
}

pub const SESSION: &str = "3b4e34be-2d06-472b-b1fd-04e8409e3496";

pub fn client() -> Client {
    Client::new(Arc::new(Direct::default()))
}

pub async fn ask(llm: &LlmConfig, messages: Vec<Message>) -> Result<Completion, ModelFailure> {
    client().complete(llm, SESSION, &ModelRequest::new(messages, vec![tool()]), None).await
}

pub async fn ask_streamed(
    llm: &LlmConfig,
    messages: Vec<Message>,
    heard: &Heard,
) -> Result<Completion, ModelFailure> {
    let llm = LlmConfig { stream: true, ..llm.clone() };
    client().complete(&llm, SESSION, &ModelRequest::new(messages, vec![tool()]), Some(heard)).await
}

pub fn tool() -> ToolSchema {
    let parameters = json!({"type": "object", "properties": {"command": {"type": "string"}}});
    ToolSchema { name: "terminal".into(), description: "Runs a command.".into(), parameters }
}

pub fn user(text: &str) -> Message {
    Message::new(Role::User, text)
}

pub fn calls(ids: &[&str]) -> Message {
    let call = |id: &&str| ToolCall {
        id: (*id).to_owned(),
        name: "terminal".to_owned(),
        arguments: format!("{{\"command\": \"echo {id}\"}}"),
        origin: "completion".to_owned(),
    };
    Message { role: Role::Assistant, tool_calls: ids.iter().map(call).collect(), ..Message::default() }
}

pub fn result(id: &str, text: &str) -> Message {
    Message {
        tool_call_id: Some(id.to_owned()),
        name: Some("terminal".to_owned()),
        ..Message::new(Role::Tool, text)
    }
}

/// A plain chat answer with this message.
pub fn chat(message: Value) -> Value {
    json!({"id": "chatcmpl-1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 40}, "completion_tokens_details": {"reasoning_tokens": 4}}})
}

/// A plain Anthropic answer with these blocks.
pub fn messages(content: Value) -> Value {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "content": content, "stop_reason": "end_turn",
        "usage": {"input_tokens": 30, "output_tokens": 3, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 7}})
}
