//! LLM profiles are made, renamed, deleted, and one of them is put to use.

use axum::extract::State;
use control::setup::Setups;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extract::{Json, Path, check_profile_name, check_profile_path};
use crate::schema::llm::Llm;

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct SaveProfileRequest {
    #[schema(value_type = Llm)]
    llm: Value,
    /// Whether its secrets are kept, too.
    #[serde(default = "yes")]
    #[schema(required = false)]
    include_secrets: bool,
}

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct RenameProfileRequest {
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    new_name: String,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ProfileMutationResponse {
    name: String,
    message: String,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ActivateProfileResponse {
    name: String,
    message: String,
    /// False where agents of the kind that is set have no model of their own.
    llm_applied: bool,
}

/// Makes an LLM profile, or replaces the one of this name.
#[utoipa::path(post, path = "/api/profiles/{name}", tag = "Profiles", params(("name" = String, Path)),
    request_body = SaveProfileRequest,
    responses((status = 201, body = ProfileMutationResponse), (status = 409, description = "There are too many")))]
pub(super) async fn save_profile(
    State(setups): State<Setups>,
    caller: Caller,
    Path(name): Path<String>,
    Json(body): Json<SaveProfileRequest>,
) -> ApiResult<(StatusCode, Json<ProfileMutationResponse>)> {
    check_profile_path(&name)?;
    setups.save_llm_profile(&caller.tenant, &name, body.llm, body.include_secrets).await?;
    let message = format!("Profile '{name}' saved");
    Ok((StatusCode::CREATED, Json(ProfileMutationResponse { name, message })))
}

/// Deletes an LLM profile. One that is not there is deleted already.
#[utoipa::path(delete, path = "/api/profiles/{name}", tag = "Profiles", params(("name" = String, Path)),
    responses((status = 200, body = ProfileMutationResponse), (status = 409, description = "Agent profiles refer to it")))]
pub(super) async fn delete_profile(
    State(setups): State<Setups>,
    caller: Caller,
    Path(name): Path<String>,
) -> ApiResult<Json<ProfileMutationResponse>> {
    check_profile_path(&name)?;
    setups.delete_llm_profile(&caller.tenant, &name).await?;
    let message = format!("Profile '{name}' deleted");
    Ok(Json(ProfileMutationResponse { name, message }))
}

/// Renames an LLM profile; agent profiles that refer to it follow.
#[utoipa::path(post, path = "/api/profiles/{name}/rename", tag = "Profiles", params(("name" = String, Path)),
    request_body = RenameProfileRequest,
    responses((status = 200, body = ProfileMutationResponse), (status = 404, description = "No such profile"),
        (status = 409, description = "There is one of the new name")))]
pub(super) async fn rename_profile(
    State(setups): State<Setups>,
    caller: Caller,
    Path(name): Path<String>,
    Json(body): Json<RenameProfileRequest>,
) -> ApiResult<Json<ProfileMutationResponse>> {
    check_profile_path(&name)?;
    let new_name = body.new_name;
    check_profile_name(&new_name, &["body", "new_name"])?;
    setups.rename_llm_profile(&caller.tenant, &name, &new_name).await?;
    let message = if name == new_name {
        format!("Profile '{name}' unchanged (same name)")
    } else {
        format!("Profile '{name}' renamed to '{new_name}'")
    };
    Ok(Json(ProfileMutationResponse { name: new_name, message }))
}

/// Makes an LLM profile the active one, and its model that of new agents.
#[utoipa::path(post, path = "/api/profiles/{name}/activate", tag = "Profiles", params(("name" = String, Path)),
    responses((status = 200, body = ActivateProfileResponse), (status = 404, description = "No such profile"),
        (status = 422, description = "Its connection is not there")))]
pub(super) async fn activate_profile(
    State(setups): State<Setups>,
    caller: Caller,
    Path(name): Path<String>,
) -> ApiResult<Json<ActivateProfileResponse>> {
    check_profile_path(&name)?;
    let llm_applied = setups.activate_llm_profile(&caller.tenant, &name).await?;
    let message = if llm_applied {
        format!("Profile '{name}' activated and applied to current settings")
    } else {
        format!("Profile '{name}' activated")
    };
    Ok(Json(ActivateProfileResponse { name, message, llm_applied }))
}

fn yes() -> bool {
    true
}
