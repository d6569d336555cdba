//! The secrets of a server, to hide them in what the server says.

use ::mcp::oauth::State;
use serde_json::{Value, json};
use types::mcp::{McpFailure, McpFound, ToolResult};

use super::Tried;
use super::trial::logged_in;
use crate::hidden::Hidden;

pub(super) struct Known(Vec<String>);

impl Known {
    /// Of a server as the form has it, its secrets in plain text.
    pub fn of(server: &Value) -> Self {
        let mut known = Self(Vec::new());
        known.add(server.clone());
        known
    }

    /// Also those that a login has come to meanwhile: the server is told them, and may say them again.
    pub fn learn(&mut self, state: &State) {
        self.add(logged_in(&json!({"auth": {"strategy": "oauth2"}}), state));
    }

    fn add(&mut self, mut server: Value) {
        forms::mcp_server().map_secrets(&mut server, &mut |_, text| {
            self.0.push(text.to_owned());
            Value::Null
        });
    }

    pub fn hidden_in(&self, tried: Tried) -> Tried {
        let hidden = Hidden::new(self.0.iter().cloned());
        let text = |text: String| hidden.in_text(text);
        match tried {
            Tried::Failed { failure: McpFailure { kind, error }, oauth_state } => {
                Tried::Failed { failure: McpFailure { kind, error: text(error) }, oauth_state }
            }
            Tried::Found { found: McpFound { tools, tool_result }, oauth_state } => {
                let result = |result: ToolResult| ToolResult { text: text(result.text), ..result };
                let tools = tools.into_iter().filter(|tool| hidden.may_name(tool)).collect();
                Tried::Found { found: McpFound { tools, tool_result: tool_result.map(result) }, oauth_state }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use types::mcp::McpFailureKind;
    use types::secrets::MASK;

    use super::*;

    #[test]
    fn no_secret_of_a_server_is_in_what_it_says() {
        let server = json!({"url": "http://x", "headers": {"X-Key": "marked-words"},
            "auth": {"strategy": "oauth2", "state": {"tokens": {"access_token": "marked-token"}}}});
        let error = "marked-words, marked-token".to_owned();
        let said = Tried::failed(McpFailure { kind: McpFailureKind::Unknown, error });
        let hidden =
            Tried::failed(McpFailure { kind: McpFailureKind::Unknown, error: format!("{MASK}, {MASK}") });
        assert_eq!(Known::of(&server).hidden_in(said), hidden);
    }

    #[test]
    fn a_tool_can_be_called_by_the_name_that_is_told() {
        let headers = json!({"X-MCP-Toolsets": "issues", "X-Key": "a-marked-key-of-a-user"});
        let said = |tools: &[&str]| Tried::Found {
            found: McpFound { tools: tools.iter().map(|&tool| tool.to_owned()).collect(), tool_result: None },
            oauth_state: None,
        };
        let known = Known::of(&json!({"url": "http://x", "headers": headers}));
        let told = known.hidden_in(said(&["list_issues", "show_a-marked-key-of-a-user", "show_a-mark"]));
        assert_eq!(told, said(&["list_issues", "show_a-mark"]));
    }
}
