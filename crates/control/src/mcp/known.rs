//! The secrets of a server, to hide them in what the server says.

use serde_json::Value;
use types::mcp::{McpFailure, McpFound, ToolResult};
use types::secrets::MASK;

use super::Tried;

/// Shorter values stand in too many innocent words.
const LEAST: usize = 6;

pub(super) struct Known(Vec<String>);

impl Known {
    /// Of a server as the form has it, its secrets in plain text.
    pub fn of(server: &Value) -> Self {
        let mut values = Vec::new();
        forms::mcp_server().map_secrets(&mut server.clone(), &mut |_, text| {
            values.push(text.to_owned());
            Value::Null
        });
        values.retain(|value| value.len() >= LEAST);
        // One that is a part of another must not leave the rest of that to be seen.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self(values)
    }

    pub fn hidden_in(&self, tried: Tried) -> Tried {
        let result = |result: ToolResult| ToolResult { text: self.hidden(result.text), ..result };
        match tried {
            Tried::Failed(failure) => {
                Tried::Failed(McpFailure { error: self.hidden(failure.error), ..failure })
            }
            Tried::Found { found: McpFound { tools, tool_result }, oauth_state } => {
                let tools = tools.into_iter().map(|name| self.hidden(name)).collect();
                Tried::Found { found: McpFound { tools, tool_result: tool_result.map(result) }, oauth_state }
            }
        }
    }

    fn hidden(&self, text: String) -> String {
        self.0.iter().fold(text, |text, value| {
            let whole = if text.contains(value.as_str()) { text.replace(value.as_str(), MASK) } else { text };
            without_beginning(whole, value)
        })
    }
}

/// Words that were cut off may end in the middle of a value.
fn without_beginning(mut text: String, value: &str) -> String {
    let mut beginnings = (LEAST..value.len()).rev().filter_map(|length| value.get(..length));
    if let Some(cut) = beginnings.find(|beginning| text.ends_with(*beginning)) {
        text.truncate(text.len() - cut.len());
        text.push_str(MASK);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use types::mcp::McpFailureKind;

    use super::*;

    #[test]
    fn no_secret_of_a_server_is_in_what_it_says() {
        let server = json!({"url": "http://x", "headers": {"X-Key": "marked-words"},
            "auth": {"strategy": "oauth2", "state": {"tokens": {"access_token": "marked-words-longer"}}}});
        let known = Known::of(&server);
        let said = "marked-words-longer, marked-words, short, marked-w";
        let kind = McpFailureKind::Unknown;
        let Tried::Failed(failure) =
            known.hidden_in(Tried::Failed(McpFailure { kind, error: said.to_owned() }))
        else {
            panic!("it is a failure")
        };
        assert_eq!(failure.error, format!("{MASK}, {MASK}, short, {MASK}"));
    }
}
