//! How a tool is told to the model and to clients.

use serde_json::{Map, Value, json};
use types::tool::ToolDefinition;

pub struct Spec {
    pub name: String,
    /// The stem of the kinds: `Terminal` gives `TerminalTool`, `TerminalAction`, `TerminalObservation`.
    pub class: String,
    pub description: String,
    /// JSON schema of the arguments.
    pub parameters: Value,
    pub hints: Annotations,
}

/// What a client is told about a tool's effects.
#[derive(Clone, Copy, Debug)]
pub struct Annotations {
    /// Whether `annotations.title` is given.
    pub titled: bool,
    pub read_only: bool,
    pub destructive: bool,
    pub idempotent: bool,
    pub open_world: bool,
}

impl Spec {
    pub(crate) fn into_definition(self) -> ToolDefinition {
        let Self { name, class, description, parameters, hints } = self;
        let mut annotations = Map::new();
        if hints.titled {
            annotations.insert("title".to_owned(), json!(name));
        }
        annotations.insert("readOnlyHint".to_owned(), json!(hints.read_only));
        annotations.insert("destructiveHint".to_owned(), json!(hints.destructive));
        annotations.insert("idempotentHint".to_owned(), json!(hints.idempotent));
        annotations.insert("openWorldHint".to_owned(), json!(hints.open_world));
        let announced = json!({
            "description": description,
            "action_type": format!("{class}Action"),
            "observation_type": format!("{class}Observation"),
            "annotations": annotations,
            "kind": format!("{class}Tool"),
            "title": name,
        });
        ToolDefinition { name, description, parameters, announced, read_only: hints.read_only }
    }
}
