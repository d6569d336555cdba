//! How long to wait before the next attempt.

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use types::agent::LlmConfig;

/// The longest wait a provider can demand.
pub(crate) const LONGEST_DEMAND: Duration = Duration::from_secs(300);
/// An attempt whose time nobody limits ends all the same.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Attempts in all.
pub(crate) fn attempts(llm: &LlmConfig) -> u32 {
    llm.num_retries.max(1)
}

/// The wait after attempt `attempt` (from 1) failed: what the provider asked for, else it doubles. No time at all is believed once:
/// some servers always ask for that, also while they are too busy.
pub(crate) fn wait(llm: &LlmConfig, attempt: u32, asked: Option<Duration>) -> Duration {
    if let Some(asked) = asked.filter(|asked| attempt == 1 || !asked.is_zero()) {
        return asked.min(LONGEST_DEMAND);
    }
    let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
    let grown = llm.retry_multiplier * 2_f64.powi(exponent);
    seconds(grown.max(llm.retry_min_wait).min(llm.retry_max_wait))
}

/// Reads `retry-after-ms`, and `retry-after` as seconds or as an HTTP date.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(millis) = text("retry-after-ms").and_then(|text| text.parse::<f64>().ok()) {
        return Some(seconds(millis / 1_000.0));
    }
    let text = text("retry-after")?;
    if let Ok(number) = text.parse::<f64>() {
        return Some(seconds(number));
    }
    let at = rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// How long the answer with these headers asks to wait before the next call, within reason.
#[must_use]
pub fn asked_wait(headers: &HeaderMap) -> Option<Duration> {
    retry_after(headers, Timestamp::now()).map(|asked| asked.min(LONGEST_DEMAND))
}

/// A configured time limit in seconds; none, or nothing positive, is an hour.
pub(crate) fn limit(configured: Option<f64>) -> Duration {
    configured.filter(|seconds| *seconds > 0.0).map_or(LONGEST_ATTEMPT, seconds)
}

/// Numbers that are no duration are zero; the longest is a day.
fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number.clamp(0.0, DAY.as_secs_f64())).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &'static str, value: &str) -> Option<Duration> {
        let now: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
        retry_after(&HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]), now)
    }

    #[test]
    fn waits_double_between_the_bounds() {
        let llm = LlmConfig::default();
        let waits: Vec<_> = (1..=5).map(|attempt| wait(&llm, attempt, None).as_secs()).collect();
        assert_eq!(waits, [8, 16, 32, 64, 64]);
    }

    #[test]
    fn what_the_provider_asks_counts_up_to_five_minutes() {
        let llm = LlmConfig::default();
        assert_eq!(wait(&llm, 1, Some(Duration::from_secs(1))).as_secs(), 1);
        assert_eq!(wait(&llm, 1, Some(Duration::from_secs(9_999))), LONGEST_DEMAND);
        let at_once = [1, 2, 3].map(|attempt| wait(&llm, attempt, Some(Duration::ZERO)).as_secs());
        assert_eq!(at_once, [0, 16, 32], "all attempts would be over in no time");
    }

    #[test]
    fn all_forms_of_retry_after_are_read() {
        assert_eq!(asked("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("retry-after", "0.5"), Some(Duration::from_millis(500)));
        assert_eq!(asked("retry-after-ms", "20"), Some(Duration::from_millis(20)));
        assert_eq!(asked("retry-after", "Mon, 23 Nov 2026 10:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(asked("retry-after", "Mon, 23 Nov 2026 09:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(asked("retry-after", "soon"), None);
        assert_eq!(asked("retry-after", "-3"), Some(Duration::ZERO));
    }

    #[test]
    fn odd_numbers_are_no_trouble() {
        let llm = LlmConfig { retry_multiplier: f64::NAN, retry_min_wait: f64::NAN, ..LlmConfig::default() };
        assert!(wait(&llm, u32::MAX, None) <= DAY);
        assert_eq!(limit(Some(f64::INFINITY)), DAY);
        assert_eq!(limit(Some(0.0)), LONGEST_ATTEMPT);
        assert_eq!(limit(None), LONGEST_ATTEMPT);
        assert_eq!(attempts(&LlmConfig { num_retries: 0, ..LlmConfig::default() }), 1);
    }
}
