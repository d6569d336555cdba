//! Branches of a conversation: going on from another of its events.

use axum::extract::State;
use axum::response::Response;
use control::conversations::Conversations;
use http::StatusCode;
use readmodel::index::{ConversationInfo, ConversationState};
use serde::Deserialize;
use types::EventId;

use super::control::run_fault;
use crate::answer::json_bytes;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::{ConversationPath, Json, Query, flag};
use crate::reading::{Detail, Reading};

/// No event has a longer id.
const LONGEST_ID: usize = 256;

#[derive(Deserialize)]
pub(super) struct Shape {
    #[serde(default, deserialize_with = "flag")]
    include_skills: bool,
}

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct NavigateConversationRequest {
    /// The event that the next one is to follow; null: none, the conversation begins anew.
    #[serde(default)]
    event_id: Option<String>,
}

/// Goes on from another event. What comes after it stays in the history, and the agent does not know of it any more.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/navigate", tag = "Conversations",
    params(("conversation_id" = Uuid, Path), ("include_skills" = Option<bool>, Query)),
    request_body = NavigateConversationRequest,
    responses((status = 200, body = ConversationInfo<'static>),
        (status = 404, description = "No such conversation, or no such event in it"),
        (status = 409, description = "A run is active")))]
pub(super) async fn navigate_conversation(
    State(conversations): State<Conversations>,
    State(reading): State<Reading>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
    Query(shape): Query<Shape>,
    Json(body): Json<NavigateConversationRequest>,
) -> ApiResult<Response> {
    let entry = conversations.get(&caller.tenant, id);
    let entry = entry.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "Conversation not found"))?;
    check_length("event_id", body.event_id.as_deref())?;
    conversations.navigate(&entry, body.event_id.map(EventId)).await.map_err(run_fault)?;
    answer(&reading, &entry, StatusCode::OK, shape.include_skills)
}

/// What cannot be an event's id is not looked for.
fn check_length(field: &str, id: Option<&str>) -> ApiResult<()> {
    let Some(id) = id.filter(|id| id.len() > LONGEST_ID) else { return Ok(()) };
    let begin = id.get(..id.floor_char_boundary(LONGEST_ID)).unwrap_or_default();
    Err(ApiError::new(StatusCode::NOT_FOUND, format!("Unknown {field}: {begin}")))
}

fn answer(
    reading: &Reading,
    entry: &ConversationState,
    status: StatusCode,
    include_skills: bool,
) -> ApiResult<Response> {
    let mut out = Vec::with_capacity(8 * 1024);
    reading.write_info(entry, Detail { include_skills, runtime: false }, &mut out)?;
    Ok(json_bytes(status, out))
}
