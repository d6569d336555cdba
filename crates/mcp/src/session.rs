//! What is asked of a server.

use serde_json::{Map, Value, json};
use types::Content;
use types::mcp::{ToolCall, ToolResult};

use crate::listed::{Listed, Listing};
use crate::speaker::Speaker;
use crate::{Error, contents};

/// The version that is proposed. What a server answers is taken: what is asked here has been the same in all of them.
pub(crate) const VERSION: &str = "2025-06-18";

/// A server that has agreed to speak.
#[derive(Clone)]
pub struct Session<S> {
    speaker: S,
}

/// What a tool has answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub content: Vec<Content>,
    pub is_error: bool,
}

impl<S: Speaker> Session<S> {
    /// # Errors
    /// Where the server does not answer as one.
    pub async fn open(mut speaker: S) -> Result<Self, Error> {
        let own = json!({"protocolVersion": VERSION, "capabilities": {},
            "clientInfo": {"name": "manyhands", "version": env!("CARGO_PKG_VERSION")}});
        let said = speaker.call("initialize", &own).await?;
        let version = said.get("protocolVersion").and_then(Value::as_str).ok_or(Error::Strange)?;
        speaker.agreed(version);
        speaker.notify("notifications/initialized").await?;
        Ok(Self { speaker })
    }

    /// Its tools, each name once. Those that are too large, or too many, are left out.
    ///
    /// # Errors
    /// Where the server does not list them.
    pub async fn tools(&mut self) -> Result<Vec<Listed>, Error> {
        let mut listing = Listing::default();
        let mut params = json!({});
        loop {
            let page = self.speaker.call("tools/list", &params).await?;
            match listing.add(page)? {
                Some(cursor) => params = json!({ "cursor": cursor }),
                None => return Ok(listing.into_tools()),
            }
        }
    }

    /// Calls a tool. That it fails, or that the server refuses to call it, is no error, but what it has answered.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub async fn call(&mut self, name: &str, arguments: &Map<String, Value>) -> Result<Answer, Error> {
        let params = json!({"name": name, "arguments": arguments});
        match self.speaker.call("tools/call", &params).await {
            Ok(Value::Object(result)) => Ok(read_answer(&result)),
            Ok(_) => Err(Error::Strange),
            Err(Error::Refused(text)) => Ok(Answer { content: vec![Content::text(text)], is_error: true }),
            Err(error) => Err(error),
        }
    }

    /// The same, of a call whose texts alone are of interest.
    ///
    /// # Errors
    /// As [`Session::call`].
    pub async fn try_out(&mut self, call: &ToolCall) -> Result<ToolResult, Error> {
        let answer = self.call(&call.name, &call.arguments).await?;
        Ok(ToolResult { is_error: answer.is_error, text: types::content::joined_text(&answer.content) })
    }

    pub async fn close(self) {
        self.speaker.close().await;
    }
}

fn read_answer(result: &Map<String, Value>) -> Answer {
    let blocks = result.get("content").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let is_error = result.get("isError").and_then(Value::as_bool).unwrap_or_default();
    let mut content: Vec<Content> = blocks.iter().filter_map(contents::read).collect();
    // Servers may answer with data alone.
    if content.is_empty()
        && let Some(data) = result.get("structuredContent").filter(|data| !data.is_null())
    {
        content.push(Content::text(data.to_string()));
    }
    Answer { content, is_error }
}
