//! How bodies are looked at.

use serde_json::Value;

/// A sentence if it is refused.
pub type Verdict = Result<(), String>;

pub fn demand(holds: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// The list of that name; empty where there is none.
pub fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The text of that name; empty where there is none.
pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// What is within it by that name.
pub fn part<'a>(value: &'a Value, key: &str) -> &'a Value {
    value.get(key).unwrap_or(&Value::Null)
}

/// Blank text is refused by Anthropic ("text content blocks must contain non-whitespace text"), wherever its models are served,
/// and by Bedrock for all.
pub fn not_blank(text: &str, at: &str) -> Verdict {
    demand(!text.trim().is_empty(), || format!("{at}: text must contain non-whitespace text"))
}
