//! The two sockets of a conversation.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Path, State};
use axum::response::Response;
use futures_util::StreamExt;
use http::StatusCode;
use http::request::Parts;
use readmodel::history::Moment;
use readmodel::index::ConversationState;
use serde_json::{Map, json};
use types::{ConversationId, Seq};

use super::inbound::{Messages, listen};
use super::wire::{Heard, Stop, Wire};
use super::{replay, upgrade};
use crate::App;
use crate::auth::SocketCredentials;
use crate::extract::{query_values, truth};
use crate::feeds::{Ending, Outbox, Protocol, Seat, text_of};

const UNKNOWN: Ending = Ending { code: 4004, reason: "Conversation not found" };
const CROWDED: Ending = Ending { code: 1013, reason: "Too many connections for this conversation" };

/// What a client says about its wishes in the query. Anything that does not fit is 403.
pub(super) struct Wishes {
    id: ConversationId,
    from: replay::From,
    /// `after_seq` as given, for the session protocol.
    after_seq: Option<i64>,
}

impl FromRequestParts<App> for Wishes {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, StatusCode> {
        let refused = StatusCode::FORBIDDEN;
        let id = Path::<String>::from_request_parts(parts, app).await.map_err(|_| refused)?;
        let id = ConversationId::from_str(&id).map_err(|_| refused)?;
        let value = |name: &str| query_values(&parts.uri, name).pop();
        let after_seq =
            value("after_seq").map(|text| text.parse::<i64>()).transpose().map_err(|_| refused)?;
        let since =
            value("after_timestamp").map(|text| Moment::of_bound(&text).ok_or(refused)).transpose()?;
        let resend_all =
            value("resend_all").map(|text| truth(&text).ok_or(refused)).transpose()?.unwrap_or_default();
        let from = match value("resend_mode").as_deref() {
            Some("all") => replay::From::Start,
            Some("since") => since.map_or(replay::From::Nothing, replay::From::Time),
            None if resend_all => replay::From::Start,
            None => replay::From::Nothing,
            Some(_) => return Err(refused),
        };
        Ok(Self { id, from, after_seq })
    }
}

pub(super) async fn events(
    State(app): State<App>,
    credentials: SocketCredentials,
    wishes: Wishes,
    request: WebSocketUpgrade,
) -> Response {
    let Wishes { id, from, .. } = wishes;
    upgrade(&app.clone(), request, move |socket| async move {
        serve(&app, credentials, socket, id, Opening { protocol: Protocol::Events, from, after_seq: None })
            .await;
    })
}

pub(super) async fn session(
    State(app): State<App>,
    credentials: SocketCredentials,
    wishes: Wishes,
    request: WebSocketUpgrade,
) -> Response {
    let Wishes { id, after_seq, .. } = wishes;
    let from = match after_seq.map(u64::try_from) {
        None => replay::From::Nothing,
        Some(Ok(n)) => replay::From::AfterIndex(n),
        Some(Err(_)) => replay::From::Start,
    };
    upgrade(&app.clone(), request, move |socket| async move {
        serve(&app, credentials, socket, id, Opening { protocol: Protocol::Session, from, after_seq }).await;
    })
}

/// How a socket begins.
struct Opening {
    protocol: Protocol,
    from: replay::From,
    after_seq: Option<i64>,
}

async fn serve(
    app: &App,
    credentials: SocketCredentials,
    mut socket: WebSocket,
    id: ConversationId,
    opening: Opening,
) {
    let Some(caller) = credentials.check(&app.tasks.drain, &mut socket).await else { return };
    let Some(entry) = app.index.get(&caller.tenant, id) else {
        return close(socket, UNKNOWN).await;
    };
    let (sink, mut stream) = socket.split();
    let (heard, outbox) = (Heard::default(), Arc::new(Outbox::default()));
    let mut wire = Wire { sink, outbox: &outbox, heard: &heard, drain: &app.tasks.drain };
    let messages = Messages { app, entry: &entry, protocol: opening.protocol };
    let listening = listen(&mut stream, &heard, &outbox, &caller, &messages);
    let stop = tokio::select! {
        stop = speak(app, &entry, &opening, &outbox, &mut wire) => stop,
        () = listening => Stop::Gone,
        () = caller.expired() => Stop::Ending(Ending::EXPIRED),
    };
    wire.close(stop, &mut stream).await;
}

/// Sends what was asked for, then what happens, until the end.
async fn speak(
    app: &App,
    entry: &Arc<ConversationState>,
    opening: &Opening,
    outbox: &Arc<Outbox>,
    wire: &mut Wire<'_>,
) -> Stop {
    match open(app, entry, opening, outbox, wire).await {
        Ok(seat) => {
            let path = &app.config.conversations_path;
            wire.pump(|| opening.protocol.snapshot(&seat.room.snapshot(path))).await
        }
        Err(stop) => stop,
    }
}

/// The first frames and the history, up to where live events follow without a gap.
async fn open(
    app: &App,
    entry: &Arc<ConversationState>,
    opening: &Opening,
    outbox: &Arc<Outbox>,
    wire: &mut Wire<'_>,
) -> Result<Seat, Stop> {
    let protocol = opening.protocol;
    let join = |has: Seq| app.hub.join(entry, protocol, outbox.clone(), has).ok_or(Stop::Ending(CROWDED));
    let Some(at) = replay::begin(app, entry, opening.from).await? else {
        let seat = join(Seq::ZERO)?;
        wire.send(first_frame(entry, opening)).await?;
        wire.send([snapshot(app, entry, protocol)]).await?;
        return Ok(seat);
    };
    wire.send(first_frame(entry, opening)).await?;
    let version = entry.version();
    if protocol == Protocol::Events {
        wire.send([snapshot(app, entry, protocol)]).await?;
    }
    let reached = replay::send(app, entry, protocol, wire, at, None).await?;
    let seat = join(reached)?;
    replay::send(app, entry, protocol, wire, reached, Some(seat.position)).await?;
    // What the first snapshot said may be over by now; the end of a run is never left untold.
    if protocol == Protocol::Session || entry.version() != version {
        wire.send([snapshot(app, entry, protocol)]).await?;
    }
    Ok(seat)
}

/// `sync`, where the protocol has it.
fn first_frame(entry: &ConversationState, opening: &Opening) -> Option<Utf8Bytes> {
    if opening.protocol == Protocol::Events {
        return None;
    }
    let mut sync = Map::from_iter([("type".to_owned(), json!("sync"))]);
    if let Some(after_seq) = opening.after_seq {
        sync.insert("from_seq".to_owned(), after_seq.into());
    }
    if let Some(newest) = entry.events().checked_sub(1) {
        sync.insert("through_seq".to_owned(), newest.into());
    }
    Some(text_of(&sync))
}

fn snapshot(app: &App, entry: &ConversationState, protocol: Protocol) -> Utf8Bytes {
    protocol.snapshot(&entry.snapshot(&app.config.conversations_path))
}

pub(super) async fn close(mut socket: WebSocket, ending: Ending) {
    let Ending { code, reason } = ending;
    // Whether it still hears us makes no difference.
    let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
}
