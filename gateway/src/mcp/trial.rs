//! Whether an MCP server works.

use axum::extract::State;
use control::mcp::{McpServers, Request, Tried};
use serde::Serialize;
use serde_json::Value;

use super::Outcome;
use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extract::Json;
use crate::schema::mcp::{MCPTestRequest, MCPTestResponse};

/// Whether a server works.
#[derive(Serialize)]
pub(super) struct Answer {
    ok: bool,
    #[serde(flatten)]
    outcome: Outcome,
}

/// Tries an MCP server out: connects, lists its tools, and calls one if that is asked for. Nothing of it is kept. A server that
/// does not work is an answer with `ok: false`, and no error; a login that was renewed is in the answer in any case.
#[utoipa::path(post, path = "/api/mcp/test", tag = "MCP", request_body = MCPTestRequest,
    responses((status = 200, body = MCPTestResponse), (status = 429, description = "Others are tried already")))]
pub(super) async fn test_mcp_server(
    State(servers): State<McpServers>,
    caller: Caller,
    Json(body): Json<Value>,
) -> ApiResult<Json<Answer>> {
    let tried = servers.test(&caller.tenant, Request::read(body)?).await?;
    Ok(Json(Answer { ok: matches!(tried, Tried::Found { .. }), outcome: tried.into() }))
}
