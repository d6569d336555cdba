//! What a client has of each conversation, and what of that its cursor says.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use types::conversation::ConversationRecord;
use types::{ConversationId, Seq};

use super::base::Base;
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
    base: Arc<Base>,
    /// What is otherwise than there; `None`: the client does not have it.
    since: HashMap<ConversationId, Option<Held>>,
    lately: BTreeMap<u64, ConversationId>,
    turns: u64,
    /// The sum over those that did not change lately.
    rest: u64,
}

impl Held {
    fn at_rest(life: Life, place: Place) -> Self {
        Self { life, place, is_running: false, turn: None }
    }
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

    /// Whether a conversation with this version is one that the client has not been told of. Its record and its log come here
    /// by different ways, and the client may come from a gateway that had more of either. While one of them is behind,
    /// the other tells an old state; what is missing is about to come, and there is news of it then.
    pub fn is_passed_by(self, (seq, revision): (Seq, u64)) -> bool {
        let is_behind = seq < self.brief || revision < self.revision;
        !is_behind && (seq, revision) != (self.brief, self.revision)
    }
}

impl Known {
    /// All of that, and nothing lately.
    pub fn of(base: Arc<Base>) -> Self {
        Self { rest: base.sum(), base, ..Self::default() }
    }

    /// All of `now`, in as little memory as `shared` saves. `None`: that is another time's.
    pub fn of_shared(shared: &Arc<Base>, now: &Base) -> Option<Self> {
        let others = shared.little_else(now)?;
        let mut known = Self::of(shared.clone());
        for (id, line) in others {
            match line {
                Some(line) => known.put_at_rest(id, line.life, line.place()),
                None => drop(known.forget(id)),
            }
        }
        Some(known)
    }

    pub fn get(&self, id: ConversationId) -> Option<Held> {
        match self.since.get(&id) {
            Some(held) => *held,
            None => self.base.get(id).map(|line| Held::at_rest(line.life, line.place())),
        }
    }

    /// It has changed, and the client has been told so.
    pub fn put(&mut self, id: ConversationId, life: Life, place: Place, is_running: bool) {
        self.take_out(id);
        self.turns += 1;
        self.lately.insert(self.turns, id);
        self.since.insert(id, Some(Held { life, place, is_running, turn: Some(self.turns) }));
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
        let is_as_before = self.base.get(id).is_some_and(|line| (line.life, line.place()) == (life, place));
        match is_as_before {
            true => drop(self.since.remove(&id)),
            false => drop(self.since.insert(id, Some(Held::at_rest(life, place)))),
        }
    }

    /// Whether the client had been told of it.
    pub fn forget(&mut self, id: ConversationId) -> bool {
        self.take_out(id).is_some()
    }

    pub fn cursor(&self) -> Cursor {
        let lately = self.lately.values().filter_map(|id| {
            let held = self.get(*id)?;
            Some((*id, held.life, held.place))
        });
        Cursor { lately: lately.collect(), rest: self.rest }
    }

    fn take_out(&mut self, id: ConversationId) -> Option<Held> {
        let held = self.get(id)?;
        match held.turn {
            Some(turn) => drop(self.lately.remove(&turn)),
            None => self.rest = self.rest.wrapping_sub(weight(id, held.life, held.place)),
        }
        match self.base.get(id) {
            Some(_) => drop(self.since.insert(id, None)),
            None => drop(self.since.remove(&id)),
        }
        Some(held)
    }

    /// The one that changed first of those that may; one that runs is likely to change while the client is away. Of one that it
    /// has not been told everything of, the sum cannot say it.
    fn let_one_rest(&mut self) -> bool {
        let is_full = self.lately.len() > MOST_LATELY;
        let may_rest = |held: &Held| held.place.events == held.place.brief && (is_full || !held.is_running);
        let mut rested = self.lately.values().filter_map(|id| Some((*id, self.get(*id)?)));
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
    use super::super::base::Line;
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
    fn what_many_have_been_told_is_there_once_and_what_each_is_told_since_is_its_own() {
        let ids = ids(1_000);
        let at = |at: u64| ids.iter().map(move |id| Line::at(*id, LIFE, (Seq(at), at))).collect::<Vec<_>>();
        let base = Arc::new(Base::of(at(1)));
        let mut one = Known::of(base.clone());
        let mut now = at(1);
        (now[0], now[1]) =
            (Line::at(ids[0], LIFE, (Seq(2), 2)), Line::at(ConversationId::random(), LIFE, (Seq(1), 1)));
        let now = Base::of(now);
        let other = Known::of_shared(&base, &now).unwrap();
        assert!(Arc::ptr_eq(&one.base, &other.base));
        assert_eq!((one.since.len(), other.since.len()), (0, 3));
        assert_eq!((one.cursor().rest, other.cursor().rest), (sum(&ids, 1), now.sum()));
        one.put(ids[0], LIFE, place(2), false);
        assert!(one.forget(ids[1]) && !one.forget(ids[1]));
        let had = |known: &Known, id| known.get(id).map(|held| held.place);
        assert_eq!((had(&one, ids[0]), had(&one, ids[1])), (Some(place(2)), None));
        assert_eq!((had(&other, ids[0]), had(&other, ids[2])), (Some(place(2)), Some(place(1))));
        one.put_at_rest(ids[0], LIFE, place(1));
        one.put_at_rest(ids[1], LIFE, place(1));
        assert_eq!((one.since.len(), one.cursor().rest), (0, sum(&ids, 1)), "it is as it was");
        assert!(Known::of_shared(&base, &Base::of(at(2))).is_none(), "hardly anything is as it was");
    }

    /// Kilobytes of this process.
    fn memory() -> i64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    #[ignore = "tells how much memory streams take, and takes it"]
    fn memory_of_streams_by_their_number() {
        let ids = ids(100_000);
        let lines = || ids.iter().map(|id| Line::at(*id, LIFE, (Seq(1), 1))).collect::<Vec<_>>();
        let before = memory();
        let shared = Arc::new(Base::of(lines()));
        let first = memory();
        let streams: Vec<_> =
            (0..20).map(|_| Known::of_shared(&shared, &Base::of(lines())).unwrap()).collect();
        let all = memory();
        let mut changed = Known::of(shared.clone());
        ids.iter().for_each(|id| changed.put(*id, LIFE, place(2), false));
        let last = memory();
        println!(
            "the first: {} kB; 20 more: {} kB; one that was told of all again: {} kB",
            first - before,
            all - first,
            last - all
        );
        drop((streams, changed));
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
