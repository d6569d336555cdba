//! What the events of a log mean for the loop: folded one by one, and all of them that stays in memory.

use serde::{Deserialize, Serialize};
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
    /// The ids of all user messages, also of forgotten ones: a caller may bring one again.
    said: Vec<EventId>,
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
            _ => {}
        }
        self.view.absorb(event);
        self.trail.absorb(event);
    }

    /// Whether the user has said anything.
    #[must_use]
    pub fn has_messages(&self) -> bool {
        !self.said.is_empty()
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
