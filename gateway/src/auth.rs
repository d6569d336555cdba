//! Who may call: session keys on HTTP routes and on sockets.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::App;
use crate::error::ApiError;
use crate::extract::query_values;

const KEY_HEADER: &str = "x-session-api-key";

/// How long a socket may take to name its key.
const FIRST_FRAME: Duration = Duration::from_secs(10);

/// For how long, and how much, a refused client is still listened to.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;

/// Lets a request through that carries a session key in its header; without keys, every request. Looks at
/// headers alone, so the body of a refused request is not read.
pub async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    if accepts_header(&app, request.headers()) {
        next.run(request).await
    } else {
        unauthorized(&app, request)
    }
}

/// As [`guard`], and also for the cookie of a workspace session: the files pages of a browser show.
pub async fn workspace_guard(State(app): State<App>, request: Request, next: Next) -> Response {
    if accepts_header(&app, request.headers()) || app.sessions.accepts(request.headers()) {
        next.run(request).await
    } else {
        unauthorized(&app, request)
    }
}

fn accepts_header(app: &App, headers: &HeaderMap) -> bool {
    let keys = &app.config.keys;
    keys.is_empty() || header_key(headers).is_some_and(|key| keys.accepts(key))
}

fn header_key(headers: &HeaderMap) -> Option<&str> {
    headers.get(KEY_HEADER)?.to_str().ok()
}

fn unauthorized(app: &App, request: Request) -> Response {
    if !request.body().is_end_stream() {
        app.tasks.spawn(tokio::time::timeout(LINGER, discard(request.into_body())));
    }
    ApiError::plain(StatusCode::UNAUTHORIZED).into_response()
}

/// Reads a little of what a refused client sends on: were the connection closed at once, its answer could get
/// lost on the way.
async fn discard(body: Body) {
    let mut left = LINGER_BYTES;
    let mut pieces = body.into_data_stream();
    while let Some(Ok(piece)) = pieces.next().await {
        left = left.saturating_sub(piece.len());
        if left == 0 {
            return;
        }
    }
}

/// What a socket's request says about its key. Refuses (403, no upgrade) a key that is named and wrong: the
/// query's, and only without one the header's.
pub struct SocketCredentials {
    complete: bool,
}

impl FromRequestParts<App> for SocketCredentials {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, StatusCode> {
        let keys = &app.config.keys;
        if keys.is_empty() {
            return Ok(Self { complete: true });
        }
        let in_query = query_values(&parts.uri, "session_api_key").pop();
        let named = in_query.as_deref().or_else(|| parts.headers.get(KEY_HEADER).map(text));
        match named {
            Some(key) if keys.accepts(key) => Ok(Self { complete: true }),
            Some(_) => Err(StatusCode::FORBIDDEN),
            None => Ok(Self { complete: false }),
        }
    }
}

fn text(value: &http::HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}

/// The first frame of a socket whose request named no key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstFrame {
    r#type: String,
    session_api_key: String,
}

impl SocketCredentials {
    /// Waits for the first frame where the request named no key. On `false` the socket has been closed
    /// (4001; 1003 after a binary frame) and must be dropped.
    pub async fn check(self, app: &App, socket: &mut WebSocket) -> bool {
        if self.complete {
            return true;
        }
        let frame = tokio::select! {
            frame = tokio::time::timeout(FIRST_FRAME, first_frame(socket)) => frame.ok().flatten(),
            () = app.drain.cancelled() => return close(socket, 1012, "").await,
        };
        match frame {
            Some(Message::Text(text)) if names_a_key(app, &text) => true,
            Some(Message::Binary(_)) => close(socket, 1003, "").await,
            _ => close(socket, 4001, "Authentication failed").await,
        }
    }
}

/// The first data frame; `None` when the client has gone.
async fn first_frame(socket: &mut WebSocket) -> Option<Message> {
    loop {
        match socket.recv().await?.ok()? {
            Message::Ping(_) | Message::Pong(_) => {}
            frame => return Some(frame),
        }
    }
}

fn names_a_key(app: &App, text: &str) -> bool {
    let frame: Result<FirstFrame, _> = serde_json::from_str(text);
    frame.is_ok_and(|frame| frame.r#type == "auth" && app.config.keys.accepts(&frame.session_api_key))
}

async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) -> bool {
    // Whether it still hears us makes no difference.
    let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
    false
}
