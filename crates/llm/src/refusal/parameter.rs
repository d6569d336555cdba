//! Which parameter of a request a refusal names, and what to send in its place.

use serde_json::Value;

use super::adjust::Adjustment;
use super::limit::{other_name, smaller};
use super::words::{self, has_word, word_at};

/// What nobody has to send: the key in a body, and the words by which it is refused besides.
const OPTIONAL: &[(&str, &[&str])] = &[
    ("reasoning_effort", &["reasoning effort", "does not support thinking", "does not support reasoning"]),
    ("reasoning", &["reasoning.effort", "reasoning.summary", "reasoning effort"]),
    ("thinking", &["does not support thinking", "budget_tokens"]),
    ("output_config", &["effort"]),
    ("prompt_cache_key", &[]),
    ("prompt_cache_retention", &[]),
    ("stream_options", &["include_usage"]),
    ("parallel_tool_calls", &[]),
    ("tool_choice", &[]),
    ("store", &[]),
    ("top_p", &[]),
    ("top_k", &[]),
    ("temperature", &[]),
    ("seed", &[]),
    ("cache_control", &["cache control"]),
    ("reasoning_content", &[]),
    ("thinking_blocks", &[]),
    ("strict", &[]),
    ("name", &[]),
    ("detail", &[]),
    ("stop", &[]),
    ("stop_sequences", &[]),
    ("stream", &["streaming"]),
];
/// Too usual as words: they count only within the path of a message, a tool, or as the parameter named in its field.
const USUAL: &[&str] = &[
    "name",
    "detail",
    "strict",
    "store",
    "stop",
    "stream",
    "seed",
    "reasoning",
    "thinking",
    "output_config",
];
/// What is said of a parameter that is not taken.
const REFUSED: &[&str] = &[
    "unsupported",
    "not support",
    "unrecognized",
    "unrecognised",
    "unknown",
    "unexpected",
    "not permitted",
    "not allowed",
    "forbidden",
    "extra inputs",
    "extra fields",
    "extra_forbidden",
    "additional propert",
    "invalid",
    "only the default",
    "must be",
    "should be",
    "cannot be",
    "can not be",
    "cannot both",
    "not available",
    "not enabled",
    "not a valid",
    "deprecated",
    "incompatible",
    "no such",
    "must be verified",
    "not implemented",
    "only supported",
    "only allowed",
    "at the same time",
];

/// The same in a failure of the server, whose other words are about anything.
const REFUSED_FOR_SURE: &[&str] = &[
    "unsupported",
    "not support",
    "unrecognized",
    "unrecognised",
    "unknown parameter",
    "unknown field",
    "unknown argument",
    "unexpected keyword",
    "not permitted",
    "not allowed",
    "extra inputs",
    "extra_forbidden",
    "additional propert",
    "must be verified",
    "not implemented",
    "only supported",
];

/// What a refused request may be sent with instead, if that is another request. `body` is what was sent.
pub(crate) fn adjustment(status: u16, evidence: &str, body: &Value) -> Option<Adjustment> {
    named(status, evidence, body).or_else(|| images(status, evidence)).filter(|found| found.changes(body))
}

/// Whether images are refused, all or these: a request without them is better than none.
fn images(status: u16, evidence: &str) -> Option<Adjustment> {
    let most = words::most_images(evidence).filter(|_| matches!(status, 400 | 413 | 422 | 500));
    match status {
        _ if most == Some(0) => Some(Adjustment::NoImages),
        _ if most.is_some() => most.map(Adjustment::ImagesAtMost),
        400 | 404 | 415 | 422 | 500 | 501 if words::NO_IMAGES.are_in(evidence) => Some(Adjustment::NoImages),
        400 | 413 | 422 if words::BAD_IMAGE.are_in(evidence) => Some(Adjustment::NoSuchImages),
        413 => Some(Adjustment::NoSuchImages),
        _ => None,
    }
}

