//! What a server holds against a request: parts of the request itself, which say nothing of the refusal.

use serde_json::Value;

/// Under which errors hold what was sent.
const ECHOES: [&str; 6] = ["input", "request", "request_body", "body", "messages", "prompt"];

/// Without what was sent, which some servers hold against it: it would be searched for the words of refusals, and it is about
/// anything.
pub(crate) fn without_echo(mut body: Value) -> Value {
    leave_echo_out(&mut body, 0);
    body
}

fn leave_echo_out(value: &mut Value, depth: u8) {
    match value {
        Value::Object(fields) if depth < 8 => {
            let is_told_by_pydantic = fields.contains_key("loc") && fields.contains_key("msg");
            fields.retain(|key, value| {
                let is_whole = value.is_object() || value.is_array();
                !(ECHOES.contains(&key.as_str()) && (is_whole || is_told_by_pydantic))
            });
            fields.values_mut().for_each(|value| leave_echo_out(value, depth + 1));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| leave_echo_out(item, depth + 1)),
        _ => {}
    }
}

/// The same of a text that was cut.
pub(crate) fn before_echo(text: &str) -> &str {
    let is_told = text.trim_start().starts_with('{') && text.contains("\"loc\"");
    let end = text.find("\"input\"").filter(|_| is_told).unwrap_or(text.len());
    text.get(..end).unwrap_or(text)
}
