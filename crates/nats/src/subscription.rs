//! From the client's queue to a subscriber's own, which is bounded in bytes too and shows every gap.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::Message;
use futures_util::{FutureExt, Stream, StreamExt};
use ports::feed::{self, Feed, Item, Listener};
use ports::{Parcel, rpc};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::link::{Link, Status, Subscribed};

/// The client's own queue of a subscription, in messages. A full one drops, and shows as [`Status::gaps`].
///
/// [`Status::gaps`]: crate::link::Status::gaps
pub const CAPACITY: usize = 8_192;

/// For callers who do not know yet that nobody listens.
const LINGER: Duration = Duration::from_millis(100);
/// For the server to say that it sends no more.
const LEAVE: Duration = Duration::from_secs(5);

/// What `decode` makes of each message, in order. Dropping the stream ends the subscription.
pub fn follow<T, D>(subscribed: Subscribed, decode: D) -> impl Stream<Item = T> + Send + use<T, D>
where
    T: Item,
    D: Fn(Message) -> Vec<T> + Send + Sync + 'static,
{
    let (feed, listener) = feed::feed();
    let left = CancellationToken::new();
    tokio::spawn(pump(subscribed, decode, feed, left.clone()));
    Following { listener, _pump: left.drop_guard() }
}

struct Following<T: Item> {
    listener: Listener<T>,
    _pump: DropGuard,
}

async fn pump<T: Item>(
    mut subscribed: Subscribed,
    decode: impl Fn(Message) -> Vec<T>,
    feed: Feed<T>,
    left: CancellationToken,
) {
    let whole = subscribed.whole.take();
    let forward = async |link: &Link, message| {
        whole.iter().for_each(|whole| whole.note(&message));
        for item in decode(message) {
            if let Err(item) = feed.push(item) {
                let refusal = if feed.is_abandoned() { rpc::departed() } else { rpc::overloaded() };
                refuse(link, item.reply().map(str::to_owned), refusal).await;
            }
        }
    };
    loop {
        let (known, is_of_streams) = (subscribed.known, subscribed.is_of_streams);
        let missed = |now: &Status| Subscribed::missed(now, is_of_streams);
        let news =
            async { subscribed.status.wait_for(|now| missed(now) != known).await.map(|now| missed(&now)) };
        tokio::select! {
            biased;
            () = left.cancelled() => {
                // What comes from now on is not noted.
                drop(whole);
                return leave(subscribed, &feed).await;
            }
            message = subscribed.messages.next() => {
                let Some(message) = message else { return };
                forward(&subscribed.link, message).await;
            }
            missed = news => {
                let Ok(missed) = missed else { return };
                subscribed.known = missed;
                // The client says that it is connected before it has subscribed again. If it is not any more,
                // the next time follows.
                let _ = subscribed.link.round_trip().await;
                // After what is queued, so that whoever reads again then has missed nothing.
                for _ in 0..CAPACITY {
                    let queued = tokio::task::unconstrained(subscribed.messages.next()).now_or_never();
                    let Some(Some(message)) = queued else { break };
                    forward(&subscribed.link, message).await;
                }
                // A full queue says the same already.
                let _ = feed.push(T::lagged());
            }
        }
    }
}

/// Nobody listens any more. Until the server knows that it still sends calls here, whose callers would wait in vain. Most of
/// them come at first, so the subscription ends a little later: what comes in the moment in which it does is lost where the
/// client has anything else to send, for then it forgets the subscription at once. Where others can serve it ends at once all
/// the same: callers would be sent away whom they could have served.
async fn leave<T: Item>(mut subscribed: Subscribed, feed: &Feed<T>) {
    for item in feed.left_behind() {
        refuse(&subscribed.link, item.reply().map(str::to_owned), rpc::departed()).await;
    }
    if !subscribed.is_shared {
        let _ = tokio::time::timeout(LINGER, refuse_all(&mut subscribed)).await;
    }
    let Ok(()) = subscribed.messages.drain().await else { return };
    // A server that does not say so is gone, and with it the callers.
    let _ = tokio::time::timeout(LEAVE, refuse_all(&mut subscribed)).await;
}

/// Until the subscription ends.
async fn refuse_all(subscribed: &mut Subscribed) {
    while let Some(message) = subscribed.messages.next().await {
        refuse(&subscribed.link, message.reply.map(|reply| reply.to_string()), rpc::departed()).await;
    }
}

/// Whoever waits for an answer should not do so for nothing.
async fn refuse(link: &Link, reply: Option<String>, refusal: Parcel) {
    let Some(reply) = reply else { return };
    // Who has gone away needs no answer.
    let _ = link.send(&reply, None, refusal.json).await;
}

impl<T: Item> Stream for Following<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.listener.poll_next_unpin(context)
    }
}
