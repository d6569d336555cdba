//! Why a conversation does not move.

use axum::extract::State;
use control::conversations::{Conversations, Why};

use crate::auth::{Caller, Right};
use crate::error::{ApiError, ApiResult};
use crate::extract::{ConversationPath, Json};

/// What the conversation waits for. The last lines of a worker that ended are shown to administrators.
#[utoipa::path(get, path = "/api/conversations/{conversation_id}/why", tag = "Conversations",
    params(("conversation_id" = uuid::Uuid, Path)),
    responses((status = 200, body = Why), (status = 404, description = "No such conversation")))]
pub(super) async fn get_why(
    State(conversations): State<Conversations>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
) -> ApiResult<Json<Why>> {
    let entry = conversations.get(&caller.tenant, id).await?.ok_or_else(ApiError::not_found)?;
    let mut why = conversations.why(&entry).await?;
    if let Some(failure) = why.failure.as_mut().filter(|_| !caller.may(Right::Admin)) {
        failure.log.clear();
    }
    Ok(Json(why))
}
