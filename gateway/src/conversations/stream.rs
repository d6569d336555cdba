//! All conversations of a tenant as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use readmodel::index::ConversationBrief;
use serde::Serialize;
use tokio::time::{Instant, Interval, interval_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use types::ConversationId;

use crate::auth::Caller;
use crate::changes::{Follower, Form, Streams, Wishes};
use crate::error::{ApiError, ApiResult};
use crate::feeds::{Ending, Item, Outbox};
use crate::handles::Sockets;
use crate::reading::Reading;

const CROWDED: &str = "There are too many streams; close one first.";
/// Proxies that keep answers until they are whole are told not to.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// One thing that the stream says; which fields there are depends on `type`.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ConversationNews)]
struct News<'a> {
    /// `reset`, then `listed` in pages, then `ready`: all conversations there are. Or `resumed`: only what follows is new.
    /// Then `created`, `changed`, `deleted` and, if asked for, `event`.
    r#type: &'static str,
    /// Of a reset: `begin` without a cursor, `unknown` for one that is none of this server, `outdated` when more has changed
    /// since than it can tell.
    reason: Option<&'static str>,
    /// Of a reset: how many conversations there are. At most 10,000 are listed, those that changed last.
    total: Option<u64>,
    conversations: Option<Vec<ConversationBrief<'a>>>,
    conversation: Option<ConversationBrief<'a>>,
    conversation_id: Option<ConversationId>,
    /// Of an event: its index in its conversation.
    seq: Option<u64>,
    event: Option<serde_json::Value>,
    /// On the socket; of a server-sent event it is the id.
    cursor: Option<&'static str>,
}

/// What becomes of all conversations, as server-sent events; `/sockets/conversations` tells the same.
///
/// Each has a cursor as its id. Who comes back with it, on whichever gateway, is told what has become of them since.
#[utoipa::path(get, path = "/api/conversations/stream", tag = "Conversations",
    params(("cursor" = Option<String>, Query, description = "Where to go on"),
        ("Last-Event-ID" = Option<String>, Header, description = "The same; it comes before the one in the query"),
        ("events" = Option<bool>, Query, description = "Whether events are told as well"),
        ("kind" = Option<Vec<String>>, Query, description = "Of events: only these")),
    responses((status = 200, body = News<'static>, content_type = "text/event-stream"),
        (status = 429, description = "The tenant has too many streams")))]
pub(super) async fn stream_conversations(
    State(sockets): State<Sockets>,
    State(streams): State<Streams>,
    State(reading): State<Reading>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let wishes = Wishes::of(&uri, &headers).map_err(|problem| *problem)?;
    let crowded = || ApiError::new(StatusCode::TOO_MANY_REQUESTS, CROWDED);
    let seat = streams.seat(&caller.tenant).ok_or_else(crowded)?;
    let (outbox, gone) = (Arc::new(Outbox::default()), CancellationToken::new());
    let tenant = caller.tenant.clone();
    let follower = Follower { streams, reading, tenant, wishes, form: Form::Lines };
    let telling = Telling::new(outbox.clone(), sockets.ping_every, gone.clone().drop_guard());
    let tasks = sockets.tasks.clone();
    sockets.tasks.spawn(async move {
        let _seat = seat;
        let ending = tokio::select! {
            ending = follower.run(&outbox) => ending,
            () = caller.expired() => Ending::EXPIRED,
            () = tasks.drain.cancelled() => Ending::GOING_AWAY,
            () = gone.cancelled() => return,
        };
        outbox.end(ending);
    });
    let head = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (UNBUFFERED, "no"),
    ];
    Ok((head, telling.into_body()).into_response())
}

struct Telling {
    outbox: Arc<Outbox>,
    comments: Interval,
    /// Nobody listens once this is dropped.
    _listening: DropGuard,
}

impl Telling {
    fn new(outbox: Arc<Outbox>, every: Duration, listening: DropGuard) -> Self {
        Self { outbox, comments: interval_at(Instant::now() + every, every), _listening: listening }
    }

    fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, |mut telling| async move {
            let piece = telling.next().await?;
            Some((Ok::<_, Infallible>(piece), telling))
        }))
    }

    /// `None` at the end, whyever it is: who comes back is told.
    async fn next(&mut self) -> Option<Bytes> {
        tokio::select! {
            biased;
            _ = self.outbox.ended() => None,
            items = self.outbox.take() => {
                let mut piece = BytesMut::new();
                for item in items {
                    if let Item::Frame(text) = item {
                        piece.extend_from_slice(text.as_bytes());
                    }
                }
                Some(piece.freeze())
            }
            _ = self.comments.tick() => Some(Bytes::from_static(b":\n\n")),
        }
    }
}
