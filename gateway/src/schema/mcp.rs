//! Trials of MCP servers, as the document describes them: servers are checked by a form.

use serde_json::{Map, Value};
use types::mcp::{McpFailureKind, ToolResult};

use super::settings::McpServer;

/// An MCP server, and how it is tried.
#[derive(utoipa::ToSchema)]
pub struct MCPTestRequest {
    /// What it is called in errors.
    name: Option<String>,
    server: McpServer,
    /// Seconds, at most 120.
    timeout: Option<f64>,
    tool_call: Option<MCPToolCallSpec>,
}

/// One tool that is called once they are listed: one that only reads.
#[derive(utoipa::ToSchema)]
pub struct MCPToolCallSpec {
    name: String,
    arguments: Option<Map<String, Value>>,
}

/// Whether a server works: `ok`, with its tools, or with what is wrong.
#[derive(utoipa::ToSchema)]
pub struct MCPTestResponse {
    ok: bool,
    tools: Option<Vec<String>>,
    tool_result: Option<ToolResult>,
    /// Never answered: older clients may look for it.
    resolved_mcp_servers: Option<Vec<Map<String, Value>>>,
    oauth_state: Option<Map<String, Value>>,
    error: Option<String>,
    error_kind: Option<McpFailureKind>,
}

/// Where a login stands: `authorizing`, `succeeded` or `failed`.
#[derive(utoipa::ToSchema)]
pub struct MCPOAuthStatusResponse {
    ok: bool,
    status: String,
    job_id: String,
    authorization_url: Option<String>,
    callback_ready: bool,
    tools: Option<Vec<String>>,
    tool_result: Option<ToolResult>,
    oauth_state: Option<Map<String, Value>>,
    error: Option<String>,
    error_kind: Option<McpFailureKind>,
}
