//! Agents that others delegate to.

use axum::extract::State;
use control::extensions::Extensions;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::extensions::{Level, SubAgent};

use crate::auth::Caller;
use crate::described::{Routes, routes};
use crate::error::ApiResult;
use crate::extract::Json;

/// What `/server_info` says of it.
pub const CAPABILITIES: &[&str] = &[];

pub fn routes() -> Routes {
    Routes::new().routes(routes!(get_sub_agents))
}

#[derive(Deserialize, utoipa::ToSchema)]
struct SubAgentsRequest {
    #[serde(default = "yes")]
    load_user: bool,
    #[serde(default = "yes")]
    load_project: bool,
    #[serde(default = "yes")]
    load_builtin: bool,
    /// The folder of the project.
    project_dir: Option<String>,
}

fn yes() -> bool {
    true
}

#[derive(Serialize, utoipa::ToSchema)]
struct SubAgentsResponse {
    agents: Vec<SubAgentInfo>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct SubAgentInfo {
    is_builtin: bool,
    /// The older name of `mcp_config`.
    mcp_servers: Option<Value>,
    #[serde(flatten)]
    agent: SubAgent,
}

impl From<SubAgent> for SubAgentInfo {
    fn from(agent: SubAgent) -> Self {
        Self { is_builtin: agent.level == Level::Builtin, mcp_servers: agent.mcp_config.clone(), agent }
    }
}

/// The sub-agents of a project, of the user and of the server; the first of a name counts.
#[utoipa::path(post, path = "/api/sub-agents", tag = "Sub Agents", request_body = SubAgentsRequest,
    responses((status = 200, body = SubAgentsResponse)))]
async fn get_sub_agents(
    State(extensions): State<Extensions>,
    caller: Caller,
    Json(body): Json<SubAgentsRequest>,
) -> ApiResult<Json<SubAgentsResponse>> {
    let project_dir = body.project_dir.filter(|dir| body.load_project && !dir.is_empty());
    let found = extensions.sub_agents(&caller.tenant, body.load_user, project_dir, body.load_builtin).await?;
    Ok(Json(SubAgentsResponse { agents: found.into_iter().map(Into::into).collect() }))
}
