//! Driving a conversation: run, pause, interrupt, and what it may do by itself.

use axum::extract::State;
use control::conversations::{Conversations, QUICK};
use ports::rpc::{Fault, Reason};
use serde::Deserialize;
use serde_json::Value;
use types::calls::Command;
use types::policy::{ConfirmationPolicy, SecurityAnalyzer};

use crate::answer::Success;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{ConversationPath, Json, Object};

/// Starts a run. The answer comes once the run is seen to be running.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/run", tag = "Conversations",
    params(("conversation_id" = Uuid, Path)),
    responses((status = 200, body = Success), (status = 404, description = "No such conversation"),
        (status = 409, description = "A run is active"), (status = 429, description = "All run slots are taken")))]
pub(super) async fn run_conversation(
    State(conversations): State<Conversations>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
) -> ApiResult<Json<Success>> {
    let entry = conversations.get(&caller.tenant, id).await?.ok_or_else(ApiError::not_found)?;
    conversations.run(&entry).await.map_err(run_fault)?;
    Ok(Json(Success::YES))
}

/// A fault of a first message that had waited: to whoever asked for something else it is all the same that the
/// message is stored by now.
pub(crate) fn run_fault(fault: Fault) -> ApiError {
    match fault.reason {
        Some(Reason::MessageSaved) => Fault::from(Reason::RunLimit).into(),
        _ => fault.into(),
    }
}

/// Pauses after the step that is being taken.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/pause", tag = "Conversations",
    params(("conversation_id" = Uuid, Path)),
    responses((status = 200, body = Success), (status = 404, description = "No such conversation")))]
pub(super) async fn pause_conversation(
    State(conversations): State<Conversations>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
) -> ApiResult<Json<Success>> {
    let paused = stop(&conversations, &caller, id, Command::Pause {}).await?;
    conversations.rest(id);
    Ok(paused)
}

/// Stops at once: a model call is dropped, a tool call is interrupted.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/interrupt", tag = "Conversations",
    params(("conversation_id" = Uuid, Path)),
    responses((status = 200, body = Success), (status = 404, description = "No such conversation")))]
pub(super) async fn interrupt_conversation(
    State(conversations): State<Conversations>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
) -> ApiResult<Json<Success>> {
    stop(&conversations, &caller, id, Command::Interrupt {}).await
}

async fn stop(
    conversations: &Conversations,
    caller: &Caller,
    id: types::ConversationId,
    command: Command,
) -> ApiResult<Json<Success>> {
    let entry = conversations.get(&caller.tenant, id).await?.ok_or_else(ApiError::not_found)?;
    conversations.stop(&entry, command).await?;
    Ok(Json(Success::YES))
}

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct SetConfirmationPolicy {
    #[schema(value_type = ConfirmationPolicy)]
    policy: Object<ConfirmationPolicy>,
}

/// Sets when actions wait for the user.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/confirmation_policy", tag = "Conversations",
    params(("conversation_id" = Uuid, Path)), request_body = SetConfirmationPolicy,
    responses((status = 200, body = Success), (status = 404, description = "No such conversation")))]
pub(super) async fn set_confirmation_policy(
    State(conversations): State<Conversations>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
    Json(body): Json<SetConfirmationPolicy>,
) -> ApiResult<Json<Success>> {
    let entry = conversations.get(&caller.tenant, id).await?.ok_or_else(ApiError::not_found)?;
    conversations.command(&entry, Command::SetConfirmationPolicy { policy: body.policy.0 }, QUICK).await?;
    Ok(Json(Success::YES))
}

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct SetSecurityAnalyzer {
    /// The key is required.
    #[schema(value_type = Option<SecurityAnalyzer>, required = true)]
    security_analyzer: Value,
}

/// Sets who judges the risk of actions.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/security_analyzer", tag = "Conversations",
    params(("conversation_id" = Uuid, Path)), request_body = SetSecurityAnalyzer,
    responses((status = 200, body = Success), (status = 404, description = "No such conversation")))]
pub(super) async fn set_security_analyzer(
    State(conversations): State<Conversations>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
    Json(body): Json<SetSecurityAnalyzer>,
) -> ApiResult<Json<Success>> {
    let analyzer = analyzer(body.security_analyzer)?;
    let entry = conversations.get(&caller.tenant, id).await?.ok_or_else(ApiError::not_found)?;
    conversations.command(&entry, Command::SetSecurityAnalyzer { analyzer }, QUICK).await?;
    Ok(Json(Success::YES))
}

/// An analyzer as clients send it.
pub(super) fn analyzer(value: Value) -> ApiResult<Option<SecurityAnalyzer>> {
    let loc = ["body", "security_analyzer"];
    if !value.is_null() && !value.is_object() {
        return Err(Problem::object_needed(&loc).into());
    }
    serde_json::from_value(value).map_err(|_| {
        let msg = "Value error, the only analyzer of this server is 'LLMSecurityAnalyzer'";
        Problem::new("value_error", &loc, msg).into()
    })
}