fn named(status: u16, evidence: &str, body: &Value) -> Option<Adjustment> {
    if !matches!(status, 400 | 404 | 415 | 422 | 500 | 501) {
        return None;
    }
    // The kind of all errors of a request says nothing of this one.
    let text = evidence.to_lowercase().replace("invalid_request_error", " ");
    if let Some(limit) = smaller(status, &text, body) {
        return Some(limit);
    }
    if words::THINKING.are_in(&text) && body.get("thinking").is_some() {
        return Some(Adjustment::NoThinking);
    }
    if words::NO_SYSTEM.are_in(&text) && body.get("messages").is_some() {
        return Some(Adjustment::NoSystem);
    }
    if words::BAD_SCHEMA.are_in(&text) && Adjustment::PlainSchemas.changes(body) {
        return Some(Adjustment::PlainSchemas);
    }
    if words::NO_TOOLS.are_in(&text) && body.get("tools").is_some() {
        return Some(Adjustment::ToolsInWords);
    }
    if words::TEXT_CONTENT.are_in(&text) {
        return Some(Adjustment::TextContent);
    }
    let refused = if status >= 500 { REFUSED_FOR_SURE } else { REFUSED };
    if !refused.iter().any(|word| text.contains(word)) {
        return None;
    }
    let param = param_of(evidence);
    other_name(&text, body).or_else(|| left_out(&text, param.as_deref(), body))
}

/// The parameter that an error object names in a field of its own.
fn param_of(evidence: &str) -> Option<String> {
    let body: Value = serde_json::from_str(evidence).ok()?;
    let body = body.get(0).unwrap_or(&body);
    let error = body.get("error").filter(|error| error.is_object()).unwrap_or(body);
    let named = error.get("param").and_then(Value::as_str);
    // As pydantic tells it.
    let located =
        error.pointer("/detail/0/loc").and_then(Value::as_array).and_then(|place| place.last()?.as_str());
    let named = named.or(located)?.to_ascii_lowercase();
    Some(
        named
            .rsplit(['.', '['])
            .find(|part| !part.starts_with(|l: char| l.is_ascii_digit()))
            .unwrap_or(&named)
            .to_owned(),
    )
}

fn left_out(text: &str, param: Option<&str>, body: &Value) -> Option<Adjustment> {
    let both = has_word(text, "temperature") && has_word(text, "top_p") && body.get("top_p").is_some();
    if both {
        return Some(Adjustment::Without("top_p"));
    }
    let is_there = |key: &str| body.get(key).is_some() || is_within(body, key);
    let named = OPTIONAL.iter().find(|(key, _)| param == Some(*key) && is_there(key));
    let named = named.or_else(|| {
        // The first that is named, not the first of the list.
        let place = |key: &str, others: &[&str]| {
            let own = if USUAL.contains(&key) { path_to(text, key) } else { word_at(text, key) };
            let others = others.iter().filter_map(|other| text.find(other));
            own.into_iter().chain(others).min()
        };
        let there = OPTIONAL.iter().filter(|(key, _)| is_there(key));
        let found = there.filter_map(|option| Some((place(option.0, option.1)?, option)));
        found.min_by_key(|(at, _)| *at).map(|(_, option)| option)
    });
    named.map(|option| Adjustment::Without(option.0))
}

/// A key of messages or tools.
fn is_within(body: &Value, key: &str) -> bool {
    let lists = ["messages", "input", "tools", "system"]
        .iter()
        .filter_map(|list| body.get(*list)?.as_array())
        .flatten();
    lists.into_iter().any(|item| has_key(item, key, 0))
}

fn has_key(value: &Value, key: &str, depth: u8) -> bool {
    match value {
        Value::Object(fields) => {
            fields.contains_key(key)
                || (depth < 2
                    && ["function", "content"]
                        .iter()
                        .any(|inner| fields.get(*inner).is_some_and(|inner| has_key(inner, key, depth + 1))))
        }
        Value::Array(items) => items.iter().any(|item| has_key(item, key, depth + 1)),
        _ => false,
    }
}

