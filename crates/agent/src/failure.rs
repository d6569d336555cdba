//! When the model gives no answer.

use types::EventBody;
use types::event::{Empty, Source};
use types::model::{FailureKind, ModelFailure};

use crate::agent::Agent;
use crate::journal::Draft;
use crate::trial::Trial;

/// Condensations that may follow each other without an answer between them.
const CONDENSATIONS: u32 = 2;

impl Agent {
    /// `trial`: what was left out of the history already.
    pub(crate) fn model_failed(
        &mut self,
        draft: &mut Draft<'_>,
        failure: ModelFailure,
        trial: Option<Trial>,
    ) {
        let is_first = trial.is_none();
        let may_rephrase = failure.kind == FailureKind::ContentPolicy && is_first;
        if may_rephrase && self.rephrases(draft) {
            return;
        }
        let is_long = matches!(failure.kind, FailureKind::ContextWindow | FailureKind::MalformedHistory);
        if is_long && is_first && self.can_shorten() {
            self.record(draft, Source::Environment, EventBody::CondensationRequest(Empty {}));
            return self.step_done(draft);
        }
        self.try_without(draft, trial, failure);
    }

    fn can_shorten(&self) -> bool {
        let may_condense = !self.run.condenser_failed && self.run.condensations < CONDENSATIONS;
        may_condense && self.forgettable().is_some()
    }
}
