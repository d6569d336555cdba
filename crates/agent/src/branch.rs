//! Going on from another event: the agent knows the branch of that one from then on, and nothing of the one it leaves.

use types::EventId;
use types::conversation::Status;
use types::event::Classification;
use types::log::Control;

use crate::agent::{Agent, Phase, Run};
use crate::journal::Draft;
use crate::past::Past;
use crate::protocol::Refusal;

const LEFT: &str = "The conversation was taken back to this call, or copied with it. Whether the call was carried out \
before is not known here, and it is not carried out now. Look before you repeat it.";

impl Agent {
    /// Moves HEAD. `past` is what the events on the branch of `to` mean.
    pub(crate) fn navigate(
        &mut self,
        draft: &mut Draft<'_>,
        to: Option<EventId>,
        mut past: Past,
    ) -> Result<(), Refusal> {
        if !matches!(self.phase, Phase::Resting) {
            return Err(Refusal::AlreadyRunning);
        }
        past.go_back();
        self.past = past;
        self.ready.clear();
        self.run = Run::default();
        self.position.move_to(to.clone());
        draft.control(Control::Head { event: to });
        // What is open there may have been carried out on another branch, and is not carried out now.
        if self.status == Status::WaitingForConfirmation {
            self.set_status(draft, Status::Idle);
        }
        Ok(())
    }

    /// Answers the calls that HEAD was moved to, before anything else is done from there: they may have been carried out on
    /// another branch, and none is twice.
    pub(crate) fn close_left_calls(&mut self, draft: &mut Draft<'_>) {
        if !self.past.has_left_calls() {
            return;
        }
        let open: Vec<(String, String)> =
            self.past.view.open_calls().map(|call| (call.tool.clone(), call.call_id.clone())).collect();
        for (tool, call_id) in open {
            let classification = Classification::new("internal", false, "none");
            self.close_call_as(draft, &tool, &call_id, LEFT, classification);
        }
    }
}
