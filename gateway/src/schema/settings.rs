//! Settings, as the document describes them: their values are checked by forms.

use std::collections::BTreeMap;

use serde_json::Value;

/// What can be set, section by section.
#[derive(utoipa::ToSchema)]
pub struct SettingsSchema {
    model_name: String,
    sections: Vec<Value>,
}

/// An MCP server: reached by a `command`, or at a `url`.
#[derive(utoipa::ToSchema)]
pub struct McpServer {
    url: Option<String>,
    transport: Option<String>,
    command: Option<String>,
    args: Option<Vec<String>>,
    /// Values are secrets.
    env: Option<BTreeMap<String, String>>,
    cwd: Option<String>,
    description: Option<String>,
    icon: Option<String>,
    timeout: Option<f64>,
    sse_read_timeout: Option<f64>,
    keep_alive: Option<bool>,
    /// Values are secrets.
    headers: Option<BTreeMap<String, String>>,
    auth: Option<Value>,
    enabled: Option<bool>,
}

/// What is to change of an MCP server.
#[derive(utoipa::ToSchema)]
pub struct McpServerPatch {
    url: Option<String>,
    transport: Option<String>,
    command: Option<String>,
    args: Option<Vec<String>>,
    env: Option<BTreeMap<String, Option<String>>>,
    cwd: Option<String>,
    description: Option<String>,
    icon: Option<String>,
    timeout: Option<f64>,
    sse_read_timeout: Option<f64>,
    keep_alive: Option<bool>,
    headers: Option<BTreeMap<String, Option<String>>>,
    auth: Option<Value>,
    enabled: Option<bool>,
}
