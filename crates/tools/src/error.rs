//! Why a set of tools cannot be made.

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("tool '{name}' is not registered. Available tools: {known}")]
    UnknownTool { name: String, known: String },
    #[error("parameter `{parameter}` of tool '{tool}' is not valid: {reason}")]
    Parameter { tool: &'static str, parameter: &'static str, reason: String },
}
