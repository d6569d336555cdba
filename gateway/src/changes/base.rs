//! What a client has that has been told everything: of each conversation one line, and all of them once for all streams of a
//! tenant that have begun at about the same time.

use std::sync::Arc;

use readmodel::index::ConversationState;
use types::{ConversationId, Seq};

use super::known::{Life, Place, weight};

/// A later stream shares this as long as no more than one in so many is otherwise by then.
const ONE_IN: usize = 8;
/// And a few.
const FEW: usize = 64;

/// In the order of ids.
#[derive(Default)]
pub struct Base {
    lines: Box<[Line]>,
    sum: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub id: ConversationId,
    pub life: Life,
    revision: u64,
    seq: Seq,
}

impl Line {
    pub fn of(entry: &ConversationState) -> Self {
        Self::at(entry.id, Life::of(&entry.record()), entry.version())
    }

    pub fn at(id: ConversationId, life: Life, (seq, revision): (Seq, u64)) -> Self {
        Self { id, life, revision, seq }
    }

    pub fn place(&self) -> Place {
        Place::whole((self.seq, self.revision))
    }
}

impl Base {
    pub fn of(mut lines: Vec<Line>) -> Self {
        lines.sort_unstable_by_key(|line| line.id);
        let weights = lines.iter().map(|line| weight(line.id, line.life, line.place()));
        Self { sum: weights.fold(0, u64::wrapping_add), lines: lines.into() }
    }

    /// Conversations as they are now.
    pub fn of_present(present: &[Arc<ConversationState>]) -> Self {
        Self::of(present.iter().map(|entry| Line::of(entry)).collect())
    }

    /// The sum over all of them.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    pub fn get(&self, id: ConversationId) -> Option<Line> {
        let at = self.lines.binary_search_by_key(&id, |line| line.id).ok()?;
        self.lines.get(at).copied()
    }

    /// What is otherwise in `now`, where that is little: `None` is gone.
    pub fn little_else(&self, now: &Self) -> Option<Vec<(ConversationId, Option<Line>)>> {
        let most = self.lines.len() / ONE_IN + FEW;
        let new = now.lines.iter().filter(|line| self.get(line.id) != Some(**line));
        let gone = self.lines.iter().filter(|line| now.get(line.id).is_none());
        let others = new.map(|line| (line.id, Some(*line))).chain(gone.map(|line| (line.id, None)));
        let others: Vec<_> = others.take(most + 1).collect();
        (others.len() <= most).then_some(others)
    }
}
