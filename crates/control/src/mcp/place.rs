//! Where a server is tried.

use std::collections::BTreeMap;

use ::mcp::{Error, Remote};
use serde_json::Value;
use types::mcp::McpProgram;

pub(super) enum Place {
    /// In a worker.
    Program(McpProgram),
    /// From here.
    Remote(Box<Remote>),
}

impl Place {
    /// Of a server as the form has it, its secrets in plain text.
    ///
    /// # Errors
    /// Where its URL or a header cannot be.
    pub fn of(server: &Value) -> Result<Self, Error> {
        let text = |field: &str| server.get(field).and_then(Value::as_str).map(str::to_owned);
        let Some(command) = text("command") else { return Ok(Self::Remote(Box::new(Remote::read(server)?))) };
        let args = server.get("args").and_then(Value::as_array).into_iter().flatten();
        let env = server.get("env").and_then(Value::as_object).into_iter().flatten();
        let variable = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        Ok(Self::Program(McpProgram {
            command,
            args: args.filter_map(Value::as_str).map(str::to_owned).collect(),
            env: env.filter_map(variable).collect::<BTreeMap<_, _>>(),
            cwd: text("cwd").filter(|cwd| !cwd.is_empty()),
        }))
    }
}
