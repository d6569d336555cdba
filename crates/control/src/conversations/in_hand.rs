//! Ids of conversations that are being made in this process at this moment, and of which there is no record yet.

use std::collections::HashSet;

use parking_lot::Mutex;
use types::ConversationId;

#[derive(Default)]
pub struct InHand(Mutex<HashSet<ConversationId>>);

/// The only one to make this conversation, as long as it is there.
pub(super) struct Turn<'a> {
    of: &'a InHand,
    id: ConversationId,
}

impl InHand {
    /// `None`: somebody else makes it.
    pub(super) fn take(&self, id: ConversationId) -> Option<Turn<'_>> {
        let is_mine = self.0.lock().insert(id);
        is_mine.then(|| Turn { of: self, id })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.of.0.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_makes_a_conversation() {
        let (in_hand, id) = (InHand::default(), ConversationId::random());
        let turn = in_hand.take(id);
        assert!(turn.is_some() && in_hand.take(id).is_none() && in_hand.take(id).is_none());
        drop(turn);
        assert!(in_hand.take(id).is_some());
    }
}
