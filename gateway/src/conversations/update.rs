//! Renaming, tagging and deleting.

use std::collections::BTreeMap;

use axum::extract::State;
use control::conversations::{Conversations, QUICK};
use serde::Deserialize;
use types::announced::MOST_BYTES;
use types::calls::Command;
use types::conversation::TITLE_CHARS;

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
    #[schema(min_length = 1, max_length = 200)]
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
    State(conversations): State<Conversations>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
    Json(body): Json<UpdateConversation>,
) -> ApiResult<Json<Success>> {
    let title = body.title.as_deref().map(title).transpose()?;
    if let Some(tags) = &body.tags {
        check_tags(tags)?;
    }
    let entry = conversations.get(&caller.tenant, id).await?.ok_or_else(ApiError::not_found)?;
    if let Some(title) = title {
        conversations.rename(&entry, title).await?;
    }
    if let Some(tags) = body.tags {
        conversations.command(&entry, Command::SetTags { tags }, QUICK).await?;
    }
    Ok(Json(Success::YES))
}

fn title(title: &str) -> ApiResult<&str> {
    let problem = |kind, msg: &str| Err(Problem::new(kind, &["body", "title"], msg).into());
    let trimmed = title.trim();
    if title.is_empty() {
        return Err(Problem::empty(&["body", "title"]).into());
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
    State(conversations): State<Conversations>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
) -> ApiResult<Json<Success>> {
    if !conversations.delete(&caller.tenant, id).await? {
        return Err(ApiError::not_found());
    }
    Ok(Json(Success::YES))
}
