//! What was under way is over: after a crash, or because the log refused what came next.

use types::conversation::Status;
use types::event::Classification;
use types::log::Control;

use crate::agent::{Agent, Phase};
use crate::journal::Draft;

const OUTCOME_UNKNOWN: &str = "The server stopped while this tool call was under way. The call was interrupted and \
its outcome is unknown: it may have taken effect in part or as a whole. Check before you repeat it.";

const NOT_STORED: &str = "The result of this tool call could not be stored. It may have taken effect.";

/// Calls that are closed with one append in a log that has little room.
const TOGETHER: usize = 8;

/// Why a log does not take what a run would add, in words for the user.
pub enum GivenUp<'a> {
    NoRoom(&'a str),
    NotStorable(&'a str),
}

impl GivenUp<'_> {
    const fn code_and_detail(&self) -> (&str, &str) {
        match self {
            Self::NoRoom(why) => ("StorageFull", why),
            Self::NotStorable(why) => ("StorageError", why),
        }
    }
}

pub fn close_what_crashed(agent: &mut Agent, draft: &mut Draft<'_>) {
    close(agent, draft, OUTCOME_UNKNOWN, None);
}

pub fn close_what_was_refused(agent: &mut Agent, draft: &mut Draft<'_>, why: &GivenUp<'_>) {
    close(agent, draft, NOT_STORED, Some(why));
}

fn close(agent: &mut Agent, draft: &mut Draft<'_>, outcome: &str, why: Option<&GivenUp<'_>>) {
    if !matches!(agent.phase, Phase::Resting) {
        return;
    }
    let open: Vec<(String, String)> = match agent.status {
        // They wait for the user, as they should.
        Status::WaitingForConfirmation => Vec::new(),
        // They were not under way when the server stopped; the next run closes them.
        _ if agent.past.has_left_calls() => Vec::new(),
        _ => agent.past.view.open_calls().map(|call| (call.tool.clone(), call.call_id.clone())).collect(),
    };
    if agent.status != Status::Running && open.is_empty() {
        return;
    }
    if agent.status == Status::Running {
        agent.set_status(draft, Status::Error);
    }
    for (at, (tool, call_id)) in open.into_iter().enumerate() {
        if why.is_some() && at > 0 && at.is_multiple_of(TOGETHER) {
            draft.cut();
        }
        let classification = Classification::new("internal", false, "none");
        agent.close_call_as(draft, &tool, &call_id, outcome, classification);
    }
    if let Some((code, detail)) = why.map(GivenUp::code_and_detail) {
        agent.record_failure(draft, code, detail);
    }
    draft.control(Control::RunEnded {});
}
