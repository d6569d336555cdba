//! Shortening the view: what a condensation drops and where its summary stands.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use types::content::{Message, Role};
use types::event::Condensation;
use types::{EventId, content};

use super::{Item, Turn, View};

const HEADING: &str =
    "Earlier parts of this conversation were left out to save space. What happened in them:";

impl View {
    /// How many events the model sees.
    pub fn event_count(&self) -> usize {
        self.items.iter().map(Item::event_count).sum()
    }

    /// The item that holds the view event of this number.
    pub fn item_at(&self, event: usize) -> usize {
        let mut end = 0;
        let holds = |item: &Item| {
            end += item.event_count();
            end > event
        };
        self.items.iter().position(holds).unwrap_or(self.items.len())
    }

    /// The number of the first view event of this item.
    pub fn offset_of(&self, item: usize) -> usize {
        self.items.iter().take(item).map(Item::event_count).sum()
    }

    /// The ids of all events of these items.
    pub fn event_ids(&self, items: Range<usize>) -> Vec<EventId> {
        self.items.get(items).unwrap_or_default().iter().flat_map(Item::event_ids).collect()
    }

    /// Drops what was forgotten (a call always with its result, the system prompt never) and puts the
    /// summary in its place.
    pub(super) fn condense(&mut self, id: &EventId, condensation: &Condensation) {
        let forgotten: HashSet<&EventId> = condensation.forgotten_event_ids.iter().collect();
        self.items.retain_mut(|item| item.keep(&forgotten));
        let Some(summary) = &condensation.summary else { return };
        let at = self.item_at(condensation.summary_offset.unwrap_or(1)).min(self.items.len());
        let message = as_message(summary);
        let id = EventId(format!("{id}-summary"));
        self.items.insert(at, Item::Summary { id, message: Arc::new(message) });
    }
}

/// What stands in the place of what was forgotten.
pub fn as_message(summary: &str) -> Message {
    Message::new(Role::User, format!("{HEADING}\n\n{summary}"))
}

impl Item {
    fn event_count(&self) -> usize {
        match self {
            Self::System { .. } | Self::Text { .. } | Self::Summary { .. } => 1,
            Self::Turn(turn) => {
                turn.calls.len() + turn.calls.iter().filter(|call| call.result.is_some()).count()
            }
        }
    }

    fn event_ids(&self) -> Vec<EventId> {
        match self {
            Self::System { .. } => Vec::new(),
            Self::Text { id, .. } | Self::Summary { id, .. } => vec![id.clone()],
            Self::Turn(turn) => {
                let results =
                    turn.calls.iter().filter_map(|call| Some(call.result.as_ref()?.event_id.clone()));
                turn.calls.iter().map(|call| call.action_id.clone()).chain(results).collect()
            }
        }
    }

    fn keep(&mut self, forgotten: &HashSet<&EventId>) -> bool {
        match self {
            Self::System { .. } => true,
            Self::Text { id, .. } | Self::Summary { id, .. } => !forgotten.contains(id),
            Self::Turn(turn) => turn.keep(forgotten),
        }
    }

    /// What a summary is written from: the texts of this item.
    pub fn outline(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::System { .. } => Vec::new(),
            Self::Summary { message, .. } => vec![("earlier_summary", text_of(message))],
            Self::Text { message, .. } if message.role == Role::Assistant => {
                vec![("agent", text_of(message))]
            }
            Self::Text { message, .. } => vec![("user", text_of(message))],
            Self::Turn(turn) => turn.outline(),
        }
    }
}

impl Turn {
    fn keep(&mut self, forgotten: &HashSet<&EventId>) -> bool {
        let gone = |call: &super::Call| {
            let result = call.result.as_ref().is_some_and(|answer| forgotten.contains(&answer.event_id));
            result || forgotten.contains(&call.action_id)
        };
        let dropped: Vec<bool> = self.calls.iter().map(gone).collect();
        if !dropped.contains(&true) {
            return true;
        }
        let mut flags = dropped.iter();
        self.calls.retain(|_| !flags.next().copied().unwrap_or(false));
        let mut flags = dropped.iter();
        let answer = Arc::make_mut(&mut self.assistant);
        answer.tool_calls.retain(|_| !flags.next().copied().unwrap_or(false));
        // What it was is gone with the call.
        answer.order = Vec::new();
        self.signed = None;
        !self.calls.is_empty()
    }

    fn outline(&self) -> Vec<(&'static str, String)> {
        let mut lines = Vec::new();
        if !super::is_blank(&self.assistant) {
            lines.push(("agent", text_of(&self.assistant)));
        }
        for (call, written) in self.calls.iter().zip(&self.assistant.tool_calls) {
            lines.push(("call", format!("{} {}", call.tool, written.arguments)));
            lines.push(("result", text_of(&call.answer())));
        }
        lines
    }
}

fn text_of(message: &Message) -> String {
    content::joined_text(&message.content)
}
