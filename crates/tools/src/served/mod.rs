//! Tools that no catalogue lists: those of servers that a conversation names. Their actions and results have the same two kinds,
//! whatever the tool is.

mod arguments;
mod names;
mod schema;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use types::Content;
use types::resources::Resource;
use types::tool::ToolDefinition;

pub use arguments::expand;
pub(crate) use names::Naming;

use crate::around::{AnyTool, Around};
use crate::context::ToolContext;
use crate::observation::Observation;
use crate::secrets::{Boxed, Secrets};
use crate::spec::{Annotations, Spec};
use crate::tool::{Holds, Tool};

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// A server that has tools.
pub trait Server: Send + Sync + 'static {
    /// What its user calls it.
    fn key(&self) -> &str;

    /// What a tool answers, and whether that is a failure.
    ///
    /// # Errors
    /// Why there is no answer, in words for the model.
    fn call<'a>(
        &'a self,
        tool: &'a str,
        arguments: &'a Map<String, Value>,
    ) -> Boxed<'a, Result<(Vec<Content>, bool), String>>;

    /// Whether something runs for it that would be lost with it.
    fn is_live(&self) -> bool;
}

/// A tool of a server.
pub struct Served {
    pub server: Arc<dyn Server>,
    /// As the server has it.
    pub name: String,
    pub description: String,
    /// JSON schema of its arguments, as the server has it.
    pub schema: Map<String, Value>,
    /// What the server says of its effects.
    pub annotations: Map<String, Value>,
}

/// Any JSON: what it must be says the server.
#[derive(Debug, Serialize, Deserialize)]
pub struct Action {
    #[serde(default)]
    data: Map<String, Value>,
}

struct ServedTool {
    tool: Served,
    /// As the model calls it.
    name: String,
    /// As the model is shown it.
    parameters: Value,
    secrets: Arc<dyn Secrets>,
}

impl Served {
    pub(crate) fn make(self, name: String, context: &ToolContext) -> (ToolDefinition, Arc<dyn AnyTool>) {
        let announced = json!({"name": name, "description": self.description,
            "inputSchema": self.schema, "annotations": self.annotations});
        let parameters = schema::reduced(&self.schema);
        let tool = ServedTool { tool: self, name, parameters, secrets: Arc::clone(&context.secrets) };
        let spec = tool.spec();
        let around = Around::new(tool, &spec, context.clone());
        let mut definition = spec.into_definition();
        if let Some(fields) = definition.announced.as_object_mut() {
            fields.insert("kind".to_owned(), json!("MCPToolDefinition"));
            fields.insert("mcp_tool".to_owned(), announced);
        }
        (definition, Arc::new(around))
    }
}

impl Tool for ServedTool {
    type Action = Action;

    fn spec(&self) -> Spec {
        let hint = |name: &str, otherwise| {
            self.tool.annotations.get(name).and_then(Value::as_bool).unwrap_or(otherwise)
        };
        Spec {
            name: self.name.clone(),
            class: "MCPTool".to_owned(),
            description: self.tool.description.clone(),
            parameters: self.parameters.clone(),
            // What the protocol says of a server that does not say it.
            hints: Annotations {
                titled: false,
                read_only: hint("readOnlyHint", false),
                destructive: hint("destructiveHint", true),
                idempotent: hint("idempotentHint", false),
                open_world: hint("openWorldHint", true),
            },
        }
    }

    fn parse(&self, arguments: &Map<String, Value>) -> Result<Action, String> {
        let mut data = arguments.clone();
        data.retain(|_, value| !value.is_null());
        arguments::check(&data, &self.parameters)?;
        Ok(Action { data })
    }

    async fn run(&self, action: Arc<Action>, cancel: CancellationToken) -> Result<Observation, String> {
        let arguments = expand(&Value::Object(action.data.clone()), self.secrets.as_ref()).await;
        let Value::Object(arguments) = arguments else {
            return Err("the arguments are no object".to_owned());
        };
        let calling = tokio::time::timeout(PATIENCE, self.tool.server.call(&self.tool.name, &arguments));
        let Some(answered) = cancel.run_until_cancelled(calling).await else {
            return Err("interrupted".to_owned());
        };
        let observation = match answered {
            Ok(Ok((content, is_error))) => self.answered(content, is_error),
            Ok(Err(why)) => Observation::error(why),
            Err(_) => Observation::error(format!(
                "The server '{}' has not answered within {} seconds. Ask for less at a time, or go another way.",
                self.tool.server.key(),
                PATIENCE.as_secs()
            )),
        };
        Ok(observation.with("tool_name", Some(&self.name)))
    }

    /// What one server does at the same time may cross.
    fn resources(&self, _action: &Action) -> Option<Vec<Resource>> {
        let is_reader = self.tool.annotations.get("readOnlyHint") == Some(&Value::Bool(true));
        let all = Resource::Tool(format!("mcp:{}", self.tool.server.key()));
        Some(if is_reader { Vec::new() } else { vec![all] })
    }

    fn holds(&self) -> Holds {
        Holds { process: self.tool.server.is_live(), busy: false }
    }
}

impl ServedTool {
    fn answered(&self, content: Vec<Content>, is_error: bool) -> Observation {
        let head = Content::text(format!("[Tool '{}' executed.]", self.name));
        let content = std::iter::once(head).chain(content).collect();
        Observation { content, is_error, fields: Map::new() }
    }
}
