//! Trials of MCP servers, as the document describes them: servers are checked by a form.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use types::mcp::{McpFailureKind, ToolResult};

/// An MCP server, and how it is tried.
#[derive(utoipa::ToSchema)]
pub struct MCPTestRequest {
    /// What it is called in errors.
    #[schema(required = false, min_length = 1, max_length = 128)]
    name: String,
    server: TriedServer,
    /// Seconds.
    #[schema(required = false, exclusive_minimum = 0, maximum = 120)]
    timeout: f64,
    tool_call: Option<MCPToolCallSpec>,
}

/// What else is in it is passed over.
#[derive(utoipa::ToSchema)]
#[schema(as = McpServerOnTrial)]
#[serde(untagged)]
pub enum TriedServer {
    Program(McpProgram),
    Remote(McpRemote),
}

/// An MCP server that is started.
#[derive(utoipa::ToSchema)]
pub struct McpProgram {
    #[schema(required = false, pattern = "^stdio$")]
    r#type: String,
    #[schema(min_length = 1)]
    command: String,
    args: Option<Vec<String>>,
    /// Values are secrets.
    env: Option<BTreeMap<String, String>>,
    cwd: Option<String>,
}

/// An MCP server on the network.
#[derive(utoipa::ToSchema)]
pub struct McpRemote {
    #[schema(required = false, pattern = "^(http|shttp|streamable-http|sse)$")]
    r#type: String,
    #[schema(min_length = 1)]
    url: String,
    /// Values are secrets.
    headers: Option<BTreeMap<String, String>>,
    /// As servers in settings have it.
    auth: Option<Map<String, Value>>,
    timeout: Option<f64>,
    sse_read_timeout: Option<f64>,
    keep_alive: Option<bool>,
}

/// One tool that is called once they are listed: one that only reads.
#[derive(utoipa::ToSchema)]
pub struct MCPToolCallSpec {
    #[schema(min_length = 1)]
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
