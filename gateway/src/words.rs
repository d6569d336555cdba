//! What clients are told of a fault: the only place that words it.

use std::borrow::Cow;

use ports::rpc::{Code, Fault, Reason};
use types::ConversationId;

const LATER: &str = "The server cannot do this now. Try again later.";

/// Of stored secrets that no known key opens.
pub(crate) const WRONG_KEY: &str = "Settings file is corrupted or encrypted with a different key: restore that key as \
                                    OH_SECRET_KEY or add it to OH_PREVIOUS_SECRET_KEYS";

/// Of what is stored and cannot be read.
pub(crate) const DAMAGED: &str = "What is stored here cannot be read: it is damaged, or a newer release has written it. It was left as it is.";

/// Of a command of which nobody can say any more what it printed, nor how it ended.
pub(crate) const COMMAND_CLEARED: &str =
    "The command has run. Its events were cleared before they could be read.";

/// Of a fault in general. Nothing of its cause is in it.
pub(crate) fn of(fault: &Fault) -> Cow<'static, str> {
    match fault.reason {
        Some(reason) => of_reason(reason).into(),
        None if fault.public.is_empty() || fault.code == Code::Internal => of_code(fault.code).into(),
        None => fault.public.clone().into(),
    }
}

/// Of a message that is stored although its run cannot begin.
pub(crate) fn message_saved(id: ConversationId) -> String {
    format!(
        "Message saved, but the conversation run limit was reached. Retry POST /api/conversations/{id}/run \
         without resending the message."
    )
}

fn of_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Missing => "Not Found",
        Reason::Changed { .. } => "It was changed by somebody else meanwhile.",
        Reason::AlreadyRunning => "Conversation already running. Wait for completion or pause first.",
        Reason::RunLimit => "Conversation run limit reached. Retry the request later.",
        Reason::MessageSaved => "The message was saved, but no run slot is free. Start the run later.",
        Reason::Overloaded => "Too much is asked at once. Try again later.",
        Reason::Unreachable => "Nobody is there to do this now. Try again later.",
        Reason::ShuttingDown => "The server is shutting down.",
        Reason::Superseded => "Another worker has taken this over. Try again.",
        Reason::SandboxDeleted => "The sandbox of this conversation was deleted.",
        Reason::SandboxStarting => "The sandbox is still starting. Try again later.",
        Reason::WorkerLost => {
            "The sandbox's worker was lost while it worked on this. It may have been done in part or as a whole."
        }
        Reason::OtherRelease => "A part of the server is of another release. Try again later.",
        Reason::TooSlow => "It took too long. Try again later.",
        Reason::TooLate => "The call came too late and was not begun.",
        Reason::Unavailable => LATER,
        Reason::CallTooLarge => {
            "This is more than the server takes at once: a message with its images, or a conversation with its \
             settings, may have just below 8 MiB."
        }
        Reason::AnswerTooLarge => "The answer is too large to be sent.",
        Reason::Defect => "Internal Server Error",
    }
}

/// Where not even whoever refused has said why.
fn of_code(code: Code) -> &'static str {
    match code {
        Code::BadRequest => "Bad Request",
        Code::Forbidden => "Forbidden",
        Code::NotFound => "Not Found",
        Code::Conflict => "Conflict",
        Code::Invalid => "Unprocessable Entity",
        Code::Busy => of_reason(Reason::Overloaded),
        Code::Unavailable | Code::Absent => LATER,
        Code::Full => "Insufficient Storage",
        Code::TooLarge => "Payload Too Large",
        Code::Upstream => "Another server, which was asked for this, has failed.",
        Code::UpstreamSlow => "Another server, which was asked for this, has not answered in time.",
        Code::Internal => of_reason(Reason::Defect),
    }
}
