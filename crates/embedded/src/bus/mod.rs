//! Messages between the parts of one process, by subject.

mod inbox;
mod subscribers;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt, Stream, StreamExt};
use parking_lot::RwLock;
use ports::feed::{self, Listener};
use ports::{Bus, Delivery, Error, Message, Parcel, Result, Subscription, rpc};

use inbox::Inbox;
use subscribers::{Subscriber, Tree};

/// The one bus of a process. Publishing never waits, so the journal's thread can do it too.
#[derive(Clone, Default)]
pub struct LocalBus(Arc<Hub>);

#[derive(Default)]
struct Hub {
    subscribers: RwLock<Tree>,
    inbox: Inbox,
    next_id: AtomicU64,
    turns: AtomicU64,
}

/// How many a message went to, and how many had no room for it.
#[derive(Default)]
struct Reach {
    taken: usize,
    dropped: usize,
}

impl LocalBus {
    /// Hands `parcel` to everyone who listens to `subject` now.
    pub fn send(&self, subject: &str, parcel: &Parcel) {
        self.0.send(subject, parcel, None);
    }
}

impl Hub {
    fn send(&self, subject: &str, parcel: &Parcel, reply: Option<&str>) -> Reach {
        let mut reach = Reach::default();
        if self.inbox.take(subject, parcel) {
            return reach;
        }
        let tree = self.subscribers.read();
        for receiver in tree.receivers(subject, &self.turns) {
            let message = Message {
                subject: subject.to_owned(),
                parcel: parcel.clone(),
                reply: reply.map(str::to_owned),
            };
            if receiver.feed.push(Delivery::Message(message)).is_ok() {
                reach.taken += 1;
            } else {
                reach.dropped += 1;
            }
        }
        reach
    }
}

#[async_trait]
impl Bus for LocalBus {
    async fn publish(&self, subject: &str, parcel: Parcel) -> Result<()> {
        check_subject(subject)?;
        ports::fits(parcel.bytes())?;
        self.send(subject, &parcel);
        Ok(())
    }

    async fn request(&self, subject: &str, parcel: Parcel, deadline: Duration) -> Result<Parcel> {
        check_subject(subject)?;
        ports::fits(parcel.bytes())?;
        let mut place = self.0.inbox.open();
        match self.0.send(subject, &parcel, Some(&place.subject())) {
            Reach { taken: 0, dropped: 0 } => return Err(Error::NotFound),
            Reach { taken: 0, .. } => return Err(Error::Unavailable(format!("{subject} is overloaded"))),
            Reach { .. } => {}
        }
        match tokio::time::timeout(deadline, &mut place.answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(Error::Unavailable(format!("{subject} gave no answer in time"))),
        }
    }

    async fn subscribe(&self, pattern: &str, group: Option<&str>) -> Result<Subscription> {
        check_pattern(pattern)?;
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let (feed, listener) = feed::feed();
        let mut tree = self.0.subscribers.write();
        tree.insert(pattern, Subscriber::new(id, group, feed));
        Ok(Box::pin(Subscribed { listener, hub: self.0.clone(), pattern: pattern.to_owned(), id }))
    }
}

/// A subscription that takes itself off the tree.
struct Subscribed {
    listener: Listener<Delivery>,
    hub: Arc<Hub>,
    pattern: String,
    id: u64,
}

impl Stream for Subscribed {
    type Item = Delivery;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.listener.poll_next_unpin(context)
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.hub.subscribers.write().remove(&self.pattern, self.id);
        // Nothing is added any more. Whoever waits for an answer should not do so for nothing.
        while let Some(Some(delivery)) = self.listener.next().now_or_never() {
            let Delivery::Message(Message { reply: Some(reply), .. }) = delivery else { continue };
            self.hub.send(&reply, &rpc::departed(), None);
        }
    }
}

fn check_subject(subject: &str) -> Result<()> {
    let plain = |token: &str| is_token(token) && token != "*" && token != ">";
    match subject.split('.').all(plain) {
        true => Ok(()),
        false => Err(Error::Internal(format!("not a subject: {subject:?}"))),
    }
}

fn check_pattern(pattern: &str) -> Result<()> {
    let last = pattern.strip_suffix(".>").unwrap_or(if pattern == ">" { "all" } else { pattern });
    match last.split('.').all(|token| is_token(token) && token != ">") {
        true => Ok(()),
        false => Err(Error::Internal(format!("not a subject pattern: {pattern:?}"))),
    }
}

fn is_token(token: &str) -> bool {
    !token.is_empty() && !token.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_subjects_and_patterns_are_refused() {
        for subject in ["", "a..b", ".a", "a.", "a.*", "a.>", "a b"] {
            assert!(check_subject(subject).is_err(), "{subject:?}");
        }
        for pattern in ["", "a..b", "a.>.b", ">.a", "a b"] {
            assert!(check_pattern(pattern).is_err(), "{pattern:?}");
        }
        for pattern in [">", "a.>", "*", "a.*.b", "a.b"] {
            assert!(check_pattern(pattern).is_ok(), "{pattern:?}");
        }
    }

    #[tokio::test]
    async fn a_dropped_subscription_leaves_nothing_behind() {
        let bus = LocalBus::default();
        let subscription = bus.subscribe("a.*.>", None).await.unwrap();
        drop(subscription);
        assert!(bus.0.subscribers.read().is_empty());
    }
}
