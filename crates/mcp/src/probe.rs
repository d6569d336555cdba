//! Whether a server works: it is spoken to, asked for its tools, and one of them is called where that is wanted.

use std::time::Duration;

use jsonrpc::Peer;
use tokio::time::timeout;
use types::mcp::{McpFound, ToolCall, ToolResult};

use crate::{Error, Session, Transport};

/// What saying good-bye may take.
const LEAVING: Duration = Duration::from_secs(2);

/// Listing may take `patience`, and the call of a tool as long again. A call that fails or takes too long is a result: the
/// server itself works.
///
/// # Errors
/// Where the server does not work.
pub async fn probe<T: Transport>(
    transport: T,
    tool_call: Option<&ToolCall>,
    patience: Duration,
) -> Result<McpFound, Error>
where
    Error: From<T::Error>,
{
    let listing = async {
        let mut session = Session::open(Peer::new(transport)).await?;
        let tools = session.tools().await?;
        let names: Vec<String> = tools.into_iter().map(|tool| tool.name).collect();
        Ok::<_, Error>((session, names))
    };
    let (mut session, tools) = timeout(patience, listing).await.map_err(|_| Error::TooSlow(patience))??;
    let tool_result = match tool_call {
        None => None,
        Some(call) if !tools.contains(&call.name) => Some(not_advertised(call, &tools)),
        Some(call) => Some(match timeout(patience, session.try_out(call)).await {
            Ok(answered) => answered?,
            // The session is in the middle of an answer, and nobody can say good-bye there.
            Err(_) => return Ok(McpFound { tools, tool_result: Some(too_slow(call, patience)) }),
        }),
    };
    let _ = timeout(LEAVING, session.close()).await;
    Ok(McpFound { tools, tool_result })
}

fn not_advertised(call: &ToolCall, tools: &[String]) -> ToolResult {
    let available = if tools.is_empty() { "none".to_owned() } else { tools.join(", ") };
    let text = format!("Tool '{}' not advertised by server (available: {available})", call.name);
    ToolResult { is_error: true, text }
}

fn too_slow(call: &ToolCall, patience: Duration) -> ToolResult {
    let seconds = patience.as_secs_f64();
    ToolResult {
        is_error: true,
        text: format!("Tool '{}' call timed out after {seconds:?} seconds", call.name),
    }
}
