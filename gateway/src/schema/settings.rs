//! Settings, as the document describes them: their values are checked by forms. What has no fields here is described by its form.

use serde_json::Value;

/// What can be set, section by section.
#[derive(utoipa::ToSchema)]
pub struct SettingsSchema {
    model_name: String,
    sections: Vec<Value>,
}

/// An MCP server: reached by a `command`, or at a `url`.
#[derive(utoipa::ToSchema)]
pub struct McpServer;

/// What is to change of an MCP server.
#[derive(utoipa::ToSchema)]
pub struct McpServerPatch;