/// Where it stands behind a dot, or in quotes.
fn path_to(text: &str, word: &str) -> Option<usize> {
    let quoted = ['\'', '"', '`'].iter().filter_map(|quote| text.find(&format!("{quote}{word}{quote}")));
    let in_path = word_at(text, &format!(".{word}")).or_else(|| {
        text.match_indices(&format!(".{word}")).map(|(at, _)| at).find(|at| {
            text.get(at + word.len() + 1..)
                .and_then(|text| text.chars().next())
                .is_none_or(|letter| !letter.is_ascii_alphanumeric() && letter != '_')
        })
    });
    quoted.chain(in_path).min()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body() -> Value {
        json!({
            "model": "x",
            "messages": [{"role": "user", "content": "hi"}, {"role": "tool", "tool_call_id": "1", "name": "t", "content": "x"}],
            "tools": [{"type": "function", "function": {"name": "t", "strict": false}}],
            "reasoning_effort": "high",
            "prompt_cache_key": "k",
            "temperature": 0,
            "top_p": 1,
            "max_completion_tokens": 16384,
            "stream": true,
            "stream_options": {"include_usage": true},
        })
    }

    fn of(text: &str) -> Option<Adjustment> {
        adjustment(400, text, &body())
    }

    #[test]
    fn the_parameter_that_a_refusal_names_is_left_out() {
        for (text, key) in [
            ("Unrecognized request argument supplied: reasoning_effort", "reasoning_effort"),
            (
                r#"{"error": {"message": "No.", "param": "reasoning_effort", "code": "unsupported_parameter"}}"#,
                "reasoning_effort",
            ),
            (
                r#"{"detail": [{"type": "extra_forbidden", "loc": ["body", "prompt_cache_key"], "msg": "Extra inputs are not permitted"}]}"#,
                "prompt_cache_key",
            ),
            ("prompt_cache_key: Extra inputs are not permitted", "prompt_cache_key"),
            ("got an unexpected keyword argument 'stream_options'", "stream_options"),
            (
                "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
                "temperature",
            ),
            (
                "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
                "top_p",
            ),
            ("\"qwen2.5\" does not support thinking", "reasoning_effort"),
            (
                r#"{"error": {"message": "Your organization must be verified to stream this model.", "param": "stream"}}"#,
                "stream",
            ),
            ("property 'messages.1.name' is unsupported", "name"),
            ("Unknown parameter: 'tools[0].strict'.", "strict"),
        ] {
            assert_eq!(of(text), Some(Adjustment::Without(key)), "{text}");
        }
        for text in [
            "Unrecognized request argument supplied: something_else",
            "The request is invalid.",
            "Invalid value for 'messages': the name of the tool must be a string",
            "Unsupported parameter: seed",
            "model not found: temperature-1",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(adjustment(401, "Unrecognized request argument: reasoning_effort", &body()), None);
    }

    #[test]
    fn a_failure_of_the_server_is_no_refusal_unless_it_says_so() {
        for text in [
            "An unexpected error occurred while streaming the response",
            "invalid state: temperature sensor",
            "reasoning_effort must be computed",
        ] {
            assert_eq!(adjustment(500, text, &body()), None, "{text}");
        }
        let fault = "TypeError: create() got an unexpected keyword argument 'reasoning_effort'";
        assert_eq!(adjustment(500, fault, &body()), Some(Adjustment::Without("reasoning_effort")));
    }

    #[test]
    fn images_that_are_refused_are_left_out_where_there_are_any() {
        let image = json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]});
        for (status, text, found) in [
            (404, "No endpoints found that support image input", Adjustment::NoImages),
            (400, "x is not a multimodal model", Adjustment::NoImages),
            (
                400,
                "messages.0.content.0.image.source.base64: image exceeds 5 MB maximum: 6 bytes",
                Adjustment::NoSuchImages,
            ),
            (400, "Could not process image", Adjustment::NoSuchImages),
            (400, "At most 0 image(s) may be provided in one request.", Adjustment::NoImages),
            (413, "Request Entity Too Large", Adjustment::NoSuchImages),
        ] {
            assert_eq!(adjustment(status, text, &image), Some(found), "{text}");
            assert_eq!(adjustment(status, text, &body()), None, "{text}");
        }
    }

    #[test]
    fn the_form_of_messages_that_is_not_taken_is_known() {
        let messages = json!([{"role": "system", "content": [{"type": "text", "text": "a"}]}]);
        let of = |text: &str| adjustment(400, text, &json!({ "messages": messages }));
        assert_eq!(of("messages[1].content must be a string"), Some(Adjustment::TextContent));
        assert_eq!(
            of("invalid type: sequence, expected a string at messages[0].content"),
            Some(Adjustment::TextContent)
        );
        assert_eq!(of("System role not supported"), Some(Adjustment::NoSystem));
    }
}
