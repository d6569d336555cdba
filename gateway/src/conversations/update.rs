//! Renaming, tagging and deleting.

use std::collections::BTreeMap;

use axum::extract::State;
use readmodel::index::ConversationState;
use serde::Deserialize;
use types::announced::MOST_BYTES;
use types::calls::Command;
use types::conversation::TITLE_CHARS;
use types::{ConversationId, TenantId};

use super::drive::{self, QUICK};
use crate::App;
use crate::answer::Success;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{ConversationPath, Json};

const TAG_CHARS: usize = 256;
/// What a tag takes up beside its letters, at most.
const TAG_OVERHEAD: usize = 64;

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct UpdateConversation {
    #[serde(default)]
    title: Option<String>,
    /// Replace all tags.
    #[serde(default)]
    tags: Option<BTreeMap<String, String>>,
}

/// Changes title and tags.
#[utoipa::path(patch, path = "/api/conversations/{conversation_id}", tag = "Conversations",
    params(("conversation_id" = Uuid, Path)), request_body = UpdateConversation,
    responses((status = 200, body = Success), (status = 404, description = "No such conversation")))]
pub(super) async fn update_conversation(
    State(app): State<App>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
    Json(body): Json<UpdateConversation>,
) -> ApiResult<Json<Success>> {
    let title = body.title.as_deref().map(title).transpose()?;
    if let Some(tags) = &body.tags {
        check_tags(tags)?;
    }
    let entry = app.index.get(&caller.tenant, id).ok_or_else(ApiError::not_found)?;
    if let Some(title) = title {
        app.index
            .update(id, |record| {
                record.title = Some(title.to_owned());
                true
            })
            .await?;
    }
    if let Some(tags) = body.tags {
        drive::command(&app, &entry, Command::SetTags { tags }, QUICK).await?;
    }
    Ok(Json(Success::YES))
}

fn title(title: &str) -> ApiResult<&str> {
    let problem = |kind, msg: &str| Err(Problem::new(kind, &["body", "title"], msg).into());
    let trimmed = title.trim();
    if title.is_empty() {
        return problem("string_too_short", "String should have at least 1 character");
    }
    if title.chars().count() > TITLE_CHARS {
        return problem("string_too_long", "String should have at most 200 characters");
    }
    if trimmed.is_empty() {
        return problem("value_error", "Value error, title must not be blank");
    }
    Ok(trimmed)
}

/// Keys are lower-case letters and digits, values are short, and all together have room in a projection.
pub(super) fn check_tags(tags: &BTreeMap<String, String>) -> ApiResult<()> {
    let problem = |msg: String| Err(Problem::new("value_error", &["body", "tags"], msg).into());
    let bytes = serde_json::to_string(tags)?.len() + tags.len() * TAG_OVERHEAD;
    if bytes > MOST_BYTES {
        return problem(format!("Value error, tags have at most {MOST_BYTES} bytes together"));
    }
    for (key, value) in tags {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if key.is_empty() || !key.bytes().all(plain) {
            return problem("Value error, tag keys must be lowercase alphanumeric only".to_owned());
        }
        if value.chars().count() > TAG_CHARS {
            return problem(format!("Value error, tag values have at most {TAG_CHARS} characters"));
        }
    }
    Ok(())
}

/// Deletes the conversation and its events; its workspace stays.
#[utoipa::path(delete, path = "/api/conversations/{conversation_id}", tag = "Conversations",
    params(("conversation_id" = Uuid, Path)),
    responses((status = 200, body = Success), (status = 404, description = "No such conversation")))]
pub(super) async fn delete_conversation(
    State(app): State<App>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
) -> ApiResult<Json<Success>> {
    if !delete(&app, &caller.tenant, id).await? {
        return Err(ApiError::not_found());
    }
    Ok(Json(Success::YES))
}

/// Whether the tenant had one to delete. Goes on to its end also when the client does not wait for it.
pub(super) async fn delete(app: &App, tenant: &TenantId, id: ConversationId) -> ApiResult<bool> {
    let (app, tenant) = (app.clone(), tenant.clone());
    let tasks = app.tasks.clone();
    let deleting = tasks.spawn(async move {
        let Some(sandbox) = app.index.get(&tenant, id).map(|entry| entry.log.sandbox().clone()) else {
            return Ok(false);
        };
        let there_was = app.index.delete(&tenant, id, async |entry| forget(&app, entry).await).await?;
        if let Err(error) = app.placement.left(&sandbox, id).await {
            tracing::warn!(conversation.id = %id, %error, "a sandbox that nobody needs is left behind");
        }
        app.models.forget(id).await;
        Ok(there_was)
    });
    deleting.await.map_err(ApiError::internal)?
}

async fn forget(app: &App, entry: &ConversationState) -> ApiResult<()> {
    entry.pulse.touch();
    match drive::forget(app, entry).await {
        // A worker that is not there writes nothing either.
        Err(fault) if !drive::is_absent(&fault) => Err(fault.into()),
        _ => Ok(()),
    }
}
