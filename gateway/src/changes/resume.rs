//! What a client that comes back has of the conversations as they are now.

use std::collections::HashSet;
use std::sync::Arc;

use readmodel::index::ConversationState;
use types::ConversationId;
use types::conversation::Status;

use super::cursor::Cursor;
use super::known::{Known, weight};

/// Conversations that may have been made while the client was away.
const MOST_NEW: usize = 1_000;

/// What the client has, and which conversations are to be looked at; `None` when more has changed than the cursor can tell.
/// `youngest_first`: all of the tenant, of which `known` has everything.
pub fn resumed(
    cursor: &Cursor,
    youngest_first: &[Arc<ConversationState>],
    mut known: Known,
) -> Option<(Known, Vec<ConversationId>)> {
    let named: HashSet<ConversationId> = cursor.lately.iter().map(|(id, ..)| *id).collect();
    let others: Vec<Other> = youngest_first
        .iter()
        .filter(|entry| !named.contains(&entry.id))
        .filter_map(|entry| Other::of(entry.id, &known))
        .collect();
    let (made, _) = others.split_at_checked(made_since(cursor.rest, &others)?)?;
    let made: Vec<ConversationId> = made.iter().rev().map(|other| other.id).collect();
    for id in &made {
        known.forget(*id);
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
    let to_look_at = made.into_iter().chain(named).collect();
    Some((known, to_look_at))
}

struct Other {
    id: ConversationId,
    weight: u64,
}

impl Other {
    fn of(id: ConversationId, known: &Known) -> Option<Self> {
        let held = known.get(id)?;
        Some(Self { id, weight: weight(id, held.life, held.place) })
    }
}

/// How many of the youngest ones the sum does not have; `None` where that does not explain it.
fn made_since(sum: u64, youngest_first: &[Other]) -> Option<usize> {
    let mut all = youngest_first.iter().fold(0, |sum: u64, other| sum.wrapping_add(other.weight));
    for (count, other) in youngest_first.iter().enumerate().take(MOST_NEW) {
        if all == sum {
            return Some(count);
        }
        all = all.wrapping_sub(other.weight);
    }
    (all == sum).then_some(youngest_first.len().min(MOST_NEW))
}
