//! The MCP servers in settings, one by one.

use axum::extract::State;
use control::setup::Setups;
use http::StatusCode;
use serde_json::Value;

use super::SettingsResponse;
use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extract::{Json, Path};
use crate::schema::settings::{McpServer, McpServerPatch};

/// Adds an MCP server.
#[utoipa::path(post, path = "/api/settings/mcp/{settings_key}", tag = "Settings", params(("settings_key" = String, Path)),
    request_body = McpServer,
    responses((status = 201, body = SettingsResponse), (status = 409, description = "There is one of this key")))]
pub(super) async fn create_mcp_server(
    State(setups): State<Setups>,
    caller: Caller,
    Path(key): Path<String>,
    Json(server): Json<Value>,
) -> ApiResult<(StatusCode, Json<SettingsResponse>)> {
    let settings = setups.add_mcp_server(&caller.tenant, &key, server).await?;
    Ok((StatusCode::CREATED, Json(settings.into())))
}

/// Changes an MCP server: fields that are null are removed.
#[utoipa::path(patch, path = "/api/settings/mcp/{settings_key}", tag = "Settings", params(("settings_key" = String, Path)),
    request_body = McpServerPatch,
    responses((status = 200, body = SettingsResponse), (status = 404, description = "No such server")))]
pub(super) async fn update_mcp_server(
    State(setups): State<Setups>,
    caller: Caller,
    Path(key): Path<String>,
    Json(patch): Json<Value>,
) -> ApiResult<Json<SettingsResponse>> {
    Ok(Json(setups.patch_mcp_server(&caller.tenant, &key, patch).await?.into()))
}

/// Removes an MCP server.
#[utoipa::path(delete, path = "/api/settings/mcp/{settings_key}", tag = "Settings", params(("settings_key" = String, Path)),
    responses((status = 200, body = SettingsResponse), (status = 404, description = "No such server")))]
pub(super) async fn delete_mcp_server(
    State(setups): State<Setups>,
    caller: Caller,
    Path(key): Path<String>,
) -> ApiResult<Json<SettingsResponse>> {
    Ok(Json(setups.delete_mcp_server(&caller.tenant, &key).await?.into()))
}
