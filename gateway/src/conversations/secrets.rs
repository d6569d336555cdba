//! A conversation's named secrets.

use std::collections::BTreeMap;

use axum::extract::State;
use control::conversations::Conversations;
use serde::Deserialize;
use serde_json::Value;
use types::secrets::{SecretSource, check_sources};

use crate::answer::Success;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{ConversationPath, Json};

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct UpdateSecrets {
    /// A text, `{value}`, or a source with its `kind`, by name.
    secrets: BTreeMap<String, Value>,
}

/// Adds secrets, or replaces those of the same names.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/secrets", tag = "Conversations",
    params(("conversation_id" = Uuid, Path)), request_body = UpdateSecrets,
    responses((status = 200, body = Success), (status = 404, description = "No such conversation")))]
pub(super) async fn update_secrets(
    State(conversations): State<Conversations>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
    Json(body): Json<UpdateSecrets>,
) -> ApiResult<Json<Success>> {
    let secrets = sources(body.secrets)?;
    let entry = conversations.get(&caller.tenant, id).ok_or_else(ApiError::not_found)?;
    conversations.add_secrets(&entry, secrets).await?;
    Ok(Json(Success::YES))
}

/// Named secrets of a creation, where a source has to be an object.
pub(super) fn typed_sources(given: BTreeMap<String, Value>) -> ApiResult<BTreeMap<String, SecretSource>> {
    match given.iter().find(|(_, value)| !value.is_object()) {
        Some((name, _)) => Err(Problem::object_needed(&["body", "secrets", name]).into()),
        None => sources(given),
    }
}

/// Named secrets as clients send them.
pub(super) fn sources(given: BTreeMap<String, Value>) -> ApiResult<BTreeMap<String, SecretSource>> {
    let mut sources = BTreeMap::new();
    for (name, value) in given {
        if !value.is_object() && !value.is_string() {
            return Err(Problem::object_needed(&["body", "secrets", &name]).into());
        }
        match SecretSource::from_client(value) {
            Ok(source) => sources.insert(name, source),
            Err(why) => {
                let msg = format!("Value error, {why}");
                return Err(Problem::new("value_error", &["body", "secrets", &name], msg).into());
            }
        };
    }
    check_together(&sources)?;
    Ok(sources)
}

/// Refuses what is more than a conversation may have.
pub(super) fn check_together(sources: &BTreeMap<String, SecretSource>) -> ApiResult<()> {
    check_sources(sources).map_err(refused)
}

fn refused(why: String) -> ApiError {
    Problem::new("value_error", &["body", "secrets"], format!("Value error, {why}")).into()
}
