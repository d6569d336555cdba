//! What a webhook is told, as clients see it.

use std::path::Path;

use readmodel::index::{ConversationState, View};
use serde_json::Value;
use types::EventId;
use types::conversation::Status;
use uuid::Uuid;

/// The conversation itself, as it is now.
///
/// # Errors
/// Those of the serializer.
pub(super) fn conversation(
    entry: &ConversationState,
    path: &Path,
    include_skills: bool,
) -> serde_json::Result<Vec<u8>> {
    let view = View { conversations_path: path, include_skills, runtime: None };
    let mut body = Vec::new();
    entry.write_info(view, &[], &mut body)?;
    Ok(body)
}

/// The same of one that is being deleted.
///
/// # Errors
/// Those of the serializer.
pub(super) fn end(entry: &ConversationState, path: &Path) -> serde_json::Result<Value> {
    let mut info: Value = serde_json::from_slice(&conversation(entry, path, false)?)?;
    if let Some(status) = info.get_mut("execution_status") {
        *status = serde_json::to_value(Status::Deleting)?;
    }
    Ok(info)
}

/// The event that tells of the whole state before all others. It has the same id whenever it is told.
pub(super) fn snapshot(entry: &ConversationState, path: &Path) -> String {
    const FIRST: u128 = 0x5741_7465 << 96;
    let id = EventId(Uuid::from_u128(entry.id.0.as_u128() ^ FIRST).hyphenated().to_string());
    readmodel::index::full_state(&id, &entry.snapshot(path))
}

/// Where the events of a conversation go.
pub(super) fn events_path(id: types::ConversationId) -> String {
    format!("events/{}", id.hex())
}

/// Where conversations go.
pub(super) const CONVERSATIONS: &str = "conversations";
