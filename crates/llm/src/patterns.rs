//! The words by which provider errors are recognised, as lower-case substrings of the whole error text.

const PROMPT_TOO_LONG: &[&str] = &[
    "contextwindowexceedederror",
    "context_length_exceeded",
    "maximum context length",
    "prompt is too long",
    "input length and `max_tokens` exceed context limit",
    "please reduce the length of",
    "exceeds the available context size",
    "context length exceeded",
    "input exceeds the context window",
    "context window exceeds limit",
];
const BROKEN_HISTORY: &[&str] = &[
    "tool_use ids were found without `tool_result` blocks immediately after",
    "`tool_use` ids were found without `tool_result` blocks immediately after",
    "each `tool_use` block must have a corresponding `tool_result` block in the next message",
    "each tool_use must have a single result",
    "found multiple `tool_result` blocks with id:",
    "unexpected `tool_use_id` found in `tool_result` blocks",
    "each `tool_result` block must have a corresponding `tool_use` block in the previous message",
    "must be followed by tool messages responding to each 'tool_call_id'",
    "failed to parse tool call arguments as json",
];
const CONTENT_POLICY: &[&str] =
    &["content_policy", "content filtering policy", "output blocked by content filtering"];
const AUTHENTICATION: &[&str] =
    &["invalid api key", "unauthorized", "missing api key", "invalid authentication", "access denied"];
const CACHE_TOO_SMALL: &[&str] = &["minimum token count to start caching"];

pub(crate) fn prompt_too_long(text: &str) -> bool {
    has(text, PROMPT_TOO_LONG)
}

pub(crate) fn broken_history(text: &str) -> bool {
    has(text, BROKEN_HISTORY)
}

pub(crate) fn content_policy(text: &str) -> bool {
    has(text, CONTENT_POLICY)
}

pub(crate) fn authentication(text: &str) -> bool {
    has(text, AUTHENTICATION)
}

pub(crate) fn cache_too_small(text: &str) -> bool {
    has(text, CACHE_TOO_SMALL)
}

fn has(text: &str, words: &[&str]) -> bool {
    let text = text.to_lowercase();
    words.iter().any(|word| text.contains(word))
}
