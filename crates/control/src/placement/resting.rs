//! Which conversations wait for their sandbox to rest: each once, however often it is paused meanwhile.

use std::collections::HashMap;

use parking_lot::Mutex;
use types::ConversationId;

/// Those that wait, and whether they were paused again since.
#[derive(Default)]
pub(super) struct Resting(Mutex<HashMap<ConversationId, bool>>);

/// The place of the one that waits, until it is dropped.
pub(super) struct Waiting<'a> {
    resting: &'a Resting,
    conversation: ConversationId,
    is_over: bool,
}

impl Resting {
    /// `None` where one waits already: it looks once more.
    pub(super) fn begin(&self, conversation: ConversationId) -> Option<Waiting<'_>> {
        let mut all = self.0.lock();
        if let Some(again) = all.get_mut(&conversation) {
            *again = true;
            return None;
        }
        all.insert(conversation, false);
        Some(Waiting { resting: self, conversation, is_over: false })
    }
}

impl Waiting<'_> {
    /// Waits on if it was paused again since this was asked last. If not it waits no more: the next pause begins anew.
    pub(super) fn again(mut self) -> Option<Self> {
        let mut all = self.resting.0.lock();
        let again = all.get_mut(&self.conversation).is_some_and(std::mem::take);
        if !again {
            all.remove(&self.conversation);
        }
        drop(all);
        self.is_over = !again;
        again.then_some(self)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.resting.0.lock().remove(&self.conversation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_paused_a_thousand_times_waits_once_and_looks_once_more() {
        let (resting, conversation) = (Resting::default(), ConversationId::random());
        let waiting = resting.begin(conversation).unwrap();
        assert!((0..1_000).all(|_| resting.begin(conversation).is_none()));
        assert!(resting.begin(ConversationId::random()).is_some());
        let waiting = waiting.again().unwrap();
        assert!(waiting.again().is_none());
        let next = resting.begin(conversation).unwrap();
        assert!(resting.begin(conversation).is_none(), "who is over takes nobody's place away");
        drop(next);
        assert!(resting.begin(conversation).is_some());
    }
}
