//! WebSockets: a conversation's events as they happen, its session protocol, what becomes of all conversations, and the bash
//! events.

mod bash;
mod conversation;
mod conversations;
mod inbound;
mod replay;
mod wire;

use axum::extract::FromRequestParts;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::Response;
use axum::routing::get;
use futures_util::FutureExt;
use http::StatusCode;
use http::request::Parts;

use crate::described::Routes;
use crate::error::ApiError;
use crate::gate::is_websocket;
use crate::handles::Sockets;

/// Bytes that are read at once. Each socket keeps so much in memory, also one whose client nobody knows.
const READ_BUFFER: usize = 8 * 1024;

/// Frames queued for one system call, in bytes.
const WRITE_BUFFER: usize = 64 * 1024;

/// Bytes of a frame from a client.
const MAX_INBOUND: usize = 16 * 1024 * 1024;

pub fn routes() -> Routes {
    Routes::new()
        .route("/sockets/events/{conversation_id}", get(conversation::events))
        .route("/sockets/session/{conversation_id}", get(conversation::session))
        .route("/sockets/conversations", get(conversations::conversations))
        .route("/sockets/bash-events", get(bash::events))
}

/// A request that is to become a socket.
struct Upgrade(WebSocketUpgrade);

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        if !is_websocket(&parts.headers) {
            return Err(ApiError::not_found());
        }
        let upgrade = WebSocketUpgrade::from_request_parts(parts, state).await;
        let unfit = |why: WebSocketUpgradeRejection| ApiError::new(why.status(), why.body_text());
        upgrade.map(Self).map_err(unfit)
    }
}

/// What is no wish that a socket can have.
fn refused() -> ApiError {
    ApiError::plain(StatusCode::FORBIDDEN)
}

/// Upgrades the request and runs `serve` as a task that the server's end waits for.
fn upgrade<F>(
    sockets: &Sockets,
    Upgrade(upgrade): Upgrade,
    serve: impl FnOnce(axum::extract::ws::WebSocket) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let (tasks, http) = (sockets.tasks.clone(), sockets.metrics.clone());
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(MAX_INBOUND)
        .max_frame_size(MAX_INBOUND)
        .on_upgrade(move |socket| {
            let open = http.socket();
            tasks.tracker.track_future(serve(socket).map(|()| drop(open)))
        })
}
