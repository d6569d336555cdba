use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use http::StatusCode;
use http::request::Parts;
use serde::Deserialize;

use super::{Caller, Named, Right, named_by, of_key};
use crate::App;
use crate::extract::query_values;
use crate::sockets::Pings;

/// How long a socket may take to name its key or token.
const FIRST_FRAME: Duration = Duration::from_secs(10);

/// What a socket's request says about who opens it. Refuses (403, no upgrade) a key or token that is named and
/// no good: the query's key, and only without one the headers'. Tokens are not taken from the query, which
/// ends up in logs.
pub struct SocketCredentials {
    /// `None`: the first frame is to say.
    caller: Option<Caller>,
}

impl FromRequestParts<App> for SocketCredentials {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, StatusCode> {
        let in_query = query_values(&parts.uri, "session_api_key").pop();
        let named = match in_query {
            Some(key) if !app.config.is_open() => of_key(app, &key),
            _ => named_by(app, &parts.headers),
        };
        match named {
            Named::Known(caller) if caller.may(Right::Read) => Ok(Self { caller: Some(caller) }),
            Named::Known(_) | Named::Stranger => Err(StatusCode::FORBIDDEN),
            Named::Nobody => Ok(Self { caller: None }),
        }
    }
}

/// The first frame of a socket whose request named nobody: a key or a token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstFrame {
    r#type: String,
    session_api_key: Option<String>,
    token: Option<String>,
}

impl SocketCredentials {
    /// Waits for the first frame where the request named nobody. On `None` the socket has been closed (4001;
    /// 4003 without the right to read; 1003 after a binary frame) and must be dropped.
    pub async fn check(self, app: &App, socket: &mut WebSocket) -> Option<Caller> {
        if self.caller.is_some() {
            return self.caller;
        }
        let frame = tokio::select! {
            frame = tokio::time::timeout(FIRST_FRAME, first_frame(socket)) => frame.ok().flatten(),
            () = app.drain.cancelled() => return close(socket, 1012, "").await,
        };
        let named = match frame {
            Some(Message::Text(text)) => named_in(app, &text),
            Some(Message::Binary(_)) => return close(socket, 1003, "").await,
            _ => None,
        };
        match named {
            Some(caller) if caller.may(Right::Read) => Some(caller),
            Some(_) => close(socket, 4003, "Forbidden").await,
            None => close(socket, 4001, "Authentication failed").await,
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

fn named_in(app: &App, text: &str) -> Option<Caller> {
    let frame: FirstFrame = serde_json::from_str(text).ok()?;
    match (frame.r#type.as_str(), frame.session_api_key, frame.token) {
        ("auth", Some(key), None) => match of_key(app, &key) {
            Named::Known(caller) => Some(caller),
            Named::Nobody | Named::Stranger => None,
        },
        ("auth", None, Some(token)) => app.bearer.as_ref()?.caller(&token),
        _ => None,
    }
}

async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) -> Option<Caller> {
    // Whether it still hears us makes no difference.
    let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
    None
}
