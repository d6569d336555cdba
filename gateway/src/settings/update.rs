//! A change of settings.

use axum::extract::State;
use control::setup::{SettingsChange, Setups};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::SettingsResponse;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Json, check_profile_name};

const NOTHING: &str = "At least one of agent_settings_diff, conversation_settings_diff, misc_settings_diff, active_profile, \
                       active_agent_profile_id, or active_meta_profile must be provided";

const ID_PATTERN: &str = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$";

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct SettingsUpdateRequest {
    agent_settings_diff: Option<Map<String, Value>>,
    conversation_settings_diff: Option<Map<String, Value>>,
    misc_settings_diff: Option<Map<String, Value>>,
    /// The name of an LLM profile, or null for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    active_profile: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, pattern = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$")]
    active_agent_profile_id: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    active_meta_profile: Option<Option<String>>,
}

/// Changes settings in parts: all of them, or none. Secrets are masked in the answer whatever is asked.
#[utoipa::path(patch, path = "/api/settings", tag = "Settings", request_body = SettingsUpdateRequest,
    responses((status = 200, body = SettingsResponse), (status = 400, description = "There is nothing to change"),
        (status = 404, description = "No such profile")))]
pub(super) async fn update_settings(
    State(setups): State<Setups>,
    caller: Caller,
    Json(body): Json<SettingsUpdateRequest>,
) -> ApiResult<Json<SettingsResponse>> {
    let settings = setups.change_settings(&caller.tenant, &body.into_change()?).await?;
    Ok(Json(settings.into()))
}

impl SettingsUpdateRequest {
    fn into_change(self) -> ApiResult<SettingsChange> {
        check_name(self.active_profile.as_ref(), "active_profile")?;
        let active_agent_profile_id = self.active_agent_profile_id.map(profile_id).transpose()?;
        check_name(self.active_meta_profile.as_ref(), "active_meta_profile")?;
        let change = SettingsChange {
            agent: self.agent_settings_diff,
            conversation: self.conversation_settings_diff,
            misc: self.misc_settings_diff,
            active_profile: self.active_profile,
            active_agent_profile_id,
            active_meta_profile: self.active_meta_profile,
        };
        if change.is_nothing() { Err(ApiError::bad_request(NOTHING)) } else { Ok(change) }
    }
}

fn check_name(name: Option<&Option<String>>, field: &str) -> ApiResult<()> {
    match name {
        Some(Some(name)) => check_profile_name(name, &["body", field]),
        _ => Ok(()),
    }
}

/// With dashes only.
fn profile_id(text: Option<String>) -> ApiResult<Option<Uuid>> {
    let Some(text) = text else { return Ok(None) };
    let id = Uuid::parse_str(&text).ok().filter(|id| id.to_string().eq_ignore_ascii_case(&text));
    let wrong = || Problem::mismatch(&["body", "active_agent_profile_id"], ID_PATTERN);
    id.map(Some).ok_or_else(|| wrong().into())
}

/// What is null was given, too.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
