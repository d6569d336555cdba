//! What the agent loop has to know about tools, without being able to run one.

use serde_json::{Map, Value};

/// A tool as the model and the client are told about it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolDefinition {
    pub name: String,
    pub description: String,
    /// JSON schema of the arguments, without the `security_risk` and `summary` the loop adds.
    pub parameters: Value,
    /// The client's form, for `SystemPromptEvent.tools`.
    pub announced: Value,
    /// Never asks for confirmation risk, may run beside others.
    pub read_only: bool,
}

/// The tools of one conversation. Pure: parsing only.
pub trait Toolbox: Send + Sync {
    fn definitions(&self) -> &[ToolDefinition];

    /// Checks the arguments of a call and makes the action object (with its `kind` and defaulted fields).
    ///
    /// # Errors
    /// What is wrong, in words for the model.
    fn parse(&self, tool: &str, arguments: &Map<String, Value>) -> Result<Value, String>;
}
