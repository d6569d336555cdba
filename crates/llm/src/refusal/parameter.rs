//! Which parameter of a request a refusal names, and what to send in its place.

use serde_json::Value;

use super::adjust::Adjustment;
use super::words;

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
    ("stream", &["streaming"]),
];
/// Too usual as words: they count only within the path of a message, a tool, or as the parameter named in its field.
const USUAL: &[&str] =
    &["name", "detail", "strict", "store", "stream", "seed", "reasoning", "thinking", "output_config"];
/// Fewer tokens are no answer.
const LEAST_OUTPUT: u64 = 256;
const LIMITS: &[&str] = &["max_tokens", "max_completion_tokens", "max_output_tokens"];
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

/// What is said of a name that is not the right one.
const OTHER_NAME: &[&str] = &[
    "unsupported",
    "not support",
    "unrecognized",
    "unrecognised",
    "unknown",
    "unexpected",
    "not permitted",
    "not allowed",
    "extra inputs",
    "extra_forbidden",
    "additional propert",
    "deprecated",
    "instead",
    "at the same time",
];

/// What a refused request may be sent with instead, if that is another request. `body` is what was sent.
pub(crate) fn adjustment(status: u16, evidence: &str, body: &Value) -> Option<Adjustment> {
    named(status, evidence, body).or_else(|| images(status, evidence)).filter(|found| found.changes(body))
}

