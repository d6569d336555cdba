//! Single events are told with all their fields, null where they are not set; the log leaves those out.

use serde_json::{Map, Value};

/// What no event of an honest worker has: it is told as the log has it. Read as values it could be many times as large in
/// memory.
const LARGEST: usize = 2 << 20;

/// Appends the JSON text of an event, completed.
///
/// # Errors
/// For a text that is no JSON.
pub fn write_whole(event: &[u8], out: &mut Vec<u8>) -> serde_json::Result<()> {
    if event.len() > LARGEST {
        out.extend_from_slice(event);
        return Ok(());
    }
    let mut event: Value = serde_json::from_slice(event)?;
    fill(&mut event);
    serde_json::to_writer(out, &event)
}

/// Puts the missing fields into an event and what is inside it.
fn fill(event: &mut Value) {
    let Value::Object(fields) = event else { return };
    add(fields, &["parent_id"]);
    fill_by_kind(fields);
    for part in ["action", "observation"] {
        if let Some(Value::Object(inner)) = fields.get_mut(part) {
            fill_by_kind(inner);
        }
    }
    if let Some(Value::Object(call)) = fields.get_mut("tool_call") {
        add(call, &["responses_item_id"]);
    }
    if let Some(Value::Object(message)) = fields.get_mut("llm_message") {
        add(
            message,
            &["tool_calls", "tool_call_id", "name", "reasoning_content", "responses_reasoning_item"],
        );
    }
    if let Some(Value::Object(metadata)) = event.pointer_mut("/observation/metadata") {
        add(metadata, &["username", "hostname", "working_dir", "py_interpreter_path"]);
    }
}

fn fill_by_kind(fields: &mut Map<String, Value>) {
    let names = fields.get("kind").and_then(Value::as_str).map(of_kind).unwrap_or_default();
    add(fields, names);
}

fn add(fields: &mut Map<String, Value>, names: &[&str]) {
    for name in names {
        if !fields.contains_key(*name) {
            fields.insert((*name).to_owned(), Value::Null);
        }
    }
}

/// The fields of each kind that may be null.
fn of_kind(kind: &str) -> &'static [&'static str] {
    match kind {
        "SystemPromptEvent" => &["dynamic_context"],
        "MessageEvent" => &["llm_response_id", "sender", "critic_result"],
        "ActionEvent" => {
            &["reasoning_content", "responses_reasoning_item", "action", "critic_result", "summary"]
        }
        "AgentErrorEvent" | "ConversationErrorEvent" => &["classification"],
        "ConversationStateUpdateEvent" => &["value"],
        "Condensation" => &["summary", "summary_offset"],
        "HookExecutionEvent" => {
            &["tool_name", "reason", "additional_context", "error", "action_id", "message_id", "hook_input"]
        }
        "ACPToolCallEvent" => &["status", "tool_kind", "raw_input", "raw_output", "content"],
        "TerminalAction" => &["timeout"],
        "FileEditorAction" => &["file_text", "old_str", "new_str", "insert_line", "view_range"],
        "TerminalObservation" => &["exit_code", "full_output_save_dir"],
        "FileEditorObservation" => &["path", "old_content", "new_content"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_set_is_null_and_what_is_set_stays() {
        let mut event = json!({"id": "a", "kind": "ActionEvent", "summary": "s",
            "action": {"kind": "TerminalAction", "command": "ls"}, "tool_call": {"id": "c"}});
        fill(&mut event);
        assert_eq!(
            event,
            json!({"id": "a", "kind": "ActionEvent", "summary": "s", "parent_id": null,
                "action": {"kind": "TerminalAction", "command": "ls", "timeout": null},
                "tool_call": {"id": "c", "responses_item_id": null}, "reasoning_content": null,
                "responses_reasoning_item": null, "critic_result": null})
        );
    }
}
