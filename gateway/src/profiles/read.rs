//! LLM profiles as they are.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control::setup::{LlmProfileListed, Setups};
use serde::Serialize;
use serde_json::Value;

use crate::auth::Caller;
use crate::error::ApiResult;
use crate::expose::{Expose, HEADERS};
use crate::extract::{Json, Path, check_profile_path};

/// A profile in a list.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ProfileInfo {
    name: String,
    model: Option<String>,
    base_url: Option<String>,
    provider_connection_id: Option<String>,
    /// The connection that it names is not there.
    provider_connection_broken: bool,
    /// Its own key or that of its connection.
    api_key_set: bool,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ProfileListResponse {
    profiles: Vec<ProfileInfo>,
    active_profile: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ProfileDetailResponse {
    name: String,
    config: Value,
    api_key_set: bool,
}

/// The LLM profiles, and which of them is active.
#[utoipa::path(get, path = "/api/profiles", tag = "Profiles", responses((status = 200, body = ProfileListResponse)))]
pub(super) async fn list_profiles(
    State(setups): State<Setups>,
    caller: Caller,
) -> ApiResult<Json<ProfileListResponse>> {
    let all = setups.llm_profiles(&caller.tenant).await?;
    let profiles = all.profiles.into_iter().map(ProfileInfo::from).collect();
    Ok(Json(ProfileListResponse { profiles, active_profile: all.active }))
}

/// Shows an LLM profile. In plain text it has the key and the address of its connection.
#[utoipa::path(get, path = "/api/profiles/{name}", tag = "Profiles", params(("name" = String, Path)),
    responses((status = 200, body = ProfileDetailResponse), (status = 404, description = "No such profile"),
        (status = 409, description = "Secrets cannot be opened with this server's key"),
        (status = 422, description = "Its connection is not there")))]
pub(super) async fn get_profile(
    State(setups): State<Setups>,
    caller: Caller,
    Path(name): Path<String>,
    Expose(how): Expose,
) -> ApiResult<Response> {
    check_profile_path(&name)?;
    let profile = setups.llm_profile(&caller.tenant, &name, how).await?;
    let shown = ProfileDetailResponse { name, config: profile.config, api_key_set: profile.api_key_set };
    Ok((HEADERS, Json(shown)).into_response())
}

impl From<LlmProfileListed> for ProfileInfo {
    fn from(profile: LlmProfileListed) -> Self {
        Self {
            name: profile.name,
            model: profile.model,
            base_url: profile.base_url,
            provider_connection_id: profile.provider_connection_id,
            provider_connection_broken: profile.provider_connection_broken,
            api_key_set: profile.api_key_set,
        }
    }
}
