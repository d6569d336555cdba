//! Ids of conversations that are being made or copied to in this process at this moment, or of which the last is removed: by
//! one at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ports::rpc::{Code, Fault};
use tokio::sync::{Mutex as Lock, OwnedMutexGuard};
use types::ConversationId;

/// What is waited for whoever has an id.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Default)]
pub struct InHand(Mutex<HashMap<ConversationId, Arc<Lock<()>>>>);

/// The only one to make this conversation, or to remove what is left of it, as long as it is there. Nobody waits for another one meanwhile.
pub(super) struct Turn {
    _held: OwnedMutexGuard<()>,
}

impl InHand {
    /// `None`: somebody else has it.
    pub(super) fn take(&self, id: ConversationId) -> Option<Turn> {
        self.of(id).try_lock_owned().ok().map(|held| Turn { _held: held })
    }

    /// Waits for whoever has it.
    ///
    /// # Errors
    /// `Unavailable`: that takes long.
    pub(super) async fn wait(&self, id: ConversationId) -> Result<Turn, Fault> {
        let held = tokio::time::timeout(PATIENCE, self.of(id).lock_owned()).await;
        held.map(|held| Turn { _held: held }).map_err(|_| being_made())
    }

    fn of(&self, id: ConversationId) -> Arc<Lock<()>> {
        let mut all = self.0.lock();
        all.retain(|_, lock| Arc::strong_count(lock) > 1);
        all.entry(id).or_default().clone()
    }
}

/// What is told of an id that somebody has who may yet give it up.
pub(super) fn being_made() -> Fault {
    Fault::new(Code::Unavailable, "This conversation is being made or deleted. Try again later.")
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn one_at_a_time_has_a_conversation_and_who_waits_has_it_next() {
        let (in_hand, id) = (InHand::default(), ConversationId::random());
        let turn = in_hand.take(id);
        assert!(turn.is_some() && in_hand.take(id).is_none() && in_hand.take(id).is_none());
        assert!(in_hand.take(ConversationId::random()).is_some(), "another one is nobody's");
        drop(turn);
        assert!(in_hand.take(id).is_some());
        assert_eq!(in_hand.0.lock().len(), 1, "nothing is kept of who had its turn");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_conversation_has_it_next_and_does_not_wait_for_ever() {
        let (in_hand, id) = (InHand::default(), ConversationId::random());
        let first = in_hand.wait(id).await.unwrap();
        let mut second = Box::pin(in_hand.wait(id));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        let second = second.await.unwrap();
        assert!(in_hand.take(id).is_none());
        assert_eq!(in_hand.wait(id).await.err().unwrap().code, Code::Unavailable);
        drop(second);
    }
}
