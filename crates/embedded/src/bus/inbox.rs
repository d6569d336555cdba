//! Answers on their way back: a private subject for each waiting request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use ports::Parcel;
use tokio::sync::oneshot;

const PREFIX: &str = "_INBOX.";

#[derive(Default)]
pub struct Inbox {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Parcel>>>,
}

/// A place for one answer; given back when dropped.
pub struct AwaitedAnswer<'inbox> {
    inbox: &'inbox Inbox,
    number: u64,
    pub answer: oneshot::Receiver<Parcel>,
}

impl Inbox {
    pub fn open(&self) -> AwaitedAnswer<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.waiting.lock().insert(number, sender);
        AwaitedAnswer { inbox: self, number, answer }
    }

    /// Whether `subject` is one of an inbox; if so, the parcel has been handed to whoever still waits there.
    pub fn take(&self, subject: &str, parcel: &Parcel) -> bool {
        let Some(number) = subject.strip_prefix(PREFIX) else { return false };
        let waiting = number.parse().ok().and_then(|number: u64| self.waiting.lock().remove(&number));
        if let Some(sender) = waiting {
            // One that has just stopped waiting needs no answer.
            let _ = sender.send(parcel.clone());
        }
        true
    }
}

impl AwaitedAnswer<'_> {
    pub fn subject(&self) -> String {
        format!("{PREFIX}{}", self.number)
    }
}

impl Drop for AwaitedAnswer<'_> {
    fn drop(&mut self) {
        self.inbox.waiting.lock().remove(&self.number);
    }
}
