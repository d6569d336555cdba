//! Conversations in answers.

use readmodel::index::{ConversationState, View};

use crate::App;
use crate::error::ApiResult;

/// How much of a conversation an answer shows.
#[derive(Clone, Copy, Default)]
pub(super) struct Detail {
    pub(super) include_skills: bool,
    pub(super) runtime: bool,
}

/// Appends one `ConversationInfo`.
pub(super) fn write_info(
    app: &App,
    entry: &ConversationState,
    detail: Detail,
    out: &mut Vec<u8>,
) -> ApiResult<()> {
    let view = View {
        conversations_path: &app.config.conversations_path,
        include_skills: detail.include_skills,
        runtime: detail.runtime,
    };
    Ok(entry.write_info(view, &app.index.children_of(entry.id), out)?)
}
