//! Who opens a socket: by its request, or by its first frame.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use axum::extract::{FromRef, FromRequestParts};
use http::StatusCode;
use http::request::Parts;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{Auth, Caller, Named, Right};
use crate::admission::Admission;
use crate::error::ApiError;
use crate::extract::query_values;
use crate::pings::Pings;

/// How long a socket may take to name its key or token.
const FIRST_FRAME: Duration = Duration::from_secs(10);

/// What a socket's request says about who opens it. Refuses (403, no upgrade) a key or token that is named and
/// no good: the query's key, and only without one the headers'. Tokens are not taken from the query, which
/// ends up in logs.
///
/// Until the caller is known the socket is that of a stranger, see [`crate::admission`].
pub struct SocketCredentials {
    auth: Auth,
    /// `None`: the first frame is to say.
    caller: Option<Caller>,
    admission: Option<Admission>,
}

impl<S: Sync> FromRequestParts<S> for SocketCredentials
where
    Auth: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let auth = Auth::from_ref(state);
        let in_query = query_values(&parts.uri, "session_api_key").pop();
        let named = match in_query {
            Some(key) if !auth.is_open() => auth.of_key(&key),
            _ => auth.named_by(&parts.headers),
        };
        let admission = parts.extensions.get::<Admission>().cloned();
        match named {
            Named::Known(caller) if caller.may(Right::Read) => {
                auth.admit(&caller)?;
                admission.iter().for_each(Admission::prove);
                Ok(Self { auth, caller: Some(caller), admission })
            }
            Named::Known(_) | Named::Stranger => Err(ApiError::plain(StatusCode::FORBIDDEN)),
            Named::Nobody => {
                admission.iter().for_each(Admission::expect_first_words);
                Ok(Self { auth, caller: None, admission })
            }
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
    pub async fn check(self, drain: &CancellationToken, socket: &mut WebSocket) -> Option<Caller> {
        if self.caller.is_some() {
            return self.caller;
        }
        let frame = tokio::select! {
            frame = tokio::time::timeout(FIRST_FRAME, first_frame(socket)) => frame.ok().flatten(),
            () = drain.cancelled() => return close(socket, 1012, "").await,
        };
        let named = match frame {
            Some(Message::Text(text)) => self.auth.named_in(&text),
            Some(Message::Binary(_)) => return close(socket, 1003, "").await,
            _ => None,
        };
        match named {
            Some(caller) if self.auth.admit(&caller).is_err() => {
                close(socket, 1013, "Too many requests").await
            }
            Some(caller) if caller.may(Right::Read) => {
                self.admission.iter().for_each(Admission::prove);
                Some(caller)
            }
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

impl Auth {
    fn named_in(&self, text: &str) -> Option<Caller> {
        let frame: FirstFrame = serde_json::from_str(text).ok()?;
        match (frame.r#type.as_str(), frame.session_api_key, frame.token) {
            ("auth", Some(key), None) => self.of_key(&key).caller(),
            ("auth", None, Some(token)) => self.of_token(&token).caller(),
            _ => None,
        }
    }
}

async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) -> Option<Caller> {
    // Whether it still hears us makes no difference.
    let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
    None
}
