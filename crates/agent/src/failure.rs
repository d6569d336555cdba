//! When the model gives no answer.

use types::EventBody;
use types::event::{Empty, Source};
use types::model::{FailureKind, ModelFailure};

use crate::agent::Agent;
use crate::journal::Draft;

const REPHRASE: &str = "The model provider withheld your last answer because of its content rules. Rephrase it, \
leave out what may have caused this, or tell the user that you cannot do this part.";

/// Condensations that may follow each other without an answer between them.
const CONDENSATIONS: u32 = 2;

/// Withheld answers in a row that are put up with.
const WITHHELD: u32 = 3;

impl Agent {
    pub(crate) fn model_failed(&mut self, draft: &mut Draft<'_>, failure: ModelFailure) {
        match failure.kind {
            FailureKind::ContextWindow | FailureKind::MalformedHistory if self.can_shorten() => {
                self.record(draft, Source::Environment, EventBody::CondensationRequest(Empty {}));
                self.step_done(draft);
            }
            FailureKind::ContentPolicy if self.run.withheld + 1 < WITHHELD => {
                self.run.withheld += 1;
                self.hint(draft, REPHRASE);
                self.step_done(draft);
            }
            FailureKind::ContextWindow
            | FailureKind::MalformedHistory
            | FailureKind::ContentPolicy
            | FailureKind::Other => self.fail(draft, &failure.code, &failure.detail),
        }
    }

    fn can_shorten(&self) -> bool {
        self.run.condensations < CONDENSATIONS && self.forgettable().is_some()
    }
}
