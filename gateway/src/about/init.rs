//! What a server that serves says to who would tell it its settings: it has been told them, or never waited for any.

use axum::extract::State;
use http::{HeaderMap, StatusCode};

use crate::config::Init;
use crate::error::{ApiError, ApiResult};
use crate::extract::Json;
use crate::init_key;
use crate::schema::init::{InitRequest, InitState, InitStatus};

const NOT_DEFERRED: &str =
    "server is not running with deferred_init=True; the /api/init endpoint is not available";

/// Whether the server waits for its settings, prepares itself, or serves.
#[utoipa::path(get, path = "/api/init", tag = "Init", security(()),
    responses((status = 200, body = InitStatus, description = "Of a server that waits, or has waited"),
        (status = 404, description = "The server was told its settings when it was started")))]
pub async fn get_init_status(State(init): State<Init>) -> ApiResult<Json<InitStatus>> {
    match init.has_waited {
        true => Ok(Json(InitStatus::READY)),
        false => Err(ApiError::new(StatusCode::NOT_FOUND, NOT_DEFERRED)),
    }
}

/// Tells a server that waits its settings, by which it begins to serve. Needs the secret key that it was started with, if
/// any, in `X-Init-API-Key`.
#[utoipa::path(post, path = "/api/init", tag = "Init", security(()), request_body = InitRequest,
    responses((status = 200, body = InitStatus, description = "It serves now"),
        (status = 400, description = "The server has its settings already"),
        (status = 401, description = "The key is not shown"),
        (status = 404, description = "The server was told its settings when it was started"),
        (status = 422, description = "The settings cannot be meant, and it waits for others"),
        (status = 500, description = "It cannot start with these settings. It waits for others, or ends: its state tells"),
        (status = 503, description = "It is stopping")))]
pub async fn initialize_server(State(init): State<Init>, headers: HeaderMap) -> ApiError {
    if let Err(refusal) = init_key::check(&init, &headers) {
        return refusal;
    }
    match init.has_waited {
        true => ApiError::bad_request(InitState::Ready.in_the_way()),
        false => ApiError::new(StatusCode::NOT_FOUND, NOT_DEFERRED),
    }
}
