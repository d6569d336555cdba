//! From the client's queue to a subscriber's own, which is bounded in bytes too and shows every gap.

use std::pin::Pin;
use std::task::{Context, Poll};

use async_nats::Message;
use futures_util::{FutureExt, Stream, StreamExt};
use ports::feed::{self, Feed, Item, Listener};
use tokio::task::JoinHandle;

use crate::link::Subscribed;

/// The client's own queue of a subscription, in messages. A full one drops, and shows as [`Status::gaps`].
///
/// [`Status::gaps`]: crate::link::Status::gaps
pub const CAPACITY: usize = 8_192;

/// What `decode` makes of each message, in order. Dropping the stream ends the subscription.
pub fn follow<T, D, F>(subscribed: Subscribed, decode: D) -> impl Stream<Item = T> + Send + use<T, D, F>
where
    T: Item,
    D: Fn(Message) -> F + Send + Sync + 'static,
    F: Future<Output = Vec<T>> + Send + 'static,
{
    let (feed, listener) = feed::feed();
    let pump = tokio::spawn(pump(subscribed, decode, feed));
    Following { listener, pump }
}

struct Following<T: Item> {
    listener: Listener<T>,
    pump: JoinHandle<()>,
}

async fn pump<T, D, F>(mut subscribed: Subscribed, decode: D, feed: Feed<T>)
where
    T: Item,
    D: Fn(Message) -> F,
    F: Future<Output = Vec<T>>,
{
    let forward = async |message| decode(message).await.into_iter().for_each(|item| _ = feed.push(item));
    loop {
        let gaps = subscribed.gaps;
        let news = async { subscribed.status.wait_for(|now| now.gaps != gaps).await.map(|now| now.gaps) };
        tokio::select! {
            message = subscribed.messages.next() => {
                let Some(message) = message else { return };
                forward(message).await;
            }
            gaps = news => {
                let Ok(gaps) = gaps else { return };
                subscribed.gaps = gaps;
                // The client says that it is connected before it has subscribed again. If it is not any more,
                // the next time follows.
                let _ = subscribed.link.round_trip().await;
                // After what is queued, so that whoever reads again then has missed nothing.
                for _ in 0..CAPACITY {
                    let queued = tokio::task::unconstrained(subscribed.messages.next()).now_or_never();
                    let Some(Some(message)) = queued else { break };
                    forward(message).await;
                }
                feed.push(T::lagged());
            }
        }
    }
}

impl<T: Item> Stream for Following<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.listener.poll_next_unpin(context)
    }
}

impl<T: Item> Drop for Following<T> {
    fn drop(&mut self) {
        self.pump.abort();
    }
}
