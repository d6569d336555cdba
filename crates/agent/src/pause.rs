//! Stopping a run: softly after the step, or at once.

use types::EventBody;
use types::conversation::Status;
use types::event::{Empty, Source};

use crate::act::{Batch, INTERRUPTED, State};
use crate::agent::{Agent, Phase};
use crate::journal::Draft;
use crate::protocol::Effect;

const NEVER_STARTED: &str = "Tool call cancelled by interrupt.";

impl Agent {
    /// Paused from now on; a step in flight is still finished, and then the run ends.
    pub(crate) fn pause(&mut self, draft: &mut Draft<'_>) {
        self.interrupt_goal(draft);
        let stoppable = matches!(self.status, Status::Idle | Status::Running);
        if stoppable {
            self.set_status(draft, Status::Paused);
            self.record(draft, Source::User, EventBody::PauseEvent(Empty {}));
        }
        let in_flight = std::mem::replace(&mut self.phase, Phase::Resting);
        self.end_run(draft);
        self.run.pausing = !matches!(in_flight, Phase::Resting);
        self.phase = in_flight;
    }

    /// Cancels what runs. Without a run it is a pause.
    pub(crate) fn interrupt(&mut self, draft: &mut Draft<'_>) {
        self.interrupt_goal(draft);
        match std::mem::replace(&mut self.phase, Phase::Resting) {
            Phase::Resting | Phase::Judging { .. } => return self.pause(draft),
            Phase::Condensing { work, .. } if !work.goes_on => {
                draft.effect(Effect::CancelModel);
                return self.pause(draft);
            }
            Phase::Thinking { .. } | Phase::Condensing { .. } => draft.effect(Effect::CancelModel),
            Phase::Acting(batch) => {
                draft.effect(Effect::CancelTools);
                self.close_batch(draft, batch);
            }
        }
        self.set_status(draft, Status::Paused);
        self.record(draft, Source::User, EventBody::InterruptEvent(Empty {}));
        self.end_run(draft);
    }

    /// Gives every call of the batch its result: the one it has, or that it has none.
    fn close_batch(&mut self, draft: &mut Draft<'_>, batch: Batch) {
        for mut slot in batch.slots {
            match std::mem::replace(&mut slot.state, State::Running) {
                State::Done(outcome) => self.answer_call(draft, slot, outcome),
                State::Running => self.close_call(draft, &slot.tool, &slot.call_id, INTERRUPTED),
                State::Waiting(_) => self.close_call(draft, &slot.tool, &slot.call_id, NEVER_STARTED),
            }
        }
    }
}
