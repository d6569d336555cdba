//! Settings as they are.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control::setup::Setups;

use super::SettingsResponse;
use crate::auth::Caller;
use crate::error::ApiResult;
use crate::expose::{Expose, HEADERS};
use crate::extract::Json;

/// Shows the settings; secrets masked, as `X-Expose-Secrets` does not say otherwise.
#[utoipa::path(get, path = "/api/settings", tag = "Settings",
    responses((status = 200, body = SettingsResponse), (status = 409, description = "Secrets cannot be opened with this server's key")))]
pub(super) async fn get_settings(
    State(setups): State<Setups>,
    caller: Caller,
    Expose(how): Expose,
) -> ApiResult<Response> {
    let settings = SettingsResponse::from(setups.settings(&caller.tenant, how).await?);
    Ok((HEADERS, Json(settings)).into_response())
}
