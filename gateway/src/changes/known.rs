//! What a client has of each conversation, and what of that its cursor says.

use std::collections::{BTreeMap, HashMap};

use readmodel::index::ConversationState;
use sha2::{Digest, Sha256};
use types::conversation::ConversationRecord;
use types::{ConversationId, Seq};

use super::cursor::Cursor;

/// Conversations of which a cursor says by itself what the client has: those that changed last. More of them where more run.
const LATELY: usize = 32;
const MOST_LATELY: usize = 128;

/// Tells a conversation from another that has its id before or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life(pub u32);

/// How far a client has been told of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Of the record, in the last brief.
    pub revision: u64,
    /// Of the log, in the last brief.
    pub brief: Seq,
    /// The last event, or what was stored when it was told of the conversation first.
    pub events: Seq,
}

#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub life: Life,
    pub place: Place,
    is_running: bool,
    /// Its place in the order of those that changed lately.
    turn: Option<u64>,
}

/// All that a client has been told of.
#[derive(Default)]
pub struct Known {
    held: HashMap<ConversationId, Held>,
    lately: BTreeMap<u64, ConversationId>,
    turns: u64,
    /// The sum over those that did not change lately.
    rest: u64,
}

impl Life {
    pub fn of(record: &ConversationRecord) -> Self {
        let digest = Sha256::new()
            .chain_update(record.sandbox.as_str())
            .chain_update([0])
            .chain_update(&record.created_at)
            .finalize();
        Self(u32::from_le_bytes(first(&digest)))
    }
}

impl Place {
    /// Of who has been told everything.
    pub fn whole((seq, revision): (Seq, u64)) -> Self {
        Self { revision, brief: seq, events: seq }
    }

    pub fn of(entry: &ConversationState) -> Self {
        Self::whole(entry.version())
    }

    /// Whether a conversation with this version is one that the client has not been told of. Its record and its log come here
    /// by different ways, and the client may come from a gateway that had more of either. While one of them is behind,
    /// the other tells an old state; what is missing is about to come, and there is news of it then.
    pub fn is_passed_by(self, (seq, revision): (Seq, u64)) -> bool {
        let is_behind = seq < self.brief || revision < self.revision;
        !is_behind && (seq, revision) != (self.brief, self.revision)
    }
}

impl Known {
    pub fn get(&self, id: ConversationId) -> Option<Held> {
        self.held.get(&id).copied()
    }

    /// It has changed, and the client has been told so.
    pub fn put(&mut self, id: ConversationId, life: Life, place: Place, is_running: bool) {
        self.take_out(id);
        self.turns += 1;
        self.lately.insert(self.turns, id);
        self.held.insert(id, Held { life, place, is_running, turn: Some(self.turns) });
        while self.lately.len() > LATELY {
            if !self.let_one_rest() {
                return;
            }
        }
    }

    /// The client has been told everything of it, and not lately.
    pub fn put_at_rest(&mut self, id: ConversationId, life: Life, place: Place) {
        self.take_out(id);
        self.rest = self.rest.wrapping_add(weight(id, life, place));
        self.held.insert(id, Held { life, place, is_running: false, turn: None });
    }

    /// Whether the client had been told of it.
    pub fn forget(&mut self, id: ConversationId) -> bool {
        self.take_out(id).is_some()
    }

    pub fn cursor(&self) -> Cursor {
        let lately = self.lately.values().filter_map(|id| {
            let held = self.held.get(id)?;
            Some((*id, held.life, held.place))
        });
        Cursor { lately: lately.collect(), rest: self.rest }
    }

    fn take_out(&mut self, id: ConversationId) -> Option<Held> {
        let held = self.held.remove(&id)?;
        match held.turn {
            Some(turn) => drop(self.lately.remove(&turn)),
            None => self.rest = self.rest.wrapping_sub(weight(id, held.life, held.place)),
        }
        Some(held)
    }

