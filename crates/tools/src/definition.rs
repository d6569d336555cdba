//! Building a [`ToolDefinition`] in the form clients know.

use serde_json::{Map, Value, json};
use types::Content;
use types::tool::ToolDefinition;

/// What a client is told about a tool's effects.
#[derive(Clone, Copy)]
pub struct Annotations {
    /// Whether `annotations.title` is given.
    pub titled: bool,
    pub read_only: bool,
    pub destructive: bool,
    pub idempotent: bool,
    pub open_world: bool,
}

/// `class` is the stem of the kinds: `Terminal` gives `TerminalTool`, `TerminalAction`, `TerminalObservation`.
pub fn define(
    name: &str,
    class: &str,
    description: String,
    parameters: Value,
    hints: Annotations,
) -> ToolDefinition {
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
    ToolDefinition { name: name.to_owned(), description, parameters, announced, read_only: hints.read_only }
}

/// The `content` of an observation that is one text.
pub fn text_content(text: impl Into<String>) -> Value {
    serde_json::to_value([Content::text(text)]).unwrap_or_default()
}
