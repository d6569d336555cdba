//! The two sockets of a conversation.

use std::convert::Infallible;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use axum::extract::{FromRef, FromRequestParts, Path};
use axum::response::Response;
use control::conversations::Conversations;
use futures_util::StreamExt;
use http::request::Parts;
use readmodel::history::Moment;
use readmodel::index::ConversationState;
use serde_json::{Map, json};
use types::{ConversationId, Seq};

use super::inbound::{Messages, listen};
use super::wire::{Heard, Stop, Wire};
use super::{Upgrade, refused, replay, upgrade};
use crate::auth::SocketCredentials;
use crate::error::ApiError;
use crate::extract::{query_values, truth};
use crate::feeds::{Ending, Outbox, Protocol, Seat, text_of};
use crate::handles::Sockets;
use crate::reading::Reading;

const UNKNOWN: Ending = Ending { code: 4004, reason: "Conversation not found" };
const AWAY: Ending = Ending { code: 1013, reason: "The store is not available" };
const CROWDED: Ending = Ending { code: 1013, reason: "Too many connections for this conversation" };

/// What a client says about its wishes in the query. Anything that does not fit is 403.
pub(super) struct Wishes {
    id: ConversationId,
    from: replay::From,
    /// `after_seq` as given, for the session protocol.
    after_seq: Option<i64>,
}

impl<S: Send + Sync> FromRequestParts<S> for Wishes {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let id = Path::<String>::from_request_parts(parts, state).await.map_err(|_| refused())?;
        let id = ConversationId::from_str(&id).map_err(|_| refused())?;
        let value = |name: &str| query_values(&parts.uri, name).pop();
        let after_seq =
            value("after_seq").map(|text| text.parse::<i64>()).transpose().map_err(|_| refused())?;
        let since =
            value("after_timestamp").map(|text| Moment::of_bound(&text).ok_or_else(refused)).transpose()?;
        let resend_all =
            value("resend_all").map(|text| truth(&text).ok_or_else(refused)).transpose()?.unwrap_or_default();
        let from = match value("resend_mode").as_deref() {
            Some("all") => replay::From::Start,
            Some("since") => since.map_or(replay::From::Nothing, replay::From::Time),
            None if resend_all => replay::From::Start,
            None => replay::From::Nothing,
            Some(_) => return Err(refused()),
        };
        Ok(Self { id, from, after_seq })
    }
}

pub(super) async fn events(
    listening: Listening,
    credentials: SocketCredentials,
    wishes: Wishes,
    request: Upgrade,
) -> Response {
    let Wishes { id, from, .. } = wishes;
    upgrade(&listening.sockets.clone(), request, move |socket| async move {
        listening
            .serve(credentials, socket, id, Opening { protocol: Protocol::Events, from, after_seq: None })
            .await;
    })
}

pub(super) async fn session(
    listening: Listening,
    credentials: SocketCredentials,
    wishes: Wishes,
    request: Upgrade,
) -> Response {
    let Wishes { id, after_seq, .. } = wishes;
    let from = match after_seq.map(u64::try_from) {
        None => replay::From::Nothing,
        Some(Ok(n)) => replay::From::AfterIndex(n),
        Some(Err(_)) => replay::From::Start,
    };
    upgrade(&listening.sockets.clone(), request, move |socket| async move {
        listening
            .serve(credentials, socket, id, Opening { protocol: Protocol::Session, from, after_seq })
            .await;
    })
}

/// How a socket begins.
struct Opening {
    protocol: Protocol,
    from: replay::From,
    after_seq: Option<i64>,
}

/// What a conversation's socket uses.
#[derive(Clone)]
pub(super) struct Listening {
    sockets: Sockets,
    reading: Reading,
    conversations: Conversations,
}

impl<S: Sync> FromRequestParts<S> for Listening
where
    Sockets: FromRef<S>,
    Reading: FromRef<S>,
    Conversations: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let (sockets, reading) = (Sockets::from_ref(state), Reading::from_ref(state));
        Ok(Self { sockets, reading, conversations: Conversations::from_ref(state) })
    }
}

impl Listening {
    async fn serve(
        &self,
        credentials: SocketCredentials,
        mut socket: WebSocket,
        id: ConversationId,
        opening: Opening,
    ) {
        // One of its own: that of all is locked by whoever looks at it, which this does for every frame.
        let drain = &self.sockets.tasks.drain.child_token();
        let Some(caller) = credentials.check(drain, &mut socket).await else { return };
        let entry = match self.conversations.get(&caller.tenant, id).await {
            Ok(Some(entry)) => entry,
            Ok(None) => return close(socket, UNKNOWN).await,
            Err(_) => return close(socket, AWAY).await,
        };
        let (sink, mut stream) = socket.split();
        let (heard, outbox) = (Heard::default(), Arc::new(Outbox::default()));
        let ping_every = self.sockets.ping_every;
        let mut wire = Wire { sink, outbox: &outbox, heard: &heard, drain, ping_every };
        let messages =
            Messages { conversations: &self.conversations, entry: &entry, protocol: opening.protocol };
        let listening = listen(&mut stream, &heard, &outbox, &caller, &messages);
        let stop = tokio::select! {
            stop = self.speak(&entry, &opening, &outbox, &mut wire) => stop,
            () = listening => Stop::Gone,
            () = caller.expired() => Stop::Ending(Ending::EXPIRED),
        };
        wire.close(stop, &mut stream).await;
    }

    /// Sends what was asked for, then what happens, until the end.
    async fn speak(
        &self,
        entry: &Arc<ConversationState>,
        opening: &Opening,
        outbox: &Arc<Outbox>,
        wire: &mut Wire<'_>,
    ) -> Stop {
        match self.open(entry, opening, outbox, wire).await {
            Ok(seat) => {
                let path = &self.reading.conversations_path;
                wire.pump(|| opening.protocol.snapshot(&seat.room.snapshot(path))).await
            }
            Err(stop) => stop,
        }
    }

    /// The first frames and the history, up to where live events follow without a gap.
    async fn open(
        &self,
        entry: &Arc<ConversationState>,
        opening: &Opening,
        outbox: &Arc<Outbox>,
        wire: &mut Wire<'_>,
    ) -> Result<Seat, Stop> {
        let (protocol, events) = (opening.protocol, &*self.reading.log);
        let snapshot = || protocol.snapshot(&self.reading.snapshot(entry));
        let hub = &self.sockets.hub;
        let join = |has: Seq| hub.join(entry, protocol, outbox.clone(), has).ok_or(Stop::Ending(CROWDED));
        let Some(at) = replay::begin(&self.reading.history, entry, opening.from).await? else {
            let seat = join(Seq::ZERO)?;
            wire.send(first_frame(entry, opening)).await?;
            wire.send([snapshot()]).await?;
            return Ok(seat);
        };
        wire.send(first_frame(entry, opening)).await?;
        let version = entry.version();
        if protocol == Protocol::Events {
            wire.send([snapshot()]).await?;
        }
        let reached = replay::send(events, entry, protocol, wire, at, None).await?;
        let seat = join(reached)?;
        replay::send(events, entry, protocol, wire, reached, Some(seat.position)).await?;
        // What the first snapshot said may be over by now; the end of a run is never left untold.
        if protocol == Protocol::Session || entry.version() != version {
            wire.send([snapshot()]).await?;
        }
        Ok(seat)
    }
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

pub(super) async fn close(mut socket: WebSocket, ending: Ending) {
    let Ending { code, reason } = ending;
    // Whether it still hears us makes no difference.
    let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
}
