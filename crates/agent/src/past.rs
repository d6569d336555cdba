//! What the events of a log mean for the loop: folded one by one, and all of them that stays in memory.

use serde::{Deserialize, Serialize};
use types::content::Part;
use types::event::Source;
use types::{Content, Event, EventBody, EventId};

use crate::stuck::Trail;
use crate::view::View;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Past {
    pub(crate) view: View,
    pub(crate) trail: Trail,
    /// Whether the newest user message holds an image.
    pub(crate) image_asked: bool,
    /// Whether a condensation was asked for and has not been made.
    pub(crate) condensation_wanted: bool,
    /// The ids of all user messages, also of forgotten ones and of other branches: a caller may bring one again.
    said: Vec<EventId>,
    /// HEAD was moved to where it is, and no call was made since: what is open was not left open by what came before it.
    #[serde(default)]
    was_moved: bool,
}

impl Past {
    /// Takes in the next event of the log.
    pub fn absorb(&mut self, event: &Event) {
        match &event.body {
            EventBody::MessageEvent(body) if event.source == Source::User => {
                let image = |piece: &Content| matches!(piece, Content::Image { .. });
                self.image_asked = body.llm_message.content.iter().any(image);
                self.said.push(event.id.clone());
            }
            EventBody::CondensationRequest(_) => self.condensation_wanted = true,
            EventBody::Condensation(_) => self.condensation_wanted = false,
            EventBody::ActionEvent(_) => self.was_moved = false,
            _ => {}
        }
        self.view.absorb(event);
        self.trail.absorb(event);
    }

    /// Takes note of the next event of the log, which is on a branch that was left.
    pub fn leave_out(&mut self, event: &Event) {
        if matches!(event.body, EventBody::MessageEvent(_)) && event.source == Source::User {
            self.said.push(event.id.clone());
        }
    }

    /// Takes note of the order in which the parts of an answer came. Of an answer on another branch it says nothing here.
    pub fn set_order(&mut self, event: &EventId, order: &[Part]) {
        self.view.set_order(event, order);
    }

    /// HEAD was moved to the last event that was taken in, or the log up to it was copied.
    pub fn go_back(&mut self) {
        self.was_moved = true;
    }

    /// Whether the user has said anything.
    #[must_use]
    pub fn has_messages(&self) -> bool {
        !self.said.is_empty()
    }

    /// Whether calls are open that may have been carried out on another branch, or in another conversation.
    pub(crate) fn has_left_calls(&self) -> bool {
        self.was_moved && self.view.open_calls().next().is_some()
    }

    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        const ID: usize = 72;
        self.view.weight() + self.said.len() * ID
    }

    pub(crate) fn has_message(&self, id: &EventId) -> bool {
        self.said.iter().rev().any(|said| said == id)
    }
}
