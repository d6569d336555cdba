//! The newest records of conversations that run, at hand once for all streams that tell of their events.

use std::collections::VecDeque;
use std::sync::Arc;

use readmodel::index::ConversationState;
use types::conversation::Status;

/// That one stream keeps at hand; each is bounded by itself.
const MOST: usize = 16;

/// Those that one stream has wished for, until it is dropped.
#[derive(Default)]
pub struct Tapes(VecDeque<Arc<ConversationState>>);

impl Tapes {
    /// Has them kept as long as the conversation runs, and is among those that are looked at.
    pub fn look_at(&mut self, entry: &Arc<ConversationState>) {
        let at = self.0.iter().position(|kept| Arc::ptr_eq(kept, entry));
        match (at, entry.status() == Status::Running) {
            (None, true) => {
                entry.start_tape();
                self.0.push_back(entry.clone());
                if self.0.len() > MOST {
                    self.stop(0);
                }
            }
            (Some(at), false) => self.stop(at),
            (Some(_), true) | (None, false) => {}
        }
    }

    fn stop(&mut self, at: usize) {
        if let Some(entry) = self.0.remove(at) {
            entry.stop_tape();
        }
    }
}

impl Drop for Tapes {
    fn drop(&mut self) {
        self.0.iter().for_each(|entry| entry.stop_tape());
    }
}
