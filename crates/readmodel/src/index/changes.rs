//! Which conversations change, for who looks after those that do and cannot look at all each time.
//!
//! What is told is a set: a conversation that changes a thousand times before anybody looks is in it once, so it needs no more
//! room than there are conversations, and nobody waits for whoever does not look.

use std::collections::HashSet;
use std::mem;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;
use types::ConversationId;

/// The conversations that came, changed or went since they were taken last.
pub struct Changes(Arc<Noted>);

#[derive(Default)]
struct Noted {
    ids: Mutex<HashSet<ConversationId>>,
    told: Notify,
}

impl Changes {
    /// Waits until there are some, and takes them.
    ///
    /// # Cancel safety
    /// Nothing is lost: they are taken by whoever waits next.
    pub async fn next(&self) -> HashSet<ConversationId> {
        loop {
            let ids = mem::take(&mut *self.0.ids.lock());
            if !ids.is_empty() {
                return ids;
            }
            self.0.told.notified().await;
        }
    }
}

/// Who is told. Without anybody a change costs nothing.
#[derive(Default)]
pub(super) struct Followers(Vec<Weak<Noted>>);

impl Followers {
    pub(super) fn add(&mut self) -> Changes {
        let noted = Arc::<Noted>::default();
        self.0.push(Arc::downgrade(&noted));
        Changes(noted)
    }

    pub(super) fn note(&mut self, id: ConversationId) {
        self.0.retain(|follower| {
            let Some(follower) = follower.upgrade() else { return false };
            if follower.ids.lock().insert(id) {
                follower.told.notify_one();
            }
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn each_follower_is_told_of_a_change_once_and_none_is_kept_that_has_gone() {
        let mut followers = Followers::default();
        let (one, other, id) = (followers.add(), followers.add(), ConversationId::random());
        assert_eq!(one.next().now_or_never(), None);
        followers.note(id);
        followers.note(id);
        assert_eq!(one.next().now_or_never(), Some(HashSet::from([id])));
        assert_eq!(one.next().now_or_never(), None);
        followers.note(id);
        assert_eq!(one.next().now_or_never(), Some(HashSet::from([id])), "again, since it was taken");
        assert_eq!(other.next().now_or_never(), Some(HashSet::from([id])));
        drop((one, other));
        followers.note(id);
        assert!(followers.0.is_empty());
    }
}
