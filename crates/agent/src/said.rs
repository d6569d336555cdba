//! An answer without calls.

use types::EventBody;
use types::content::Content;
use types::event::{MessageBody, Source};
use types::model::Ending;

use crate::agent::Agent;
use crate::answer::Answer;
use crate::journal::Draft;
use crate::view::is_blank;

const SAY_SOMETHING: &str = "Your answer was empty. Call a tool to go on with the task, or answer the user in \
text if there is nothing left to do.";

const GO_ON: &str = "Your answer reached the limit of the output and was cut off there. Go on exactly where you \
stopped, without repeating anything.";

const NOTHING_SAID: &str = "Your answer reached the limit of the output before it said anything. Think less, and \
take a smaller step: call a tool, or answer the user in text.";

const REST_WITHHELD: &str = "[The provider withheld the rest.]";

impl Agent {
    pub(crate) fn take_text(&mut self, draft: &mut Draft<'_>, answer: Answer) {
        let Answer { item_id, response_id, mut message, ending, .. } = answer;
        let blank = is_blank(&message);
        if ending == Ending::Withheld {
            message.order = Vec::new();
            message.content.push(Content::text(REST_WITHHELD));
        }
        let order = message.parts();
        // The event has none, here as in the log.
        message.order = Vec::new();
        let body = MessageBody {
            llm_message: message,
            llm_response_id: Some(response_id),
            activated_skills: Vec::new(),
            extended_content: Vec::new(),
            sender: None,
        };
        self.record_as(draft, item_id.clone(), Source::Agent, EventBody::MessageEvent(body));
        if !blank {
            self.note_order(draft, item_id, order);
        }
        self.announce_stats(draft);
        match ending {
            Ending::Done if blank => {
                self.hint(draft, SAY_SOMETHING);
                self.step_done(draft);
            }
            Ending::Done => self.finish_or_go_on(draft),
            Ending::Cut { .. } => self.go_on_from_cut(draft, Some(if blank { NOTHING_SAID } else { GO_ON })),
            Ending::Withheld => self.ask_to_rephrase(draft),
            Ending::Paused => self.go_on_from_pause(draft),
        }
    }
}
