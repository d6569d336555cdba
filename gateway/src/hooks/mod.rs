//! Hooks of projects.

use axum::extract::State;
use control::extensions::Extensions;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::auth::Caller;
use crate::described::{Routes, routes};
use crate::error::ApiResult;
use crate::extract::Json;

/// What `/server_info` says of it.
pub const CAPABILITIES: &[&str] = &[];

pub fn routes() -> Routes {
    Routes::new().routes(routes!(get_hooks))
}

#[derive(Deserialize, utoipa::ToSchema)]
struct HooksRequest {
    /// The folder of the project.
    project_dir: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct HooksResponse {
    hook_config: Option<Value>,
}

/// The hooks that a project names in `.openhands/hooks.json`; null where there are none. Nothing is run.
#[utoipa::path(post, path = "/api/hooks", tag = "Hooks", request_body = HooksRequest,
    responses((status = 200, body = HooksResponse)))]
async fn get_hooks(
    State(extensions): State<Extensions>,
    caller: Caller,
    Json(body): Json<HooksRequest>,
) -> ApiResult<Json<HooksResponse>> {
    let hook_config = match body.project_dir.filter(|dir| !dir.is_empty()) {
        Some(dir) => extensions.hooks(&caller.tenant, &dir).await?,
        None => None,
    };
    Ok(Json(HooksResponse { hook_config }))
}
