//! What a client that comes back has of the conversations as they are now.

use std::collections::HashSet;
use std::sync::Arc;

use readmodel::index::ConversationState;
use types::ConversationId;
use types::conversation::Status;

use super::cursor::Cursor;
use super::known::{Known, Life, Place, weight};

/// Conversations that may have been made while the client was away.
const MOST_NEW: usize = 1_000;

/// What the client has, and which conversations are to be looked at; `None` when more has changed than the cursor can tell.
/// `youngest_first`: all of the tenant.
pub fn resumed(
    cursor: &Cursor,
    youngest_first: &[Arc<ConversationState>],
) -> Option<(Known, Vec<ConversationId>)> {
    let named: HashSet<ConversationId> = cursor.lately.iter().map(|(id, ..)| *id).collect();
    let others: Vec<Other> = youngest_first
        .iter()
        .filter(|entry| !named.contains(&entry.id))
        .map(|entry| Other::of(entry))
        .collect();
    let (made, rested) = others.split_at_checked(made_since(cursor.rest, &others)?)?;

    let mut known = Known::default();
    for Other { entry, life, place, .. } in rested {
        known.put_at_rest(entry.id, *life, *place);
    }
    let running: HashSet<ConversationId> = youngest_first
        .iter()
        .filter(|entry| entry.status() == Status::Running)
        .map(|entry| entry.id)
        .collect();
    for (id, life, place) in &cursor.lately {
        known.put(*id, *life, *place, running.contains(id));
    }
    let named = cursor.lately.iter().map(|(id, ..)| *id);
    let to_look_at = made.iter().rev().map(|other| other.entry.id).chain(named).collect();
    Some((known, to_look_at))
}

struct Other<'a> {
    entry: &'a ConversationState,
    life: Life,
    place: Place,
    weight: u64,
}

impl<'a> Other<'a> {
    fn of(entry: &'a ConversationState) -> Self {
        let (life, place) = (Life::of(&entry.record()), Place::of(entry));
        Self { entry, life, place, weight: weight(entry.id, life, place) }
    }
}

/// How many of the youngest ones the sum does not have; `None` where that does not explain it.
fn made_since(sum: u64, youngest_first: &[Other<'_>]) -> Option<usize> {
    let mut all = youngest_first.iter().fold(0, |sum: u64, other| sum.wrapping_add(other.weight));
    for (count, other) in youngest_first.iter().enumerate().take(MOST_NEW) {
        if all == sum {
            return Some(count);
        }
        all = all.wrapping_sub(other.weight);
    }
    (all == sum).then_some(youngest_first.len().min(MOST_NEW))
}
