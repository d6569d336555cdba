//! Bounds on what a log may put into the projection of its conversation. Every gateway keeps the projections of
//! all conversations in memory, and workers, which write the logs, are not trusted.

use serde_json::Value;

/// The keys of state updates that an answer shows, beside those with a field of their own in the projection.
pub const KEYS: [&str; 6] = [
    "activated_knowledge_skills",
    "activated_path_rules",
    "blocked_actions",
    "blocked_messages",
    "hook_config",
    "invoked_skills",
];

/// What one value may take up, as text and in memory.
pub const MOST_BYTES: usize = 128 * 1024;

/// Bytes of an id, a name of a model, or a timestamp.
const NAME_BYTES: usize = 256;

/// The value, unless it is too large to be kept.
pub(crate) fn value(text: &str) -> Option<Value> {
    if text.len() > MOST_BYTES {
        return None;
    }
    let value: Value = serde_json::from_str(text).ok()?;
    bounded(&value).is_some().then_some(value)
}

/// The same of one that was read.
pub(crate) fn bounded(value: &Value) -> Option<&Value> {
    (weight(value) <= MOST_BYTES).then_some(value)
}

/// Short JSON can be large in memory: `[[],[],…]`. The parser bounds the depth.
fn weight(value: &Value) -> usize {
    let inside: usize = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + weight(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + inside
}

/// The name, unless it is too long to be one.
pub(crate) fn name(text: &str) -> Option<String> {
    (text.len() <= NAME_BYTES).then(|| text.to_owned())
}

/// As much of a name as is kept.
pub(crate) fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(NAME_BYTES)).unwrap_or(text)
}
