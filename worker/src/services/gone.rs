//! The conversations that were deleted lately. A call for one of them may have been under way meanwhile, or come from a
//! gateway that does not know yet: it must not make anew what is removed, nor start what nobody would end.
//!
//! A conversation may be made anew under the same id, and be deleted, too. So what has gone is told by when it was made as
//! well, which says nothing of the order: gateways have clocks of their own. Who knows only an id asks the record. And
//! several may delete the same one at once: where one of them gives up, it has gone all the same for the others. Calls do
//! not live long, and neither does what is noted here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use types::{ConversationId, Life};
use uuid::Uuid;

/// Longer than any call that makes something is under way, and than it takes to delete a conversation.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(2 * 60);
const MOST: usize = 10_000;

/// What those who delete have noted, oldest first. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Gone(Arc<Mutex<VecDeque<Arc<Note>>>>);

pub(crate) struct Note {
    life: Life,
    deletion: Uuid,
    since: Instant,
}

impl Gone {
    pub(crate) fn note(&self, life: Life, deletion: Uuid) -> Arc<Note> {
        let note = Arc::new(Note { life, deletion, since: Instant::now() });
        let mut notes = self.0.lock();
        while notes.len() >= MOST || notes.front().is_some_and(|oldest| !oldest.is_fresh()) {
            notes.pop_front();
        }
        notes.push_back(Arc::clone(&note));
        note
    }

    /// It is not deleted after all, as far as the one who has noted this knows.
    pub(crate) fn take_back(&self, note: &Arc<Note>) {
        self.0.lock().retain(|other| !Arc::ptr_eq(other, note));
    }

    /// The same, of all that were noted for one deletion.
    pub(crate) fn take_back_of(&self, deletion: Uuid) {
        self.0.lock().retain(|note| note.deletion != deletion);
    }

    /// Whether a conversation of this id has gone.
    pub(crate) fn has(&self, id: ConversationId) -> bool {
        self.any(|life| life.id == id)
    }

    /// Whether this one has.
    pub(crate) fn has_been(&self, life: &Life) -> bool {
        self.any(|gone| gone == life)
    }

    fn any(&self, is_it: impl Fn(&Life) -> bool) -> bool {
        self.0.lock().iter().any(|note| is_it(&note.life) && note.is_fresh())
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
    fn a_deletion_that_is_given_up_takes_back_no_note_of_another_one() {
        let (gone, id) = (Gone::default(), ConversationId::random());
        let [earlier, later] = ["then", "now"].map(|made| Life { id, created_at: made.to_owned() });
        let [first, second, third] = [(); 3].map(|()| gone.note(earlier.clone(), Uuid::new_v4()));
        gone.note(later.clone(), Uuid::new_v4());
        gone.take_back(&first);
        gone.take_back_of(third.deletion);
        assert!(gone.has_been(&earlier) && gone.has_been(&later));
        gone.take_back(&second);
        assert!(!gone.has_been(&earlier) && gone.has_been(&later) && gone.has(id));
        assert!(!gone.has(ConversationId::random()));
    }

    #[test]
    fn what_is_noted_is_bounded() {
        let gone = Gone::default();
        for _ in 0..MOST + 10 {
            gone.note(Life::whichever(ConversationId::random()), Uuid::new_v4());
        }
        assert_eq!(gone.0.lock().len(), MOST);
    }
}
