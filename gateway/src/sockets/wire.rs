//! The sending half of a socket: everything it has to say, and its end.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::feeds::{Ending, Item, Outbox};
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio_util::sync::CancellationToken;

/// What a client may take to read what is sent at once.
const STALLED: Duration = Duration::from_secs(60);

/// What a client may take to read the close frame.
const CLOSING: Duration = Duration::from_secs(5);

/// Why no more can be sent.
pub(super) enum Stop {
    /// The client has gone.
    Gone,
    Ending(Ending),
}

/// Whether the client was heard of since it was pinged.
#[derive(Default)]
pub(super) struct Heard {
    since_the_ping: AtomicBool,
    is_served: AtomicBool,
}

impl Heard {
    pub(super) fn note(&self) {
        self.since_the_ping.store(true, Ordering::Relaxed);
    }

    /// Does what a frame asks for. Nothing else of the client is read meanwhile, however long that takes: it is not for
    /// silence that it has to go.
    pub(super) async fn serving<T>(&self, work: impl Future<Output = T>) -> T {
        self.is_served.store(true, Ordering::Relaxed);
        let done = work.await;
        self.note();
        self.is_served.store(false, Ordering::Relaxed);
        done
    }

    fn take(&self) -> bool {
        self.since_the_ping.swap(false, Ordering::Relaxed) || self.is_served.load(Ordering::Relaxed)
    }
}

pub(super) struct Wire<'a> {
    pub(super) sink: SplitSink<WebSocket, Message>,
    pub(super) outbox: &'a Outbox,
    pub(super) heard: &'a Heard,
    pub(super) drain: &'a CancellationToken,
    pub(super) ping_every: Duration,
}

impl Wire<'_> {
    /// Sends frames with as few system calls as they fit in.
    pub(super) async fn send(&mut self, frames: impl IntoIterator<Item = Utf8Bytes>) -> Result<(), Stop> {
        let messages = frames.into_iter().map(Message::Text);
        self.send_messages(messages).await
    }

    async fn send_messages(&mut self, messages: impl IntoIterator<Item = Message>) -> Result<(), Stop> {
        let Self { sink, outbox, drain, .. } = self;
        let sending = async {
            for message in messages {
                sink.feed(message).await?;
            }
            sink.flush().await
        };
        tokio::select! {
            biased;
            ending = outbox.ended() => Err(Stop::Ending(ending)),
            () = drain.cancelled() => Err(Stop::Ending(Ending::GOING_AWAY)),
            sent = tokio::time::timeout(STALLED, sending) => match sent {
                Ok(sent) => sent.map_err(|_: axum::Error| Stop::Gone),
                Err(_) => Err(Stop::Ending(Ending::TOO_SLOW)),
            },
        }
    }

    /// Sends what comes into the outbox, and pings, until the end. `snapshot` makes a `full_state` frame.
    pub(super) async fn pump(&mut self, snapshot: impl Fn() -> Utf8Bytes) -> Stop {
        let every = self.ping_every;
        let mut pings = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        self.heard.note();
        loop {
            let (outbox, drain) = (self.outbox, self.drain);
            let step = tokio::select! {
                biased;
                ending = outbox.ended() => return Stop::Ending(ending),
                () = drain.cancelled() => return Stop::Ending(Ending::GOING_AWAY),
                _ = pings.tick() => Step::Ping,
                items = outbox.take() => Step::Send(items),
            };
            let sent = match step {
                Step::Ping if self.heard.take() => self.send_messages([Message::Ping(Bytes::new())]).await,
                Step::Ping => return Stop::Gone,
                Step::Send(items) => {
                    let frames = items.into_iter().map(|item| match item {
                        Item::Frame(text) => text,
                        Item::Snapshot => snapshot(),
                    });
                    self.send(frames).await
                }
            };
            if let Err(stop) = sent {
                return stop;
            }
        }
    }

    /// Tells the client why the socket ends, if it can still be told, and hears it out.
    pub(super) async fn close(mut self, stop: Stop, stream: &mut SplitStream<WebSocket>) {
        let Stop::Ending(Ending { code, reason }) = stop else { return };
        let frame = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        let closing = async {
            if self.sink.send(frame).await.is_ok() {
                while let Some(Ok(_)) = stream.next().await {}
            }
        };
        // A client that does not take it in time is cut off.
        let _ = tokio::time::timeout(CLOSING, closing).await;
    }
}

enum Step {
    Ping,
    Send(VecDeque<Item>),
}
