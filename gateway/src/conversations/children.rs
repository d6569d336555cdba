//! Conversations that another one starts.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control::conversations::{Child, Conversations, Isolation};
use http::StatusCode;
use readmodel::index::ConversationState;
use serde::{Deserialize, Serialize};
use serde_json::json;
use types::ConversationId;
use types::conversation::{Status, clean_title};

use super::control::run_fault;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{ConversationPath, Json};
use crate::idempotency::Attempt;

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct StartChildConversationRequest {
    /// The first message that the child is sent.
    #[schema(min_length = 1)]
    task: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    isolation: Isolation,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct StartChildConversationResponse {
    conversation_id: ConversationId,
    parent_conversation_id: ConversationId,
    status: Status,
    title: Option<String>,
    /// Always null: it is where this server is.
    url: Option<String>,
    /// The folder that it works in.
    workspace: String,
    /// What it is: where there is no repository, the folder is shared.
    isolation: Isolation,
}

/// Starts a conversation with the agent, the secrets and the settings of this one, and a task.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/children", tag = "Conversations",
    params(("conversation_id" = Uuid, Path)), request_body = StartChildConversationRequest,
    responses((status = 201, body = StartChildConversationResponse),
        (status = 404, description = "No such conversation"),
        (status = 422, description = "There is no task"),
        (status = 429, description = "All run slots are taken")))]
pub(super) async fn start_child_conversation(
    State(conversations): State<Conversations>,
    caller: Caller,
    attempt: Attempt,
    ConversationPath(id): ConversationPath,
    Json(body): Json<StartChildConversationRequest>,
) -> ApiResult<Response> {
    if body.task.is_empty() {
        let ctx = Some(json!({"min_length": 1}));
        return Err(Problem { ctx, ..Problem::empty(&["body", "task"]) }.into());
    }
    let parent = conversations.get(&caller.tenant, id).await?;
    let parent =
        parent.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "Parent conversation not found"))?;
    // One that an earlier attempt made.
    if let Some(made) = attempt.conversation()
        && let Some(entry) = conversations.made_before(&caller.tenant, made).await.map_err(run_fault)?
    {
        conversations.complete(&entry).await.map_err(run_fault)?;
        return Ok(started(id, &entry));
    }
    let title = body.title.as_deref().and_then(clean_title);
    let StartChildConversationRequest { task, isolation, .. } = body;
    let child = Child { id: attempt.conversation(), task, title, isolation };
    let entry = conversations.start_child(&parent, child).await.map_err(run_fault)?;
    Ok(started(id, &entry))
}

fn started(parent: ConversationId, entry: &ConversationState) -> Response {
    let record = entry.record();
    let answer = StartChildConversationResponse {
        conversation_id: entry.id,
        parent_conversation_id: parent,
        status: entry.status(),
        title: record.title.clone(),
        url: None,
        workspace: record.workspace.working_dir.clone(),
        isolation: Isolation::of(&record),
    };
    (StatusCode::CREATED, Json(answer)).into_response()
}
