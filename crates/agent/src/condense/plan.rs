//! Which part of the view goes.

use std::ops::Range;

use super::Condenser;
use crate::view::{Item, View};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was asked for, or the model refused the history: something must go.
    Request,
    /// The last prompt was too long: something must go.
    Tokens,
    /// The view holds many events: only if it is worth it.
    Events,
}

/// The items to forget: from behind the first ones to before the last ones, whole turns only, never the
/// system prompt nor a call that is still open. `None` if nothing can go, or not enough to be worth it.
pub fn plan(condenser: &Condenser, view: &View, reason: Reason) -> Option<Range<usize>> {
    let length = view.event_count();
    let size = if reason == Reason::Events { condenser.max_size } else { length };
    let tail = (size / 2).saturating_sub(condenser.keep_first + 1);
    let first_open = view.items.iter().position(is_open).unwrap_or(view.items.len());
    let behind_prompt = usize::from(matches!(view.items.first(), Some(Item::System { .. })));

    let start = view.item_at(condenser.keep_first).max(behind_prompt);
    let end = match length.saturating_sub(tail) {
        0 => 0,
        kept => (view.item_at(kept - 1) + 1).min(first_open),
    };
    let middle = start..end;
    if is_worth_it(condenser, view, &middle, length) {
        return Some(middle);
    }
    let everything = behind_prompt..first_open;
    (reason != Reason::Events && !everything.is_empty()).then_some(everything)
}

fn is_worth_it(condenser: &Condenser, view: &View, items: &Range<usize>, length: usize) -> bool {
    if items.is_empty() {
        return false;
    }
    let forgotten = view.offset_of(items.end) - view.offset_of(items.start);
    // Event counts are far below the precision of a float.
    #[expect(clippy::cast_precision_loss, reason = "counts of events")]
    let share = forgotten as f64 / length as f64;
    share >= condenser.minimum_progress
}

fn is_open(item: &Item) -> bool {
    matches!(item, Item::Turn(turn) if turn.is_open())
}
