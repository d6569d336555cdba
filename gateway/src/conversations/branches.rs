//! Branches of a conversation: going on from another of its events, in it or in a copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use control::conversations::{Conversations, Fork, Forked};
use http::StatusCode;
use readmodel::index::{ConversationInfo, ConversationState};
use serde::Deserialize;
use types::conversation::TITLE_CHARS;
use types::{ConversationId, EventId};
use uuid::Uuid;

use super::control::run_fault;
use super::update::check_tags;
use crate::answer::json_bytes;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{ConversationPath, Json, Object, Query, flag};
use crate::idempotency::Attempt;
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
    let entry = conversations.get(&caller.tenant, id).await?;
    let entry = entry.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "Conversation not found"))?;
    check_length("event_id", body.event_id.as_deref())?;
    conversations.navigate(&entry, body.event_id.map(EventId)).await.map_err(run_fault)?;
    answer(&reading, &entry, StatusCode::OK, shape.include_skills)
}

#[derive(Default, Deserialize, utoipa::ToSchema)]
pub(super) struct ForkConversationRequest {
    /// The copy's.
    #[serde(default)]
    id: Option<Uuid>,
    #[serde(default)]
    #[schema(max_length = 200)]
    title: Option<String>,
    #[serde(default)]
    tags: Option<BTreeMap<String, String>>,
    /// Whether the copy has cost nothing yet; true if it is not given.
    #[serde(default)]
    reset_metrics: Option<bool>,
    /// Only what leads to this event is copied.
    #[serde(default)]
    from_event_id: Option<String>,
}

/// Copies a conversation, or what leads to one of its events. The copy rests, has no title and no tags but those given, and
/// works in the same workspace.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/fork", tag = "Conversations",
    params(("conversation_id" = Uuid, Path), ("include_skills" = Option<bool>, Query)),
    request_body = ForkConversationRequest,
    responses((status = 201, body = ConversationInfo<'static>),
        (status = 404, description = "No such conversation, or no such event in it"),
        (status = 409, description = "There is a conversation with this id"),
        (status = 503, description = "A conversation of this id is being made, or was cut off while it was"),
        (status = 507, description = "There is no room for it")))]
pub(super) async fn fork_conversation(
    State(conversations): State<Conversations>,
    State(reading): State<Reading>,
    caller: Caller,
    attempt: Attempt,
    ConversationPath(id): ConversationPath,
    Query(shape): Query<Shape>,
    body: Option<Json<Option<Object<ForkConversationRequest>>>>,
) -> ApiResult<Response> {
    let body = body.and_then(|Json(body)| body).map(Object::into_inner).unwrap_or_default();
    let source = conversations.get(&caller.tenant, id).await?;
    let source =
        source.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "Source conversation not found"))?;
    let of_attempts =
        body.id.map(ConversationId).filter(|_| attempt.is_repeated()).or(attempt.conversation());
    let made_before = async || made(&conversations, &caller, id, of_attempts).await;
    if let Some(entry) = made_before().await? {
        return answer(&reading, &entry, StatusCode::CREATED, shape.include_skills);
    }
    let fork = body.into_fork(attempt.conversation())?;
    match conversations.fork(&source, fork).await.map_err(run_fault)? {
        Forked::Made(entry) => answer(&reading, &entry, StatusCode::CREATED, shape.include_skills),
        Forked::Taken(id) => {
            // An earlier attempt may have ended meanwhile.
            if let Some(entry) = made_before().await? {
                return answer(&reading, &entry, StatusCode::CREATED, shape.include_skills);
            }
            let taken = format!("Conversation with id {id} already exists");
            Err(ApiError::new(StatusCode::CONFLICT, taken))
        }
        Forked::UnknownEvent(id) => {
            Err(ApiError::new(StatusCode::NOT_FOUND, format!("Unknown from_event_id: {id}")))
        }
    }
}

/// The copy that an earlier attempt has made.
async fn made(
    conversations: &Conversations,
    caller: &Caller,
    source: ConversationId,
    copy: Option<ConversationId>,
) -> ApiResult<Option<Arc<ConversationState>>> {
    let Some(copy) = copy else { return Ok(None) };
    let stored = conversations.made_before(&caller.tenant, copy).await?;
    Ok(stored.filter(|entry| entry.record().forked_from_conversation_id == Some(source)))
}

impl ForkConversationRequest {
    fn into_fork(self, attempted: Option<ConversationId>) -> ApiResult<Fork> {
        if self.title.as_ref().is_some_and(|title| title.chars().count() > TITLE_CHARS) {
            let msg = "String should have at most 200 characters";
            return Err(Problem::new("string_too_long", &["body", "title"], msg).into());
        }
        let tags = self.tags.unwrap_or_default();
        check_tags(&tags)?;
        check_length("from_event_id", self.from_event_id.as_deref())?;
        Ok(Fork {
            id: self.id.map(ConversationId).or(attempted),
            title: self.title,
            tags,
            keeps_costs: self.reset_metrics == Some(false),
            from_event: self.from_event_id.map(EventId),
        })
    }
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
