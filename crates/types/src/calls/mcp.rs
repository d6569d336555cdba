//! What a worker is asked of MCP servers that are programs.

use serde::{Deserialize, Serialize};

use crate::mcp::{McpFailure, McpFound, McpProgram, ToolCall};
use crate::service::{AnswerTo, OfWorker, Service};

/// Gateway to worker, `mh.cmd.<sandbox>.mcp`. Answered with [`McpProbed`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum McpCall {
    /// Starts it, asks for its tools, calls one if that is wanted, and ends it.
    Probe { program: McpProgram, tool_call: Option<ToolCall>, timeout_ms: u64 },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", content = "value", rename_all = "snake_case")]
pub enum McpProbed {
    Found(McpFound),
    Failed(McpFailure),
}

impl Service for McpCall {
    const NAME: &'static str = "mcp";
}

impl OfWorker for McpCall {}
impl AnswerTo<McpCall> for McpProbed {}
