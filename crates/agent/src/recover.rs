//! What was under way is over: after a crash, or because the log takes no more.

use types::conversation::Status;
use types::event::Classification;
use types::log::Control;

use crate::agent::{Agent, Phase};
use crate::journal::Draft;

const OUTCOME_UNKNOWN: &str = "The server stopped while this tool call was under way. The call was interrupted and \
its outcome is unknown: it may have taken effect in part or as a whole. Check before you repeat it.";

const NOT_STORED: &str = "The result of this tool call could not be stored. It may have taken effect.";

const NO_ROOM: &str = "StorageFull";

pub fn close_what_crashed(agent: &mut Agent, draft: &mut Draft<'_>) {
    close(agent, draft, OUTCOME_UNKNOWN, None);
}

/// `why`: for the user.
pub fn close_what_has_no_room(agent: &mut Agent, draft: &mut Draft<'_>, why: &str) {
    close(agent, draft, NOT_STORED, Some(why));
}

fn close(agent: &mut Agent, draft: &mut Draft<'_>, outcome: &str, no_room: Option<&str>) {
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
        agent.close_call_as(draft, &tool, &call_id, outcome, classification);
    }
    if let Some(why) = no_room {
        agent.record_failure(draft, NO_ROOM, why);
    }
    draft.control(Control::RunEnded {});
}
