//! What a socket has yet to send: a bounded queue between one sender and one slow network.

use std::collections::VecDeque;

use axum::extract::ws::Utf8Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const MAX_ITEMS: usize = 1_024;
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// One thing to send.
#[derive(Clone, Debug)]
pub enum Item {
    Frame(Utf8Bytes),
    /// A `full_state` update, made when it is its turn.
    Snapshot,
}

/// How a socket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    pub code: u16,
    pub reason: &'static str,
}

impl Ending {
    pub const GOING_AWAY: Self = Self { code: 1012, reason: "The server restarts" };
    pub const TOO_SLOW: Self = Self { code: 1013, reason: "slow_consumer" };
    pub const BINARY: Self = Self { code: 1003, reason: "Frames must be text" };
    pub const EXPIRED: Self = Self { code: 4001, reason: "Authentication expired" };
}

#[derive(Default)]
pub struct Outbox {
    queue: Mutex<Queue>,
    filled: Notify,
    emptied: Notify,
    ended: CancellationToken,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    /// How often something was taken out, and what that was when [`Outbox::makes_way`] last looked.
    taken: u64,
    seen: u64,
    ending: Option<Ending>,
}

impl Outbox {
    /// Queues `item`. One that does not fit ends the socket: nothing is left out silently.
    pub fn push(&self, item: Item) {
        let len = if let Item::Frame(text) = &item { text.len() } else { 0 };
        let mut queue = self.queue.lock();
        if queue.ending.is_some() {
            return;
        }
        let full = queue.items.len() >= MAX_ITEMS || queue.bytes + len > MAX_BYTES;
        if full && !queue.items.is_empty() {
            drop(queue);
            return self.end(Ending::TOO_SLOW);
        }
        queue.bytes += len;
        queue.items.push_back(item);
        drop(queue);
        self.filled.notify_one();
    }

    /// Ends the socket; what is queued is not sent any more. The first ending counts.
    pub fn end(&self, ending: Ending) {
        let mut queue = self.queue.lock();
        queue.ending.get_or_insert(ending);
        queue.items.clear();
        queue.bytes = 0;
        drop(queue);
        self.ended.cancel();
    }

    /// Waits until there is something to send and takes all of it. Nothing is lost when this is cancelled.
    pub async fn take(&self) -> VecDeque<Item> {
        loop {
            let filled = self.filled.notified();
            {
                let mut queue = self.queue.lock();
                if !queue.items.is_empty() {
                    queue.bytes = 0;
                    queue.taken += 1;
                    self.emptied.notify_one();
                    return std::mem::take(&mut queue.items);
                }
            }
            filled.await;
        }
    }

    /// Waits until it is rather empty; for the only one that pushes.
    pub async fn has_room(&self) {
        while self.queue.lock().is_crowded() {
            self.emptied.notified().await;
        }
    }

    /// Waits until the socket is to end.
    pub async fn ended(&self) -> Ending {
        self.ended.cancelled().await;
        self.queue.lock().ending.unwrap_or(Ending::TOO_SLOW)
    }

    /// Whether it is rather full, but was emptied since this was asked last.
    pub fn makes_way(&self) -> bool {
        let mut queue = self.queue.lock();
        let moving = queue.taken != queue.seen;
        queue.seen = queue.taken;
        queue.is_crowded() && moving
    }
}

impl Queue {
    fn is_crowded(&self) -> bool {
        self.items.len() > MAX_ITEMS / 2 || self.bytes > MAX_BYTES / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize) -> Item {
        Item::Frame("x".repeat(len).into())
    }

    #[tokio::test]
    async fn what_was_pushed_comes_out_at_once_and_in_order() {
        let outbox = Outbox::default();
        outbox.push(frame(1));
        outbox.push(Item::Snapshot);
        let items = Vec::from(outbox.take().await);
        assert!(matches!(items.as_slice(), [Item::Frame(_), Item::Snapshot]), "{items:?}");
    }

    #[tokio::test]
    async fn a_queue_that_overflows_ends_its_socket() {
        let outbox = Outbox::default();
        (0..MAX_ITEMS).for_each(|_| outbox.push(frame(1)));
        assert!(!outbox.ended.is_cancelled());
        outbox.push(frame(1));
        assert_eq!(outbox.ended().await, Ending::TOO_SLOW);
    }

    #[tokio::test]
    async fn one_frame_may_be_larger_than_the_queue() {
        let outbox = Outbox::default();
        outbox.push(frame(MAX_BYTES + 1));
        assert_eq!(outbox.take().await.len(), 1);
        assert!(!outbox.ended.is_cancelled());
    }

    #[test]
    fn only_a_socket_that_reads_is_waited_for() {
        let outbox = Outbox::default();
        (0..MAX_ITEMS - 1).for_each(|_| outbox.push(frame(1)));
        assert!(!outbox.makes_way());
    }
}
