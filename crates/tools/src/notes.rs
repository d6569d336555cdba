//! `think` and `finish`: tools that only record what the model says.

use serde_json::{Map, Value, json};
use types::tool::ToolDefinition;

use crate::args::Args;
use crate::definition::{Annotations, define, text_content};

const HARMLESS: Annotations =
    Annotations { titled: false, read_only: true, destructive: false, idempotent: true, open_world: false };

const THINK: &str = "Write down a thought. Nothing is looked up and nothing changes: the thought is only kept \
in the history, where you can build on it.

Good moments: before a change that touches several places, to compare ways of doing it; after a failing test or \
an unexpected result, to list the possible causes and pick the one to check first; when rules or requirements \
have to be weighed against each other. Not needed for simple, obvious steps.";

const FINISH: &str =
    "End the work on the current request and hand over to the user. Call it when everything \
asked for is done and checked, or when you cannot go on without the user.

`message` is what the user reads: say what was done and where, what was left out and why, and what the user \
has to do or decide next, if anything.";

pub fn think_definition() -> ToolDefinition {
    let parameters = json!({
        "type": "object",
        "properties": {"thought": {"type": "string", "description": "The thought to keep."}},
        "required": ["thought"],
    });
    define("think", "Think", THINK.to_owned(), parameters, HARMLESS)
}

pub fn finish_definition() -> ToolDefinition {
    let parameters = json!({
        "type": "object",
        "properties": {"message": {"type": "string", "description": "The closing message to the user."}},
        "required": ["message"],
    });
    let hints = Annotations { titled: true, ..HARMLESS };
    define("finish", "Finish", FINISH.to_owned(), parameters, hints)
}

pub fn parse_think(arguments: &Map<String, Value>) -> Result<Value, String> {
    let mut args = Args::new(arguments);
    let thought = args.text("thought");
    args.finish()?;
    Ok(json!({"thought": thought, "kind": "ThinkAction"}))
}

pub fn parse_finish(arguments: &Map<String, Value>) -> Result<Value, String> {
    let mut args = Args::new(arguments);
    let message = args.text("message");
    args.finish()?;
    Ok(json!({"message": message, "kind": "FinishAction"}))
}

pub fn think() -> Value {
    let content = text_content("Your thought has been logged.");
    json!({"content": content, "is_error": false, "kind": "ThinkObservation"})
}

pub fn finish(action: &Value) -> Value {
    let message = action.get("message").and_then(Value::as_str).unwrap_or_default();
    json!({"content": text_content(message), "is_error": false, "kind": "FinishObservation"})
}
