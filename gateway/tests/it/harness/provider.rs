//! A model provider on a loopback port: notes what arrives, and repeats the key in its errors.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

/// Pieces of a streamed answer.
pub const STREAMED: usize = 50;

#[derive(Clone)]
pub struct Provider {
    address: String,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    seen: Mutex<Vec<Seen>>,
    refusal: Mutex<Option<(StatusCode, Option<String>)>>,
    hangs: Mutex<bool>,
    open: AtomicUsize,
}

#[derive(Clone)]
pub struct Seen {
    pub headers: HeaderMap,
    pub body: Value,
}

impl Provider {
    pub async fn start() -> Self {
        let inner = Arc::new(Inner::default());
        let app = Router::new().fallback(answer).with_state(inner.clone());
        let app = app.layer(axum::extract::DefaultBodyLimit::disable());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { address, inner }
    }

    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.inner.seen.lock().unwrap().clone()
    }

    /// The next call is answered with this status.
    pub fn refuse_once(&self, status: u16, retry_after: Option<&str>) {
        let status = StatusCode::from_u16(status).unwrap();
        *self.inner.refusal.lock().unwrap() = Some((status, retry_after.map(str::to_owned)));
    }

    /// Answers begin and never end.
    pub fn hang(&self) {
        *self.inner.hangs.lock().unwrap() = true;
    }

    /// Answers that are being sent.
    pub fn open(&self) -> usize {
        self.inner.open.load(Ordering::SeqCst)
    }
}

/// Counts an answer until it is sent or given up.
struct Open(Arc<Inner>);

impl Open {
    fn new(inner: &Arc<Inner>) -> Self {
        inner.open.fetch_add(1, Ordering::SeqCst);
        Self(inner.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn answer(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap();
    let streams = body["stream"] == true;
    let key = headers.get("authorization").map(|key| key.to_str().unwrap().to_owned()).unwrap_or_default();
    inner.seen.lock().unwrap().push(Seen { headers, body });
    if let Some((status, retry_after)) = inner.refusal.lock().unwrap().take() {
        let mut response = Response::builder().status(status).header("content-type", "application/json");
        if let Some(seconds) = retry_after {
            response = response.header("retry-after", seconds);
        }
        let error = json!({"error": {"message": format!("{key} is refused")}});
        return response.body(Body::from(error.to_string())).unwrap();
    }
    let hangs = *inner.hangs.lock().unwrap();
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 2});
    if !streams && !hangs {
        let answer = json!({"id": "r", "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}], "usage": usage});
        let response = Response::builder().header("content-type", "application/json");
        return response.body(Body::from(answer.to_string())).unwrap();
    }
    let open = Open::new(&inner);
    let piece = |content: &str, reason: Value| json!({"choices": [{"delta": {"content": content}, "finish_reason": reason}]});
    let mut events: Vec<String> = vec![format!("data: {}\n\n", piece("hi", Value::Null)); STREAMED];
    if !hangs {
        events.push(format!("data: {}\n\n", piece("", json!("stop"))));
        events.push(format!("data: {}\n\ndata: [DONE]\n\n", json!({"choices": [], "usage": usage})));
    }
    let events = stream::iter(events.into_iter().map(Ok::<_, Infallible>));
    let rest = async move {
        let _until_the_end = open;
        if hangs {
            tokio::time::sleep(Duration::from_secs(3_600)).await;
        }
        Ok("\n".to_owned())
    };
    let response = Response::builder().header("content-type", "text/event-stream");
    response.body(Body::from_stream(events.chain(stream::once(rest)))).unwrap()
}