    /// The one that changed first of those that may; one that runs is likely to change while the client is away. Of one that it
    /// has not been told everything of, the sum cannot say it.
    fn let_one_rest(&mut self) -> bool {
        let is_full = self.lately.len() > MOST_LATELY;
        let may_rest = |held: &Held| held.place.events == held.place.brief && (is_full || !held.is_running);
        let mut rested = self.lately.values().filter_map(|id| Some((*id, *self.held.get(id)?)));
        let Some((id, held)) = rested.find(|(_, held)| may_rest(held)) else { return false };
        self.put_at_rest(id, held.life, held.place);
        true
    }
}

/// What a conversation adds to the sum when the client has been told everything up to `place`.
pub fn weight(id: ConversationId, Life(life): Life, place: Place) -> u64 {
    let digest = Sha256::new()
        .chain_update(id.0.as_bytes())
        .chain_update(life.to_le_bytes())
        .chain_update(place.revision.to_le_bytes())
        .chain_update(place.brief.0.to_le_bytes())
        .finalize();
    u64::from_le_bytes(first(&digest))
}

fn first<const N: usize>(digest: &[u8]) -> [u8; N] {
    digest.first_chunk::<N>().copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Life = Life(1);

    fn place(at: u64) -> Place {
        Place::whole((Seq(at), at))
    }

    fn ids(count: usize) -> Vec<ConversationId> {
        (0..count).map(|_| ConversationId::random()).collect()
    }

    fn sum(of: &[ConversationId], at: u64) -> u64 {
        of.iter().fold(0, |sum: u64, id| sum.wrapping_add(weight(*id, LIFE, place(at))))
    }

    #[test]
    fn a_cursor_names_those_that_changed_last_and_sums_up_all_others() {
        let (mut known, ids) = (Known::default(), ids(LATELY + 5));
        ids.iter().for_each(|id| known.put_at_rest(*id, LIFE, place(1)));
        assert_eq!(known.cursor(), Cursor { lately: Vec::new(), rest: sum(&ids, 1) });
        ids.iter().for_each(|id| known.put(*id, LIFE, place(2), false));
        let cursor = known.cursor();
        let named: Vec<_> = cursor.lately.iter().map(|(id, ..)| *id).collect();
        assert_eq!((named.as_slice(), cursor.rest), (&ids[5..], sum(&ids[..5], 2)));
        assert!(known.forget(ids[0]) && known.forget(ids[9]) && !known.forget(ids[0]));
        assert_eq!((known.cursor().lately.len(), known.cursor().rest), (LATELY - 1, sum(&ids[1..5], 2)));
    }

    #[test]
    fn a_gateway_that_is_behind_with_the_log_or_the_record_tells_no_old_state() {
        let told = Place { revision: 5, brief: Seq(50), events: Seq(50) };
        let is_told = |seq, revision| told.is_passed_by((Seq(seq), revision));
        assert!(!is_told(48, 6) && !is_told(51, 4) && !is_told(48, 5) && !is_told(50, 4));
        assert!(!is_told(50, 5));
        assert!(is_told(50, 6) && is_told(51, 5) && is_told(51, 6));
    }

    #[test]
    fn those_that_run_are_named_before_others_and_bounded_all_the_same() {
        let (mut known, running, resting) = (Known::default(), ids(MOST_LATELY + 9), ids(LATELY));
        running[..LATELY].iter().for_each(|id| known.put(*id, LIFE, place(1), true));
        resting.iter().for_each(|id| known.put(*id, LIFE, place(1), false));
        let cursor = known.cursor();
        assert!(running[..LATELY].iter().all(|id| cursor.lately.iter().any(|(named, ..)| named == id)));
        running.iter().for_each(|id| known.put(*id, LIFE, place(2), true));
        assert_eq!(known.cursor().lately.len(), MOST_LATELY);
    }

    #[test]
    fn one_that_the_client_does_not_have_all_of_is_named_until_it_has() {
        let (mut known, ids) = (Known::default(), ids(LATELY * 3));
        let half = Place { events: Seq(1), ..place(2) };
        known.put(ids[0], LIFE, half, false);
        ids[1..].iter().for_each(|id| known.put(*id, LIFE, place(2), false));
        assert_eq!(known.cursor().lately[0], (ids[0], LIFE, half));
    }
}
