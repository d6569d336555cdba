//! How long a refusal asks to wait, where no header says it.

use std::time::Duration;

use serde_json::Value;

/// Before a number with its unit.
const BEFORE: &[&str] =
    &["try again in ", "retry in ", "retry after ", "retry-after: ", "available in ", "wait "];
/// Fields of an error object, and what a number in them counts.
const FIELDS: &[(&str, f64)] = &[
    ("retryDelay", 1.0),
    ("retry_delay", 1.0),
    ("retry_after_ms", 0.001),
    ("retryAfterMs", 0.001),
    ("retry_after", 1.0),
    ("retryAfter", 1.0),
    ("retry_after_seconds", 1.0),
    ("reset_after", 1.0),
];
/// Of a body: errors are no deeper.
const DEPTH: u8 = 6;
const DAY: f64 = 86_400.0;

pub(crate) fn asked_wait(evidence: &str) -> Option<Duration> {
    let in_fields = serde_json::from_str(evidence).ok().and_then(|body| field(&body, 0));
    let seconds = in_fields.or_else(|| in_words(&evidence.to_ascii_lowercase()))?;
    Duration::try_from_secs_f64(seconds.clamp(0.0, DAY)).ok()
}

fn field(value: &Value, depth: u8) -> Option<f64> {
    if depth > DEPTH {
        return None;
    }
    match value {
        Value::Object(fields) => {
            let named = FIELDS.iter().find_map(|(name, unit)| match fields.get(*name)? {
                Value::Number(number) => Some(number.as_f64()? * unit),
                Value::String(text) => {
                    text.parse::<f64>().map(|number| number * unit).ok().or_else(|| span(text))
                }
                _ => None,
            });
            named.or_else(|| fields.values().find_map(|inner| field(inner, depth + 1)))
        }
        Value::Array(items) => items.iter().find_map(|item| field(item, depth + 1)),
        _ => None,
    }
}

fn in_words(text: &str) -> Option<f64> {
    BEFORE.iter().find_map(|words| {
        let (_, rest) = text.split_once(words)?;
        span(rest)
    })
}

/// `1.2s`, `20ms`, `6m0s`, `26 seconds`, `5 minutes`.
fn span(text: &str) -> Option<f64> {
    let (mut rest, mut seconds, mut found) = (text.trim_start(), 0.0, false);
    loop {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(end)?;
        let Ok(number) = number.trim_end_matches('.').parse::<f64>() else { break };
        let after = after.trim_start();
        let end = after.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let unit = match unit {
            "ms" | "milliseconds" | "millisecond" => 0.001,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hour" | "hours" => 3_600.0,
            "d" | "day" | "days" => DAY,
            _ => break,
        };
        seconds += number * unit;
        (rest, found) = (after, true);
    }
    found.then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_body_asks_is_read() {
        for (body, millis) in [
            ("Rate limit reached. Please try again in 1.2s. Visit", 1_200),
            ("Please try again in 6m0s.", 360_000),
            ("please try again in 20ms.", 20),
            ("Please retry after 26 seconds.", 26_000),
            ("Please retry in 34.5s.", 34_500),
            ("Try again in 5 minutes", 300_000),
            (r#"{"error": {"details": [{"@type": "…RetryInfo", "retryDelay": "34s"}]}}"#, 34_000),
            (r#"{"retry_after": 2.5}"#, 2_500),
            (r#"{"error": {"retry_after_ms": "250"}}"#, 250),
            (r#"{"error": {"message": "Try again in 3s"}}"#, 3_000),
        ] {
            assert_eq!(asked_wait(body), Some(Duration::from_millis(millis)), "{body}");
        }
        for body in ["", "try again in a moment", "wait 3", "retry in 3 parsecs", "{}", "try again in ."] {
            assert_eq!(asked_wait(body), None, "{body}");
        }
    }
}
