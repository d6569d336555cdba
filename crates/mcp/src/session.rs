//! What is asked of a server.

use jsonrpc::Peer;
use serde_json::{Map, Value, json};
use types::mcp::{ToolCall, ToolResult};

use crate::{Error, Transport};

/// The version that is proposed. What a server answers is taken: what is asked here has been the same in all of them.
pub(crate) const VERSION: &str = "2025-06-18";

/// A server whose list of tools goes on and on has so many.
const MOST_TOOLS: usize = 1_000;
const MOST_PAGES: usize = 50;
const MOST_NAME: usize = 256;

/// A server that has agreed to speak.
pub struct Session<T> {
    peer: Peer<T>,
}

impl<T: Transport> Session<T>
where
    Error: From<T::Error>,
{
    /// # Errors
    /// Where the server does not answer as one.
    pub async fn open(transport: T) -> Result<Self, Error> {
        let mut peer = Peer::new(transport);
        let own = json!({"protocolVersion": VERSION, "capabilities": {},
            "clientInfo": {"name": "manyhands", "version": env!("CARGO_PKG_VERSION")}});
        let said = peer.call("initialize", &own).await.map_err(Error::from)?;
        let version = said.get("protocolVersion").and_then(Value::as_str).ok_or(Error::Strange)?;
        peer.wire().agreed(version);
        peer.notify("notifications/initialized").await.map_err(Error::from)?;
        Ok(Self { peer })
    }

    /// The names of its tools.
    ///
    /// # Errors
    /// Where the server does not list them.
    pub async fn tools(&mut self) -> Result<Vec<String>, Error> {
        let (mut tools, mut cursor) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let params = cursor.map_or_else(|| json!({}), |cursor: Value| json!({ "cursor": cursor }));
            let page = self.peer.call("tools/list", &params).await.map_err(Error::from)?;
            let listed = page.get("tools").and_then(Value::as_array).ok_or(Error::Strange)?;
            let names = listed.iter().filter_map(|tool| tool.get("name")?.as_str());
            let fitting = names.filter(|name| name.len() <= MOST_NAME).map(str::to_owned);
            tools.extend(fitting.take(MOST_TOOLS - tools.len()));
            cursor = page.get("nextCursor").filter(|cursor| !cursor.is_null()).cloned();
            if cursor.is_none() || tools.len() == MOST_TOOLS {
                break;
            }
        }
        Ok(tools)
    }

    /// Calls a tool. That it fails is no error, but what it has answered.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub async fn call(&mut self, call: &ToolCall) -> Result<ToolResult, Error> {
        let params = json!({"name": call.name, "arguments": call.arguments});
        match self.peer.call("tools/call", &params).await.map_err(Error::from) {
            Ok(Value::Object(result)) => Ok(read_result(&result)),
            Ok(_) => Err(Error::Strange),
            Err(Error::Refused(text)) => Ok(ToolResult { is_error: true, text }),
            Err(error) => Err(error),
        }
    }

    pub async fn close(self) {
        self.peer.into_wire().close().await;
    }
}

fn read_result(result: &Map<String, Value>) -> ToolResult {
    let blocks = result.get("content").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let is_text = |block: &&Value| block.get("type").and_then(Value::as_str) == Some("text");
    let texts = blocks.iter().filter(is_text).filter_map(|block| block.get("text")?.as_str());
    ToolResult {
        is_error: result.get("isError").and_then(Value::as_bool).unwrap_or_default(),
        text: texts.collect::<Vec<_>>().join("\n"),
    }
}
