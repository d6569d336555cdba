//! Messages to the agent, and the user's consent.

use axum::extract::State;
use control::conversations::{Conversations, Said};
use http::StatusCode;
use readmodel::index::Index;
use serde::Deserialize;
use types::calls::Command;
use types::{Content, EventId, Message, Role};

use super::conversation;
use crate::answer::Success;
use crate::auth::Caller;
use crate::conversations::run_fault;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{ConversationPath, Json, Object};
use crate::idempotency::Attempt;
use crate::words;

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct SendMessage {
    #[serde(default)]
    role: Role,
    #[serde(default)]
    #[schema(value_type = Vec<Content>)]
    content: Vec<Object<Content>>,
    #[serde(default)]
    sender: Option<String>,
    /// Whether a run is started.
    #[serde(default)]
    run: bool,
}

/// Adds a user's message.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/events", tag = "Events",
    params(("conversation_id" = Uuid, Path)), request_body = SendMessage,
    responses((status = 200, body = Success), (status = 404, description = "No such conversation"),
        (status = 429, description = "The message is stored, but all run slots are taken")))]
pub(super) async fn send_message(
    State(conversations): State<Conversations>,
    State(index): State<Index>,
    caller: Caller,
    attempt: Attempt,
    path: ConversationPath,
    Json(body): Json<SendMessage>,
) -> ApiResult<Json<Success>> {
    let entry = conversation(&index, &caller, path).await?;
    if body.role != Role::User {
        let msg = "Value error, only a user's messages can be sent to the agent";
        return Err(Problem::new("value_error", &["body", "role"], msg).into());
    }
    let message = Message { role: body.role, content: Object::all(body.content), ..Message::default() };
    let said = conversations.say(&entry, message, body.sender, body.run, attempt.event());
    match said.await.map_err(run_fault)? {
        Said::Done => Ok(Json(Success::YES)),
        Said::WithoutRun => Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, words::message_saved(entry.id))),
    }
}

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct Confirmation {
    accept: bool,
    #[serde(default = "no_reason")]
    reason: String,
    /// The ids of the actions that are meant. Where others wait, or more or fewer, or none, nothing is done (409).
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>)]
    action_ids: Option<Vec<EventId>>,
}

fn no_reason() -> String {
    "User rejected the action.".to_owned()
}

/// Lets the waiting actions run, or refuses them.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/events/respond_to_confirmation", tag = "Events",
    params(("conversation_id" = Uuid, Path)), request_body = Confirmation,
    responses((status = 200, body = Success), (status = 404, description = "No such conversation"),
        (status = 409, description = "Other actions wait than those that are named"),
        (status = 429, description = "All run slots are taken")))]
pub(super) async fn respond_to_confirmation(
    State(conversations): State<Conversations>,
    State(index): State<Index>,
    caller: Caller,
    path: ConversationPath,
    Json(body): Json<Confirmation>,
) -> ApiResult<Json<Success>> {
    let entry = conversation(&index, &caller, path).await?;
    let Confirmation { accept, reason, action_ids: actions } = body;
    conversations.command_that_runs(&entry, Command::Respond { accept, reason, actions }).await?;
    Ok(Json(Success::YES))
}
