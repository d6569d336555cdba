//! Calls that wait because their provider has asked for a pause.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use telemetry::metrics::{Present, Work};
use tokio::time::Instant;
use types::{ConversationId, time};

/// Calls of one account that may wait for the end of its pause.
const QUEUE: usize = 256;

/// Which providers have asked for a pause, by account: until it is over, no call of that account is made.
pub(super) struct Pauses {
    inner: Mutex<Inner>,
    metrics: Work,
}

#[derive(Default)]
struct Inner {
    until: HashMap<[u8; 32], Instant>,
    waiting: Vec<Waiting>,
    tickets: u64,
}

struct Waiting {
    ticket: u64,
    account: [u8; 32],
    conversation: ConversationId,
    /// UTC with `Z`.
    since: String,
}

impl Pauses {
    pub fn new(metrics: Work) -> Self {
        Self { inner: Mutex::default(), metrics }
    }

    /// No call of the account is made for so long.
    pub fn pause(&self, account: &str, time: Duration) {
        let until = Instant::now() + time;
        let mut inner = self.inner.lock();
        inner.until.retain(|_, until| *until > Instant::now());
        let known = inner.until.entry(digest(account)).or_insert(until);
        *known = until.max(*known);
    }

    /// Waits for the end of the account's pause, if there is one.
    ///
    /// # Errors
    /// What is left of it, when too many wait already.
    ///
    /// # Cancel safety
    /// Who does not wait any more has left the queue.
    pub async fn over(&self, account: &str, conversation: ConversationId) -> Result<(), Duration> {
        let account = digest(account);
        let mut place = None;
        loop {
            let (now, until) = (Instant::now(), self.inner.lock().until.get(&account).copied());
            let Some(until) = until.filter(|until| *until > now) else { return Ok(()) };
            if place.is_none() {
                place = Some(self.queue(account, conversation).ok_or(until - now)?);
            }
            tokio::time::sleep_until(until).await;
        }
    }

    /// Since when a call of the conversation waits.
    pub fn queued_since(&self, conversation: ConversationId) -> Option<String> {
        let inner = self.inner.lock();
        let mut waiting = inner.waiting.iter();
        waiting.find(|waiting| waiting.conversation == conversation).map(|waiting| waiting.since.clone())
    }

    fn queue(&self, account: [u8; 32], conversation: ConversationId) -> Option<Turn<'_>> {
        let mut inner = self.inner.lock();
        if inner.waiting.iter().filter(|waiting| waiting.account == account).count() >= QUEUE {
            return None;
        }
        inner.tickets += 1;
        let ticket = inner.tickets;
        inner.waiting.push(Waiting { ticket, account, conversation, since: time::utc_now() });
        Some(Turn { pauses: self, ticket, _counted: self.metrics.waiting_call() })
    }
}

/// A place in the queue, given up when dropped.
struct Turn<'a> {
    pauses: &'a Pauses,
    ticket: u64,
    _counted: Present,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.pauses.inner.lock().waiting.retain(|waiting| waiting.ticket != self.ticket);
    }
}

/// Accounts are as secret as the keys they are made of.
fn digest(account: &str) -> [u8; 32] {
    Sha256::digest(account.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use telemetry::metrics::Metrics;

    use super::*;

    fn pauses() -> Pauses {
        Pauses::new(Metrics::default().work)
    }

    #[tokio::test]
    async fn a_pause_holds_up_its_account_alone_and_only_until_it_is_over() {
        let (pauses, begun) = (pauses(), Instant::now());
        let conversation = ConversationId::random();
        pauses.pause("a", Duration::from_millis(80));
        pauses.over("b", conversation).await.unwrap();
        assert!(begun.elapsed() < Duration::from_millis(80), "another account does not wait");
        let (waited, seen) =
            tokio::join!(pauses.over("a", conversation), async { pauses.queued_since(conversation) });
        waited.unwrap();
        assert!(seen.is_some() && begun.elapsed() >= Duration::from_millis(80));
        assert_eq!(pauses.queued_since(conversation), None);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_who_leaves_makes_room() {
        let pauses = pauses();
        pauses.pause("a", Duration::from_secs(60));
        let account = digest("a");
        let mut places: Vec<_> =
            (0..QUEUE).map(|_| pauses.queue(account, ConversationId::random()).unwrap()).collect();
        let left = pauses.over("a", ConversationId::random()).await.unwrap_err();
        assert!(left > Duration::from_secs(50));
        places.pop();
        assert!(pauses.queue(account, ConversationId::random()).is_some());
    }
}
