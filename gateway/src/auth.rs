//! Who may call: session keys on HTTP routes and on sockets.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::App;
use crate::error::ApiError;
use crate::extract::query_values;
use crate::sockets::Pings;

const KEY_HEADER: &str = "x-session-api-key";

/// How long a socket may take to name its key.
const FIRST_FRAME: Duration = Duration::from_secs(10);

/// Lets a request through that carries a session key in its header; without keys, every request. Looks at
/// headers alone, so the body of a refused request is not read.
pub async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    if accepts_header(&app, request.headers()) { next.run(request).await } else { unauthorized() }
}

/// As [`guard`], and also for the cookie of a workspace session: the files pages of a browser show.
pub async fn workspace_guard(State(app): State<App>, request: Request, next: Next) -> Response {
    if accepts_header(&app, request.headers()) || app.sessions.accepts(request.headers()) {
        next.run(request).await
    } else {
        unauthorized()
    }
}

fn accepts_header(app: &App, headers: &HeaderMap) -> bool {
    let keys = &app.config.keys;
    keys.is_empty() || header_key(headers).is_some_and(|key| keys.accepts(key))
}

fn header_key(headers: &HeaderMap) -> Option<&str> {
    headers.get(KEY_HEADER).map(text)
}

/// Keys are texts, also with letters that are not ASCII; a header in another encoding names none.
fn text(value: &http::HeaderValue) -> &str {
    str::from_utf8(value.as_bytes()).unwrap_or_default()
}

fn unauthorized() -> Response {
    ApiError::plain(StatusCode::UNAUTHORIZED).into_response()
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
    let mut pings = Pings::default();
    loop {
        match socket.recv().await?.ok()? {
            Message::Ping(_) | Message::Pong(_) => pings.note().await,
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
