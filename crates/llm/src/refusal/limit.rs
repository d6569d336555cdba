//! The limit of the output: by which name a server takes it, and how large it may be.

use serde_json::Value;

use super::adjust::Adjustment;
use super::words::{has_word, word_at};

/// Fewer tokens are no answer.
const LEAST_OUTPUT: u64 = 256;
const LIMITS: &[&str] = &["max_tokens", "max_completion_tokens", "max_output_tokens"];
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

/// One of the two names of the limit where the other is refused, or both were sent.
pub(super) fn other_name(text: &str, body: &Value) -> Option<Adjustment> {
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
pub(super) fn smaller(status: u16, text: &str, body: &Value) -> Option<Adjustment> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::refusal::adjustment;

    fn of(text: &str) -> Option<Adjustment> {
        adjustment(400, text, &json!({"messages": [], "max_completion_tokens": 16384}))
    }

    #[test]
    fn the_limit_goes_by_the_name_that_is_taken() {
        let old = "Unsupported parameter: 'max_completion_tokens' is not supported with this model.";
        assert_eq!(of(old), Some(Adjustment::LimitAs("max_tokens")));
        let new = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
        let mut other = json!({"max_tokens": 100});
        assert_eq!(
            other_name(&new.to_lowercase(), &other),
            Some(Adjustment::LimitAs("max_completion_tokens"))
        );
        other["max_completion_tokens"] = json!(100);
        let both = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.";
        assert_eq!(other_name(&both.to_lowercase(), &other), Some(Adjustment::Without("max_tokens")));
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
}
