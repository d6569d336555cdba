//! Meta-profiles: how an agent chooses between models.

use axum::extract::State;
use control::setup::{MetaProfileListed, Setups};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;

use crate::auth::Caller;
use crate::described::{Routes, routes};
use crate::error::ApiResult;
use crate::extract::{Json, Path, check_profile_path};
use crate::schema::meta_profile::MetaProfile;

/// What `/server_info` says of it.
pub const CAPABILITIES: &[&str] = &[];

pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(list_meta_profiles))
        .routes(routes!(get_meta_profile, save_meta_profile, delete_meta_profile))
        .routes(routes!(activate_meta_profile))
}

/// A meta-profile in a list.
#[derive(Serialize, utoipa::ToSchema)]
struct MetaProfileInfo {
    name: String,
    classifier_model: Option<String>,
    num_classes: usize,
}

#[derive(Serialize, utoipa::ToSchema)]
struct MetaProfileListResponse {
    meta_profiles: Vec<MetaProfileInfo>,
    active_meta_profile: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct MetaProfileDetailResponse {
    name: String,
    #[schema(value_type = MetaProfile)]
    config: Value,
}

#[derive(Serialize, utoipa::ToSchema)]
struct MetaProfileMutationResponse {
    name: String,
    message: String,
}

#[derive(Serialize, utoipa::ToSchema)]
struct ActivateMetaProfileResponse {
    name: String,
    message: String,
    /// False where agents of the kind that is set cannot choose: then nothing has changed.
    applied: bool,
}

/// The meta-profiles, and which of them is active.
#[utoipa::path(get, path = "/api/meta-profiles", tag = "Meta-profiles",
    responses((status = 200, body = MetaProfileListResponse)))]
async fn list_meta_profiles(
    State(setups): State<Setups>,
    caller: Caller,
) -> ApiResult<Json<MetaProfileListResponse>> {
    let all = setups.meta_profiles(&caller.tenant).await?;
    let meta_profiles = all.profiles.into_iter().map(MetaProfileInfo::from).collect();
    Ok(Json(MetaProfileListResponse { meta_profiles, active_meta_profile: all.active }))
}

/// Shows a meta-profile.
#[utoipa::path(get, path = "/api/meta-profiles/{name}", tag = "Meta-profiles", params(("name" = String, Path)),
    responses((status = 200, body = MetaProfileDetailResponse), (status = 404, description = "No such meta-profile")))]
async fn get_meta_profile(
    State(setups): State<Setups>,
    caller: Caller,
    Path(name): Path<String>,
) -> ApiResult<Json<MetaProfileDetailResponse>> {
    check_profile_path(&name)?;
    let config = setups.meta_profile(&caller.tenant, &name).await?;
    Ok(Json(MetaProfileDetailResponse { name, config }))
}

/// Makes a meta-profile, or replaces the one of this name.
#[utoipa::path(post, path = "/api/meta-profiles/{name}", tag = "Meta-profiles", params(("name" = String, Path)),
    request_body = MetaProfile,
    responses((status = 201, body = MetaProfileMutationResponse), (status = 409, description = "There are too many")))]
async fn save_meta_profile(
    State(setups): State<Setups>,
    caller: Caller,
    Path(name): Path<String>,
    Json(profile): Json<Value>,
) -> ApiResult<(StatusCode, Json<MetaProfileMutationResponse>)> {
    check_profile_path(&name)?;
    setups.save_meta_profile(&caller.tenant, &name, profile).await?;
    let message = format!("Meta-profile '{name}' saved");
    Ok((StatusCode::CREATED, Json(MetaProfileMutationResponse { name, message })))
}

/// Deletes a meta-profile. One that is not there is deleted already; of an active one nothing is left in the settings.
#[utoipa::path(delete, path = "/api/meta-profiles/{name}", tag = "Meta-profiles", params(("name" = String, Path)),
    responses((status = 200, body = MetaProfileMutationResponse)))]
async fn delete_meta_profile(
    State(setups): State<Setups>,
    caller: Caller,
    Path(name): Path<String>,
) -> ApiResult<Json<MetaProfileMutationResponse>> {
    check_profile_path(&name)?;
    setups.delete_meta_profile(&caller.tenant, &name).await?;
    let message = format!("Meta-profile '{name}' deleted");
    Ok(Json(MetaProfileMutationResponse { name, message }))
}

/// Lets new agents choose their model by a meta-profile.
#[utoipa::path(post, path = "/api/meta-profiles/{name}/activate", tag = "Meta-profiles", params(("name" = String, Path)),
    responses((status = 200, body = ActivateMetaProfileResponse), (status = 404, description = "No such meta-profile")))]
async fn activate_meta_profile(
    State(setups): State<Setups>,
    caller: Caller,
    Path(name): Path<String>,
) -> ApiResult<Json<ActivateMetaProfileResponse>> {
    check_profile_path(&name)?;
    let applied = setups.activate_meta_profile(&caller.tenant, &name).await?;
    let message = if applied {
        format!("Meta-profile '{name}' activated")
    } else {
        format!("Meta-profile '{name}' not activated: the current agent settings cannot route between models")
    };
    Ok(Json(ActivateMetaProfileResponse { name, message, applied }))
}

impl From<MetaProfileListed> for MetaProfileInfo {
    fn from(profile: MetaProfileListed) -> Self {
        Self {
            name: profile.name,
            classifier_model: profile.classifier_model,
            num_classes: profile.num_classes,
        }
    }
}
