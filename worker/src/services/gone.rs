//! The conversations that were deleted lately. A call for one of them may have been under way meanwhile, or come from a
//! gateway that does not know yet: it must not make anew what is removed, nor start what nobody would end.
//!
//! A conversation may be made anew under the same id, so what has gone is told by when it was made as well. Who knows only
//! an id asks the record. Calls do not live long, and neither does what is noted here.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use types::ConversationId;

/// Longer than any call that makes something is under way.
const KEPT_FOR: Duration = Duration::from_secs(2 * 60);
const MOST: usize = 10_000;

/// Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Gone(Arc<Mutex<HashMap<ConversationId, Note>>>);

struct Note {
    created_at: String,
    since: Instant,
}

impl Gone {
    pub(crate) fn note(&self, id: ConversationId, created_at: String) {
        let mut notes = self.0.lock();
        notes.retain(|_, note| note.is_fresh());
        // The word of an earlier one's deletion may be late, and calls for a later one still under way.
        if notes.get(&id).is_some_and(|later| later.created_at > created_at) {
            return;
        }
        let oldest = notes.iter().min_by_key(|(_, note)| note.since).map(|(id, _)| *id);
        if let Some(oldest) = oldest.filter(|_| notes.len() >= MOST) {
            notes.remove(&oldest);
        }
        notes.insert(id, Note { created_at, since: Instant::now() });
    }

    /// It is not deleted after all.
    pub(crate) fn take_back(&self, id: ConversationId) {
        self.0.lock().remove(&id);
    }

    /// Whether a conversation of this id has gone.
    pub(crate) fn has(&self, id: ConversationId) -> bool {
        self.0.lock().get(&id).is_some_and(Note::is_fresh)
    }

    /// Whether the one that was made then has.
    pub(crate) fn is(&self, id: ConversationId, created_at: &str) -> bool {
        self.0.lock().get(&id).is_some_and(|note| note.is_fresh() && note.created_at == created_at)
    }
}

impl Note {
    fn is_fresh(&self) -> bool {
        self.since.elapsed() < KEPT_FOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_was_made_at_another_time_has_not_gone() {
        let (gone, id) = (Gone::default(), ConversationId::random());
        gone.note(id, "then".to_owned());
        assert!(gone.has(id) && gone.is(id, "then") && !gone.is(id, "now"));
        assert!(!gone.has(ConversationId::random()));
        gone.note(id, "earlier than then".to_owned());
        assert!(gone.is(id, "then"), "the later one has gone, too");
        gone.take_back(id);
        assert!(!gone.has(id));
    }

    #[test]
    fn what_is_noted_is_bounded() {
        let gone = Gone::default();
        for _ in 0..MOST + 10 {
            gone.note(ConversationId::random(), String::new());
        }
        assert_eq!(gone.0.lock().len(), MOST);
    }
}
