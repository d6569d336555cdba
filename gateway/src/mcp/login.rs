//! Logins with MCP servers.

use axum::extract::State;
use control::mcp::{JobStatus, McpServers, Request, Started, Tried};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::mcp::McpFailureKind;

use super::Outcome;
use crate::auth::Caller;
use crate::error::{ApiResult, Problem};
use crate::extract::{Json, Path};
use crate::schema::mcp::{MCPOAuthStatusResponse, MCPTestRequest};

/// A login that was begun.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = MCPOAuthStartResponse)]
pub(super) struct StartResponse {
    ok: bool,
    job_id: String,
    /// For the user's browser; without it none is needed, and the job has come to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_kind: Option<McpFailureKind>,
}

impl From<Started> for StartResponse {
    fn from(started: Started) -> Self {
        let failure = started.failure;
        Self {
            ok: failure.is_none(),
            job_id: started.job_id,
            authorization_url: started.authorization_url,
            error_kind: failure.as_ref().map(|failure| failure.kind),
            error: failure.map(|failure| failure.error),
        }
    }
}

/// Where a login stands.
#[derive(Serialize)]
pub(super) struct StatusResponse {
    ok: bool,
    status: &'static str,
    job_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_url: Option<String>,
    callback_ready: bool,
    #[serde(flatten)]
    outcome: Outcome,
}

impl From<JobStatus> for StatusResponse {
    fn from(job: JobStatus) -> Self {
        let (ok, status) = match &job.outcome {
            None => (true, "authorizing"),
            Some(Tried::Found { .. }) => (true, "succeeded"),
            Some(Tried::Failed { .. }) => (false, "failed"),
        };
        Self {
            ok,
            status,
            job_id: job.job_id,
            authorization_url: job.authorization_url,
            callback_ready: job.is_callback_ready,
            outcome: job.outcome.map(Outcome::from).unwrap_or_default(),
        }
    }
}

/// The address that the browser has come back to.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = MCPOAuthCallbackRequest)]
pub(super) struct CallbackRequest {
    #[schema(min_length = 1)]
    callback_url: String,
}

/// Begins a login with an MCP server. What is answered within seconds is the address that the user's browser is to open.
#[utoipa::path(post, path = "/api/mcp/oauth/start", tag = "MCP", request_body = MCPTestRequest,
    responses((status = 200, body = StartResponse), (status = 400, description = "The server has no login"),
        (status = 429, description = "Others are tried or logged in to already")))]
pub(super) async fn start_mcp_oauth(
    State(servers): State<McpServers>,
    caller: Caller,
    Json(body): Json<Value>,
) -> ApiResult<Json<StartResponse>> {
    Ok(Json(servers.start_login(&caller.tenant, Request::read(body)?).await?.into()))
}

/// Where a login stands.
#[utoipa::path(get, path = "/api/mcp/oauth/status/{job_id}", tag = "MCP", params(("job_id" = String, Path)),
    responses((status = 200, body = MCPOAuthStatusResponse), (status = 404, description = "No such login, or it is over")))]
pub(super) async fn get_mcp_oauth_status(
    State(servers): State<McpServers>,
    caller: Caller,
    Path(job_id): Path<String>,
) -> ApiResult<Json<StatusResponse>> {
    Ok(Json(servers.login_status(&caller.tenant, &job_id).await?.into()))
}

/// Finishes a login with the address that the browser has come back to.
#[utoipa::path(post, path = "/api/mcp/oauth/callback/{job_id}", tag = "MCP", params(("job_id" = String, Path)),
    request_body = CallbackRequest,
    responses((status = 200, body = MCPOAuthStatusResponse),
        (status = 400, description = "It is not the address of this login, or not the answer to it: the login goes on"),
        (status = 404, description = "No such login, or it is over"), (status = 409, description = "No address is waited for"),
        (status = 429, description = "Others are tried or logged in to already: the address is still good")))]
pub(super) async fn submit_mcp_oauth_callback(
    State(servers): State<McpServers>,
    caller: Caller,
    Path(job_id): Path<String>,
    Json(body): Json<CallbackRequest>,
) -> ApiResult<Json<StatusResponse>> {
    if body.callback_url.is_empty() {
        return Err(Problem::empty(&["body", "callback_url"]).into());
    }
    Ok(Json(servers.finish_login(&caller.tenant, &job_id, &body.callback_url).await?.into()))
}
