//! Tool results: hiding secrets in them, and what the model reads of them.

use serde_json::Value;
use types::content::Content;

use crate::protocol::Env;

const ERROR_HEADING: &str = "[An error occurred during execution.]\n";

/// Hides known secrets in every text of an observation but images.
pub fn mask(value: &mut Value, env: &dyn Env) {
    match value {
        Value::String(text) => *text = env.masked(text),
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, env)),
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                if name != "image_urls" && name != "kind" {
                    mask(field, env);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The blocks the model is sent for an observation.
pub fn blocks(observation: &Value, extended: &[Content]) -> Vec<Content> {
    let mut blocks = Vec::new();
    if observation.get("is_error").and_then(Value::as_bool).unwrap_or(false) {
        blocks.push(Content::text(ERROR_HEADING));
    }
    let content = observation.get("content").map(read_content).unwrap_or_default();
    match observation.get("metadata").and_then(Value::as_object) {
        Some(metadata) => blocks.push(Content::text(shell_text(&content, metadata))),
        None => blocks.extend(content),
    }
    blocks.extend_from_slice(extended);
    blocks
}

fn read_content(content: &Value) -> Vec<Content> {
    match content {
        Value::String(text) => vec![Content::text(text.as_str())],
        Value::Array(items) => items.iter().filter_map(read_block).collect(),
        _ => Vec::new(),
    }
}

fn read_block(block: &Value) -> Option<Content> {
    if let Some(text) = block.get("text").and_then(Value::as_str) {
        return Some(Content::text(text));
    }
    serde_json::from_value(block.clone()).ok()
}

/// A command's output with what the shell says about it.
fn shell_text(content: &[Content], metadata: &serde_json::Map<String, Value>) -> String {
    let field = |name: &str| metadata.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut text = field("prefix").unwrap_or_default().to_owned();
    text.push_str(&types::content::joined_text(content));
    text.push_str(field("suffix").unwrap_or_default());
    if let Some(directory) = field("working_dir") {
        text.push_str(&format!("\n[Current working directory: {directory}]"));
    }
    if let Some(interpreter) = field("py_interpreter_path") {
        text.push_str(&format!("\n[Python interpreter: {interpreter}]"));
    }
    match metadata.get("exit_code").and_then(Value::as_i64) {
        Some(code) if code != -1 => text.push_str(&format!("\n[Command finished with exit code {code}]")),
        _ => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(observation: &Value) -> Vec<String> {
        blocks(observation, &[]).iter().filter_map(|b| b.as_text().map(str::to_owned)).collect()
    }

    #[test]
    fn a_command_is_shown_with_its_directory_and_exit_code() {
        let failed = json!({"content": [{"type": "text", "text": "oh"}], "is_error": false, "kind": "TerminalObservation",
            "metadata": {"exit_code": 1, "pid": -1, "working_dir": "/w", "py_interpreter_path": "", "prefix": "", "suffix": "\n[done]"}});
        assert_eq!(
            text(&failed),
            ["oh\n[done]\n[Current working directory: /w]\n[Command finished with exit code 1]"]
        );
        let waiting = json!({"content": [{"type": "text", "text": "name?"}], "is_error": false,
            "metadata": {"exit_code": -1, "prefix": "[before]\n", "suffix": "\n[no end yet]"}});
        assert_eq!(text(&waiting), ["[before]\nname?\n[no end yet]"]);
    }

    #[test]
    fn an_error_is_announced_in_a_block_of_its_own() {
        let error = json!({"content": [{"type": "text", "text": "no such file"}], "is_error": true});
        assert_eq!(text(&error), [ERROR_HEADING, "no such file"]);
    }

    #[test]
    fn images_reach_the_model() {
        let image = json!({"content": [{"type": "image", "image_urls": ["data:image/png;base64,AA=="]}], "is_error": false});
        assert!(matches!(blocks(&image, &[]).as_slice(), [Content::Image { .. }]));
    }
}