/// Whether images are refused, all or these: a request without them is better than none.
fn images(status: u16, evidence: &str) -> Option<Adjustment> {
    match status {
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
    if let Some(limit) = smaller_output(status, &text, body) {
        return Some(limit);
    }
    if words::THINKING.are_in(&text) && body.get("thinking").is_some() {
        return Some(Adjustment::NoThinking);
    }
    if words::NO_SYSTEM.are_in(&text) && body.get("messages").is_some() {
        return Some(Adjustment::NoSystem);
    }
    if words::TEXT_CONTENT.are_in(&text) {
        return Some(Adjustment::TextContent);
    }
    if !REFUSED.iter().any(|word| text.contains(word)) {
        return None;
    }
    let param = param_of(evidence);
    limit_field(&text, body).or_else(|| left_out(&text, param.as_deref(), body))
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

/// One of the two names of the limit where the other is refused, or both were sent.
fn limit_field(text: &str, body: &Value) -> Option<Adjustment> {
    let sent = |key: &str| body.get(key).is_some();
    let [old, new] = ["max_tokens", "max_completion_tokens"].map(|key| word_at(text, key));
    match (old, new) {
        _ if !OTHER_NAME.iter().any(|word| text.contains(word)) => None,
        (Some(_), Some(_)) if sent("max_tokens") && sent("max_completion_tokens") => {
            Some(Adjustment::Without("max_tokens"))
        }
        (Some(_), Some(_)) if sent("max_tokens") => Some(Adjustment::LimitAs("max_completion_tokens")),
        (Some(_), _) if sent("max_tokens") && sent("max_completion_tokens") => {
            Some(Adjustment::Without("max_tokens"))
        }
        (Some(_), None) if sent("max_tokens") => Some(Adjustment::LimitAs("max_completion_tokens")),
        (_, Some(_)) if sent("max_completion_tokens") && sent("max_tokens") => {
            Some(Adjustment::Without("max_completion_tokens"))
        }
        (_, Some(_)) if sent("max_completion_tokens") => Some(Adjustment::LimitAs("max_tokens")),
        _ => None,
    }
}

/// A smaller limit, where the one that was sent is refused for its size: more than the model writes, or more than the context holds
/// beside a prompt that fits well.
fn smaller_output(status: u16, text: &str, body: &Value) -> Option<Adjustment> {
    let sent = LIMITS.iter().find_map(|key| body.get(*key)?.as_u64())?;
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let is_named = LIMITS.iter().any(|key| has_word(text, key));
    if !is_named && !has(&["completion tokens", "output tokens", "in the completion", "for the completion"]) {
        return None;
    }
    let mut numbers = numbers(text);
    if !numbers.contains(&sent)
        && !has(&["valid range", "less than or equal", "at most", "maximum", "must be <="])
    {
        return None;
    }
    numbers.retain(|number| *number != sent && *number != u64::from(status));
    let fits = |room: &u64| (LEAST_OUTPUT..sent).contains(room);
    if has(&["context length", "context limit", "prompt", "input", "messages"]) {
        return room_beside(sent, numbers).filter(fits).map(Adjustment::OutputBeside);
    }
    numbers.into_iter().filter(fits).max().map(Adjustment::OutputAtMost)
}

/// Of a context and a prompt, in tokens, perhaps with the sum of what was asked for: what is left beside the prompt, a little
/// less. Nothing where the prompt is what is too long.
fn room_beside(sent: u64, mut numbers: Vec<u64>) -> Option<u64> {
    let is_sum = |sum: &u64| sum.checked_sub(sent).is_some_and(|prompt| numbers.contains(&prompt));
    let sum = numbers.iter().copied().find(is_sum);
    numbers.retain(|number| Some(*number) != sum);
    let prompt = sum.map(|sum| sum - sent).or_else(|| numbers.iter().copied().min())?;
    let context = numbers.into_iter().filter(|number| *number != prompt).max().or(sum.map(|_| sent))?;
    let room = context.checked_sub(prompt)?;
    (prompt <= context / 2).then_some(room - room / 16)
}

fn numbers(text: &str) -> Vec<u64> {
    let text: Vec<char> = text.chars().collect();
    let is_digit = |at: usize| text.get(at).is_some_and(char::is_ascii_digit);
    let (mut numbers, mut at) = (Vec::new(), 0);
    while at < text.len() {
        if !is_digit(at) {
            at += 1;
            continue;
        }
        let mut number = 0_u64;
        // `16,384` is one number.
        while is_digit(at)
            || (text.get(at) == Some(&',') && (1..=3).all(|next| is_digit(at + next)) && !is_digit(at + 4))
        {
            if let Some(digit) = text.get(at).and_then(|letter| letter.to_digit(10)) {
                number = number.saturating_mul(10).saturating_add(u64::from(digit));
            }
            at += 1;
        }
        numbers.push(number);
    }
    numbers
}

fn has_word(text: &str, word: &str) -> bool {
    word_at(text, word).is_some()
}

/// Where it stands as a word of its own.
fn word_at(text: &str, word: &str) -> Option<usize> {
    let is_part =
        |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    text.match_indices(word).map(|(at, _)| at).find(|at| {
        let before = text.get(..*at).and_then(|text| text.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|text| text.chars().next());
        !is_part(before) && !is_part(after)
    })
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
    fn the_limit_goes_by_the_name_that_is_taken() {
        let old = "Unsupported parameter: 'max_completion_tokens' is not supported with this model.";
        assert_eq!(of(old), Some(Adjustment::LimitAs("max_tokens")));
        let new = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
        let mut other = json!({"max_tokens": 100});
        assert_eq!(adjustment(400, new, &other), Some(Adjustment::LimitAs("max_completion_tokens")));
        other["max_completion_tokens"] = json!(100);
        let both = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.";
        assert_eq!(adjustment(400, both, &other), Some(Adjustment::Without("max_tokens")));
    }

    #[test]
    fn a_limit_that_is_too_large_is_lowered_and_a_prompt_that_is_too_long_is_none() {
        for (text, limit) in [
            ("max_tokens is too large: 16384. This model supports at most 4,096 completion tokens.", 4096),
            (
                "max_tokens: 16384 > 8192, which is the maximum allowed number of output tokens for claude-3-5-haiku-20241022",
                8192,
            ),
            ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", 8192),
            (
                "`max_completion_tokens` must be less than or equal to `8192`, the maximum value for `max_completion_tokens` is less than the `context_window` for this model",
                8192,
            ),
        ] {
            assert_eq!(of(text), Some(Adjustment::OutputAtMost(limit)), "{text}");
        }
        for (text, limit) in [
            (
                "'max_tokens' or 'max_completion_tokens' is too large: 16384. This model's maximum context length is 8192 tokens and your request has 512 input tokens (16384 > 8192 - 512).",
                7200,
            ),
            (
                "This model's maximum context length is 8192 tokens. However, you requested 16896 tokens (512 in the messages, 16384 in the completion).",
                7200,
            ),
            (
                "This model's maximum context length is 16384 tokens. However, you requested 16896 tokens (512 in your prompt; 16384 for the completion).",
                14_880,
            ),
        ] {
            assert_eq!(of(text), Some(Adjustment::OutputBeside(limit)), "{text}");
        }
        for text in [
            "input length and `max_tokens` exceed context limit: 190000 + 16384 > 200000, decrease input length or `max_tokens` and try again",
            "This model's maximum context length is 128000 tokens. However, you requested 140000 tokens (123616 in the messages, 16384 in the completion).",
            "`inputs` tokens + `max_new_tokens` must be <= 8193",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
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
