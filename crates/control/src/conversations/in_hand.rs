//! What is in hand in this process at this moment, by one at a time: ids of conversations that are being made or copied to, or of
//! which the last is removed; sandboxes that are swept.

use std::hash::Hash;
use std::time::Duration;

use ports::rpc::{Code, Fault};
use ports::{Turn, Turns};
use types::ConversationId;

/// What is waited for whoever has an id.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct InHand<K = ConversationId>(Turns<K>);

impl<K> Default for InHand<K> {
    fn default() -> Self {
        Self(Turns::default())
    }
}

impl<K: Eq + Hash> InHand<K> {
    /// `None`: somebody else has it.
    pub(super) fn take(&self, id: K) -> Option<Turn> {
        self.0.take(id)
    }

    /// Waits for whoever has it.
    ///
    /// # Errors
    /// `Unavailable`: that takes long.
    pub(super) async fn wait(&self, id: K) -> Result<Turn, Fault> {
        tokio::time::timeout(PATIENCE, self.0.wait(id)).await.map_err(|_| being_made())
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
        let (in_hand, id) = (InHand::<ConversationId>::default(), ConversationId::random());
        let turn = in_hand.take(id);
        assert!(turn.is_some() && in_hand.take(id).is_none() && in_hand.take(id).is_none());
        assert!(in_hand.take(ConversationId::random()).is_some(), "another one is nobody's");
        drop(turn);
        assert!(in_hand.take(id).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_conversation_has_it_next_and_does_not_wait_for_ever() {
        let (in_hand, id) = (InHand::<ConversationId>::default(), ConversationId::random());
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
