//! Creating a conversation.

use axum::extract::State;
use axum::response::Response;
use control::conversations::{Conversations, CreateOutcome};
use control::launch::Launch;
use http::{HeaderMap, StatusCode};
use readmodel::index::{ConversationInfo, ConversationState};
use serde::Deserialize;
use types::ConversationId;

use super::control::run_fault;
use super::create_body::{StartConversation, StartConversationRequest};
use super::trace_headers;
use crate::answer::json_bytes;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::{Json, Query, flag};
use crate::front::Front;
use crate::idempotency::Attempt;
use crate::offer::Offer;
use crate::reading::{Detail, Reading};
use crate::schema::conversation::TraceHeaders;

#[derive(Deserialize)]
pub(super) struct Shape {
    #[serde(default, deserialize_with = "flag")]
    include_skills: bool,
}

/// Creates a conversation, or answers the one that has the given id.
#[utoipa::path(post, path = "/api/conversations", tag = "Conversations",
    params(("include_skills" = Option<bool>, Query), TraceHeaders), request_body = StartConversationRequest,
    responses((status = 201, body = ConversationInfo<'static>, description = "A new conversation"),
        (status = 200, body = ConversationInfo<'static>, description = "The one with this id"),
        (status = 404, description = "No such agent profile"),
        (status = 409, description = "The id cannot be used"),
        (status = 422, description = "Something in the body cannot be"),
        (status = 429, description = "All run slots are taken")))]
#[expect(clippy::too_many_arguments, reason = "each names a part of the request or a handle")]
pub(super) async fn start_conversation(
    State(conversations): State<Conversations>,
    State(reading): State<Reading>,
    State(offer): State<Offer>,
    State(launch): State<Launch>,
    State(front): State<Front>,
    caller: Caller,
    attempt: Attempt,
    Query(shape): Query<Shape>,
    headers: HeaderMap,
    Json(mut body): Json<StartConversation>,
) -> ApiResult<Response> {
    trace_headers::check(&headers)?;
    let given = body.conversation_id.map(ConversationId);
    let detail = Detail { include_skills: shape.include_skills, runtime: false };
    // One that an earlier attempt made is as new to the client as one that is made now.
    let (id, found) = match given {
        Some(id) => (Some(id), StatusCode::OK),
        None => (attempt.conversation(), StatusCode::CREATED),
    };
    if let Some(id) = id
        && let Some(entry) = conversations.made_before(&caller.tenant, id).await.map_err(run_fault)?
    {
        conversations.complete(&entry).await.map_err(run_fault)?;
        return answer(&reading, &entry, found, detail);
    }
    let alone = body.wants_its_own_sandbox();
    let apart = body.take_apart()?;
    let new = id.unwrap_or_else(ConversationId::random);
    let launched = body.launched(&launch, &offer, &caller.tenant).await?;
    let own_urls = front.own_urls(&headers);
    let record = body.into_record(&offer, &conversations, &own_urls, launched, caller.tenant, new).await?;
    let created = match apart {
        None => conversations.create(record, alone, id.is_some()).await,
        Some(apart) => conversations.create_apart(record, alone, id.is_some(), apart).await,
    };
    match created.map_err(run_fault)? {
        CreateOutcome::New(entry) => answer(&reading, &entry, StatusCode::CREATED, detail),
        CreateOutcome::Existing(entry) => answer(&reading, &entry, found, detail),
        CreateOutcome::Taken => Err(ApiError::new(StatusCode::CONFLICT, "This id cannot be used")),
    }
}

fn answer(
    reading: &Reading,
    entry: &ConversationState,
    status: StatusCode,
    detail: Detail,
) -> ApiResult<Response> {
    let mut out = Vec::with_capacity(8 * 1024);
    reading.write_info(entry, detail, &mut out)?;
    Ok(json_bytes(status, out))
}
