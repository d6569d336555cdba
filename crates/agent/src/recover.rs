//! After a crash: what was under way is over.

use types::conversation::Status;
use types::event::Classification;
use types::log::Control;

use crate::agent::{Agent, Phase};
use crate::journal::Draft;

const OUTCOME_UNKNOWN: &str = "The server stopped while this tool call was under way. The call was interrupted and \
its outcome is unknown: it may have taken effect in part or as a whole. Check before you repeat it.";

pub fn close_what_crashed(agent: &mut Agent, draft: &mut Draft<'_>) {
    if !matches!(agent.phase, Phase::Resting) {
        return;
    }
    let open: Vec<(String, String)> = match agent.status {
        // They wait for the user, as they should.
        Status::WaitingForConfirmation => Vec::new(),
        _ => agent.view.open_calls().map(|call| (call.tool.clone(), call.call_id.clone())).collect(),
    };
    if agent.status != Status::Running && open.is_empty() {
        return;
    }
    if agent.status == Status::Running {
        agent.set_status(draft, Status::Error);
    }
    for (tool, call_id) in open {
        let classification = Classification::new("internal", false, "none");
        agent.close_call_as(draft, &tool, &call_id, OUTCOME_UNKNOWN, classification);
    }
    draft.control(Control::RunEnded {});
}
