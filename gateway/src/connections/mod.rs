//! Connections with providers: a key, and perhaps an address, that several LLM profiles use.

mod body;

use axum::extract::State;
use control::setup::{ConnectionListed, Setups};
use http::StatusCode;
use serde::Serialize;

use crate::auth::Caller;
use crate::described::{Routes, routes};
use crate::error::{ApiError, ApiResult};
use crate::extract::{Json, Path};
use body::{ProviderConnectionCreateRequest, ProviderConnectionUpdateRequest};

/// What `/server_info` says of it.
pub const CAPABILITIES: &[&str] = &[];

pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(list_provider_connections, create_provider_connection))
        .routes(routes!(update_provider_connection, delete_provider_connection))
}

/// A connection; its key is never shown.
#[derive(Serialize, utoipa::ToSchema)]
struct ProviderConnectionResponse {
    id: String,
    display_name: String,
    provider: String,
    base_url: Option<String>,
    /// In seconds since 1970.
    created_at: i64,
    updated_at: i64,
    api_key_set: bool,
}

/// The connections, in the order in which they were made.
#[utoipa::path(get, path = "/api/llm/provider-connections", tag = "LLM Provider Connections",
    responses((status = 200, body = Vec<ProviderConnectionResponse>)))]
async fn list_provider_connections(
    State(setups): State<Setups>,
    caller: Caller,
) -> ApiResult<Json<Vec<ProviderConnectionResponse>>> {
    let connections = setups.connections(&caller.tenant).await?;
    Ok(Json(connections.into_iter().map(ProviderConnectionResponse::from).collect()))
}

/// Makes a connection.
#[utoipa::path(post, path = "/api/llm/provider-connections", tag = "LLM Provider Connections",
    request_body = ProviderConnectionCreateRequest,
    responses((status = 201, body = ProviderConnectionResponse), (status = 409, description = "There are too many")))]
async fn create_provider_connection(
    State(setups): State<Setups>,
    caller: Caller,
    Json(body): Json<ProviderConnectionCreateRequest>,
) -> ApiResult<(StatusCode, Json<ProviderConnectionResponse>)> {
    let made = setups.add_connection(&caller.tenant, body.checked()?).await?;
    Ok((StatusCode::CREATED, Json(made.into())))
}

/// Changes a connection. Who refers to it has a new key with its next launch.
#[utoipa::path(patch, path = "/api/llm/provider-connections/{connection_id}", tag = "LLM Provider Connections",
    params(("connection_id" = String, Path)), request_body = ProviderConnectionUpdateRequest,
    responses((status = 200, body = ProviderConnectionResponse), (status = 404, description = "No such connection")))]
async fn update_provider_connection(
    State(setups): State<Setups>,
    caller: Caller,
    Path(id): Path<String>,
    Json(body): Json<ProviderConnectionUpdateRequest>,
) -> ApiResult<Json<ProviderConnectionResponse>> {
    let change = body.checked()?;
    if change.is_nothing() {
        return Err(ApiError::unprocessable("Provide at least one provider connection field to update"));
    }
    Ok(Json(setups.change_connection(&caller.tenant, &id, &change).await?.into()))
}

/// Deletes a connection that nobody refers to, and answers what it was.
#[utoipa::path(delete, path = "/api/llm/provider-connections/{connection_id}", tag = "LLM Provider Connections",
    params(("connection_id" = String, Path)),
    responses((status = 200, body = ProviderConnectionResponse), (status = 404, description = "No such connection"),
        (status = 409, description = "Profiles or the settings refer to it")))]
async fn delete_provider_connection(
    State(setups): State<Setups>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Json<ProviderConnectionResponse>> {
    let deleted = setups.delete_connection(&caller.tenant, &id).await?;
    Ok(Json(ProviderConnectionResponse { api_key_set: false, ..deleted.into() }))
}

impl From<ConnectionListed> for ProviderConnectionResponse {
    /// There is none without a key.
    fn from(connection: ConnectionListed) -> Self {
        Self {
            id: connection.id,
            display_name: connection.display_name,
            provider: connection.provider,
            base_url: connection.base_url,
            created_at: connection.created_at,
            updated_at: connection.updated_at,
            api_key_set: true,
        }
    }
}
