//! Whether the process is alive and ready.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control::shelf::SecretHealth;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::readiness::Readiness;

const JSON: [(header::HeaderName, HeaderValue); 1] =
    [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];

#[derive(serde::Serialize, utoipa::ToSchema)]
pub struct HealthStatus {
    #[schema(example = "ok")]
    status: String,
}

/// The process serves.
#[utoipa::path(get, path = "/alive", tag = "Server Details", security(()), responses((status = 200, body = HealthStatus)))]
pub async fn alive() -> Response {
    ok()
}

/// The process serves.
#[utoipa::path(get, path = "/health", tag = "Server Details", security(()), responses((status = 200, body = HealthStatus)))]
pub async fn health() -> Response {
    ok()
}

fn ok() -> Response {
    (JSON, r#"{"status":"ok"}"#).into_response()
}

/// The store takes a value and gives it back, and no run that an earlier process left is called running any more.
#[utoipa::path(get, path = "/ready", tag = "Server Details", security(()),
    responses((status = 200, body = HealthStatus), (status = 503, description = "Not yet, or not now", body = HealthStatus)))]
pub async fn ready(
    State(readiness): State<Readiness>,
    State(secret_health): State<SecretHealth>,
) -> Response {
    match readiness.check().await {
        // It serves all the same: only who needs one of them is refused.
        Ok(()) if secret_health.unopened() > 0 => {
            (JSON, r#"{"status":"ready","secrets":"unreadable"}"#).into_response()
        }
        Ok(()) => (JSON, r#"{"status":"ready"}"#).into_response(),
        Err(message) => {
            let body = json!({"status": "initializing", "message": message});
            (StatusCode::SERVICE_UNAVAILABLE, axum::Json(body)).into_response()
        }
    }
}
