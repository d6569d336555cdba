//! The socket of all conversations of a tenant.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::{Utf8Bytes, WebSocket};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use http::{HeaderMap, Uri};
use serde_json::json;

use super::conversation::close;
use super::inbound::{Act, Complaint, listen};
use super::wire::{Heard, Stop, Wire};
use super::{Upgrade, refused, upgrade};
use crate::auth::SocketCredentials;
use crate::changes::{Follower, Form, Streams, Wishes};
use crate::feeds::{Ending, Outbox, text_of};
use crate::handles::Sockets;
use crate::reading::Reading;

const CROWDED: Ending = Ending { code: 1013, reason: "Too many streams" };

pub(super) async fn conversations(
    State(sockets): State<Sockets>,
    State(streams): State<Streams>,
    State(reading): State<Reading>,
    credentials: SocketCredentials,
    uri: Uri,
    request: Upgrade,
) -> Response {
    let Ok(wishes) = Wishes::of(&uri, &HeaderMap::new()) else {
        return refused().into_response();
    };
    upgrade(&sockets.clone(), request, move |socket| async move {
        serve(&sockets, streams, reading, credentials, socket, wishes).await;
    })
}

async fn serve(
    sockets: &Sockets,
    streams: Streams,
    reading: Reading,
    credentials: SocketCredentials,
    mut socket: WebSocket,
    wishes: Wishes,
) {
    let drain = &sockets.tasks.drain.child_token();
    let Some(caller) = credentials.check(drain, &mut socket).await else { return };
    let Some(_seat) = streams.seat(&caller.tenant) else { return close(socket, CROWDED).await };
    let (sink, mut stream) = socket.split();
    let (heard, outbox) = (Heard::default(), Arc::new(Outbox::default()));
    let mut wire = Wire { sink, outbox: &outbox, heard: &heard, drain, ping_every: sockets.ping_every };
    let tenant = caller.tenant.clone();
    let follower = Follower { streams, reading, tenant, wishes, form: Form::Frame };
    let stop = tokio::select! {
        stop = wire.pump(Utf8Bytes::default) => stop,
        ending = follower.run(&outbox) => Stop::Ending(ending),
        () = listen(&mut stream, &heard, &outbox, &caller, &Nothing) => Stop::Gone,
        () = caller.expired() => Stop::Ending(Ending::EXPIRED),
    };
    wire.close(stop, &mut stream).await;
}

/// Frames of this socket ask for nothing.
struct Nothing;

impl Act for Nothing {
    async fn act(&self, _: &str) -> Result<(), Complaint> {
        Err(Complaint::new("ValueError", "This socket only tells; send messages to a conversation's own"))
    }

    fn complain(&self, complaint: &Complaint) -> Utf8Bytes {
        text_of(&json!({"type": "error", "code": complaint.code, "detail": complaint.detail}))
    }
}
