//! What is found out about an MCP server by trying it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A server that is a program.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct McpProgram {
    pub command: String,
    pub args: Vec<String>,
    /// In plain text.
    pub env: BTreeMap<String, String>,
    pub cwd: Option<String>,
}

/// One call of a tool, to see whether it can be used.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    pub name: String,
    #[serde(default)]
    pub arguments: Map<String, Value>,
}

/// What a tool has answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolResult {
    pub is_error: bool,
    /// All text of the answer.
    pub text: String,
}

/// What a server that works has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct McpFound {
    /// Names of its tools.
    pub tools: Vec<String>,
    pub tool_result: Option<ToolResult>,
}

/// Why a server does not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct McpFailure {
    pub kind: McpFailureKind,
    /// For the user.
    pub error: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum McpFailureKind {
    Timeout,
    Connection,
    Unknown,
}
