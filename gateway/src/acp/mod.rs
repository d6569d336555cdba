//! Models of agents behind the Agent Client Protocol.

use axum::extract::State;
use control::acp::AcpModels;
use http::HeaderMap;
use http::header::HOST;
use serde_json::Value;
use types::acp::AcpDiscovery;

use crate::auth::Caller;
use crate::described::{Routes, routes};
use crate::error::ApiResult;
use crate::extract::Json;
use crate::schema::acp::ACPModelDiscoveryRequest;

/// What `/server_info` says of it.
pub const CAPABILITIES: &[&str] = &[];

pub fn routes() -> Routes {
    Routes::new().routes(routes!(discover_models))
}

/// Asks an agent which models it offers, without a conversation. That it does not work is an answer with an `error`.
#[utoipa::path(post, path = "/api/acp/models", tag = "ACP", request_body = ACPModelDiscoveryRequest,
    responses((status = 200, body = AcpDiscovery)))]
async fn discover_models(
    State(models): State<AcpModels>,
    caller: Caller,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> ApiResult<Json<AcpDiscovery>> {
    let own = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    Ok(Json(models.discover(&caller.tenant, body, own).await?))
}
