//! MCP servers, tried out and logged in to.

mod login;
mod trial;

use control::mcp::Tried;
use serde::Serialize;
use serde_json::{Map, Value};
use types::mcp::{McpFailureKind, ToolResult};

use crate::described::{Routes, routes};

/// What `/server_info` says of it.
pub const CAPABILITIES: &[&str] = &[];

pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(trial::test_mcp_server))
        .routes(routes!(login::start_mcp_oauth))
        .routes(routes!(login::get_mcp_oauth_status))
        .routes(routes!(login::submit_mcp_oauth_callback))
}

/// What came of a trial; what there is nothing of is left out.
#[derive(Default, Serialize)]
struct Outcome {
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_result: Option<ToolResult>,
    /// What a login has come to: to be kept under the server's `auth.state`, also where the server does not work.
    #[serde(skip_serializing_if = "Option::is_none")]
    oauth_state: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_kind: Option<McpFailureKind>,
}

impl From<Tried> for Outcome {
    fn from(tried: Tried) -> Self {
        match tried {
            Tried::Found { found, oauth_state } => Self {
                tools: Some(found.tools),
                tool_result: found.tool_result,
                oauth_state: oauth_state.and_then(object),
                ..Self::default()
            },
            Tried::Failed { failure, oauth_state } => Self {
                oauth_state: oauth_state.and_then(object),
                error: Some(failure.error),
                error_kind: Some(failure.kind),
                ..Self::default()
            },
        }
    }
}

fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}
