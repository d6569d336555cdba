//! The newest records of conversations that run, at hand once for all streams that tell of their events.

use std::sync::Arc;

use readmodel::index::ConversationState;
use types::ConversationId;
use types::conversation::Status;

/// That one stream has at hand; each is bounded by itself. All streams look at the same conversations, and would take those from
/// one another that they put away in favour of others: so whoever comes later has none.
const MOST: usize = 16;

/// Those that one stream has wished for, until it is dropped.
#[derive(Default)]
pub struct Tapes(Vec<Arc<ConversationState>>);

impl Tapes {
    /// Has them kept as long as the conversation runs, and is looked at.
    pub fn look_at(&mut self, entry: &Arc<ConversationState>) {
        let at = self.0.iter().position(|kept| Arc::ptr_eq(kept, entry));
        match (at, entry.status() == Status::Running) {
            (None, true) if self.0.len() < MOST => {
                entry.start_tape();
                self.0.push(entry.clone());
            }
            (Some(at), false) => self.0.swap_remove(at).stop_tape(),
            (_, true) | (None, false) => {}
        }
    }

    /// Of a conversation that is not there any more.
    pub fn forget(&mut self, id: ConversationId) {
        for gone in self.0.extract_if(.., |kept| kept.id == id) {
            gone.stop_tape();
        }
    }
}

impl Drop for Tapes {
    fn drop(&mut self) {
        self.0.iter().for_each(|entry| entry.stop_tape());
    }
}
