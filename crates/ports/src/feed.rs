//! A bounded queue from anywhere to one listener: a full one drops and says so, and never holds up the sender.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use parking_lot::Mutex;

const MAX_ITEMS: usize = 1_024;
const MAX_BYTES: usize = 8 << 20;
/// A queue that has grown beyond this gives its memory back once it is empty.
const KEPT_CAPACITY: usize = 64;

/// What can travel in a feed.
pub trait Item: Send + 'static {
    fn bytes(&self) -> usize;
    /// Where somebody waits for an answer to it, who must be told if it is dropped.
    fn reply(&self) -> Option<&str> {
        None
    }
    /// Stands for items that were dropped.
    fn lagged() -> Self;
}

/// The sending side. Dropping it ends the listener's stream after what is queued.
pub struct Feed<T: Item>(Arc<Mutex<State<T>>>);

/// The receiving side.
pub struct Listener<T: Item>(Arc<Mutex<State<T>>>);

struct State<T> {
    items: VecDeque<T>,
    bytes: usize,
    /// The last item stands for dropped ones, so a further drop needs no further sign.
    lagging: bool,
    ended: bool,
    waker: Option<Waker>,
}

/// A queue of at most 1,024 items and 8 MiB.
#[must_use]
pub fn feed<T: Item>() -> (Feed<T>, Listener<T>) {
    let state = State { items: VecDeque::new(), bytes: 0, lagging: false, ended: false, waker: None };
    let shared = Arc::new(Mutex::new(state));
    (Feed(shared.clone()), Listener(shared))
}

impl<T: Item> Feed<T> {
    /// # Errors
    /// The item, when it was not taken: nobody listens, or there was no room.
    pub fn push(&self, item: T) -> Result<(), T> {
        let mut state = self.0.lock();
        if state.ended {
            return Err(item);
        }
        let fits = state.items.len() < MAX_ITEMS && state.bytes.saturating_add(item.bytes()) <= MAX_BYTES;
        // An item larger than the whole queue still passes through an empty one.
        let mut outcome = Ok(());
        if fits || state.items.is_empty() {
            state.bytes = state.bytes.saturating_add(item.bytes());
            state.items.push_back(item);
            state.lagging = false;
        } else {
            outcome = Err(item);
            if !state.lagging {
                state.items.push_back(T::lagged());
                state.lagging = true;
            }
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        outcome
    }

    /// What the listener left behind when it went away: items that somebody waits for an answer to.
    #[must_use]
    pub fn left_behind(&self) -> Vec<T> {
        let mut state = self.0.lock();
        if state.ended { std::mem::take(&mut state.items).into() } else { Vec::new() }
    }

    /// Whether the listener is gone.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.0.lock().ended
    }
}

impl<T: Item> Drop for Feed<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T: Item> Stream for Listener<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        let Some(item) = state.items.pop_front() else {
            if state.ended {
                return Poll::Ready(None);
            }
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        state.bytes = state.bytes.saturating_sub(item.bytes());
        if state.items.is_empty() {
            state.lagging = false;
            if state.items.capacity() > KEPT_CAPACITY {
                state.items = VecDeque::new();
            }
        }
        Poll::Ready(Some(item))
    }
}

impl<T: Item> Drop for Listener<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        state.items.retain(|item| item.reply().is_some());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};

    use super::*;

    #[derive(Debug, PartialEq)]
    enum Thing {
        Sized(usize),
        Lagged,
    }

    impl Item for Thing {
        fn bytes(&self) -> usize {
            match self {
                Self::Sized(bytes) => *bytes,
                Self::Lagged => 0,
            }
        }

        fn lagged() -> Self {
            Self::Lagged
        }
    }

    fn drain(listener: &mut Listener<Thing>) -> Vec<Thing> {
        std::iter::from_fn(|| listener.next().now_or_never().flatten()).collect()
    }

    #[test]
    fn overflow_shows_once_where_items_are_missing() {
        let (feed, mut listener) = feed();
        let pushed = (0..MAX_ITEMS + 5).filter(|_| feed.push(Thing::Sized(1)).is_ok()).count();
        assert_eq!(pushed, MAX_ITEMS);
        assert_eq!(listener.next().now_or_never(), Some(Some(Thing::Sized(1))));
        assert_eq!(listener.next().now_or_never(), Some(Some(Thing::Sized(1))));
        assert!(feed.push(Thing::Sized(2)).is_ok(), "there is room again");
        let rest = drain(&mut listener);
        assert_eq!(rest[MAX_ITEMS - 2..], [Thing::Lagged, Thing::Sized(2)]);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let (feed, mut listener) = feed();
        assert!(feed.push(Thing::Sized(MAX_BYTES)).is_ok());
        assert!(feed.push(Thing::Sized(1)).is_err());
        assert_eq!(drain(&mut listener), [Thing::Sized(MAX_BYTES), Thing::Lagged]);
        assert!(feed.push(Thing::Sized(1)).is_ok());
        assert_eq!(drain(&mut listener), [Thing::Sized(1)]);
    }

    #[test]
    fn a_single_item_larger_than_the_queue_passes() {
        let (feed, mut listener) = feed();
        assert!(feed.push(Thing::Sized(MAX_BYTES + 1)).is_ok());
        assert_eq!(drain(&mut listener), [Thing::Sized(MAX_BYTES + 1)]);
    }

    #[test]
    fn the_stream_ends_after_what_is_queued() {
        let (feed, mut listener) = feed();
        assert!(feed.push(Thing::Sized(1)).is_ok());
        drop(feed);
        assert_eq!(listener.next().now_or_never(), Some(Some(Thing::Sized(1))));
        assert_eq!(listener.next().now_or_never(), Some(None));
    }

    #[test]
    fn the_sender_sees_that_nobody_listens() {
        let (feed, listener) = feed::<Thing>();
        assert!(!feed.is_abandoned());
        drop(listener);
        assert!(feed.is_abandoned());
    }
}
