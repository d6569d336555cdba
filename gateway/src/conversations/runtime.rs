//! Whether what a conversation runs in is at hand.

use axum::extract::State;
use readmodel::index::RuntimeInfo;

use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extract::{ConversationPath, Json};
use crate::reading::Reading;

/// How the conversation's runtime is.
#[utoipa::path(get, path = "/api/conversations/{conversation_id}/runtime", tag = "Conversations",
    params(("conversation_id" = uuid::Uuid, Path)),
    responses((status = 200, body = RuntimeInfo), (status = 404, description = "No such conversation")))]
pub(super) async fn get_runtime(
    State(reading): State<Reading>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
) -> ApiResult<Json<RuntimeInfo>> {
    let entry = reading.get(&caller, id).await?;
    Ok(Json(reading.runtime(&entry)))
}

/// Asks for the conversation's runtime to be made anew. That is done when a call needs it, and so not here.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/runtime/reprovision", tag = "Conversations",
    params(("conversation_id" = uuid::Uuid, Path)),
    responses((status = 200, body = RuntimeInfo), (status = 404, description = "No such conversation")))]
pub(super) async fn reprovision_runtime(
    State(reading): State<Reading>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
) -> ApiResult<Json<RuntimeInfo>> {
    let entry = reading.get(&caller, id).await?;
    Ok(Json(reading.runtime(&entry)))
}
