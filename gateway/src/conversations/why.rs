//! Why a conversation does not move.

use axum::extract::State;
use control::conversations::{Conversations, Why};

use crate::auth::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::{ConversationPath, Json};

/// What the conversation waits for.
#[utoipa::path(get, path = "/api/conversations/{conversation_id}/why", tag = "Conversations",
    params(("conversation_id" = uuid::Uuid, Path)),
    responses((status = 200, body = Why), (status = 404, description = "No such conversation")))]
pub(super) async fn get_why(
    State(conversations): State<Conversations>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
) -> ApiResult<Json<Why>> {
    let entry = conversations.get(&caller.tenant, id).ok_or_else(ApiError::not_found)?;
    Ok(Json(conversations.why(&entry).await?))
}
