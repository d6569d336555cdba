//! What kind of failure an error is, for a client to say what can be done about it.

use crate::event::Classification;

const AUTH: &[&str] = &[
    "invalid api key",
    "incorrect api key",
    "authentication required",
    "invalid bearer token",
    "invalid proxy server token",
    "unauthorized",
    "error code: 401",
    "status\": 401",
    "token_not_found",
    "api key is missing",
];
const QUOTA: &[&str] = &[
    "weekly usage limit",
    "daily quota",
    "session usage limit",
    "insufficient balance",
    "more credits",
    "budget has been exceeded",
];
const RATE_LIMIT: &[&str] = &["rate limit", "429"];
const CONFIG: &[&str] = &[
    "provider not provided",
    "no models loaded",
    "does not support thinking",
    "model is no longer available",
    "model not found",
    "invalid params",
    "inactive_service",
];
const TRANSIENT: &[&str] = &[
    "timeout",
    "connection error",
    "connection closed",
    "service temporarily unavailable",
    "bad gateway",
    "cloudflare",
    "cannot connect",
    "name or service not known",
    "error code: 5",
];
const USED_UP: &[&str] = &[
    "usage_limit_reached",
    "insufficient_quota",
    "exceeded your current quota",
    "insufficient balance",
    "insufficient_balance",
    "insufficient funds",
    "insufficient credit",
    "credit balance is too low",
    "more credits",
    "out of credits",
    "available credits",
    "no credits",
    "payment required",
    "spending limit",
    "billing hard limit",
    "billing_hard_limit_reached",
    "arrearage",
    "accountoverdue",
    "account is not active",
    "billing_not_active",
    "exceeded_current_quota",
    "spend limit",
    // LiteLLM
    "budget has been exceeded",
    "budget_exceeded",
    "exceededbudget",
    "exceededtokenbudget",
    // gateways in China
    "余额不足",
    "余额已用",
    "欠费",
    "额度不足",
    "额度已用",
    "配额不足",
    "配额已用",
    "answered 402",
];

/// Classifies the code and detail of a `ConversationErrorEvent`: codes that say enough first, then words of
/// the detail, then the general codes.
#[must_use]
pub fn classify(code: &str, detail: &str) -> Classification {
    by_code(code, detail).or_else(|| by_words(detail)).unwrap_or_else(|| by_general_code(code))
}

/// Whether a provider says that the account is used up: waiting a minute does not help.
#[must_use]
pub fn is_used_up(text: &str) -> bool {
    has(&text.to_lowercase(), USED_UP)
}

fn by_code(code: &str, detail: &str) -> Option<Classification> {
    Some(match code {
        "LLMAuthenticationError" => settings("auth"),
        "LLMRateLimitError" if is_used_up(detail) => settings("quota"),
        "LLMRateLimitError" => retry("rate_limit"),
        "LLMBadRequestError" if is_used_up(detail) => settings("quota"),
        "LLMBadRequestError" | "NotFoundError" | "SecretUnavailable" => settings("config"),
        "LLMContextWindowExceedError" | "LLMMalformedConversationHistoryError" => retry("agent_action"),
        "LLMOutputLimitError" => settings("config"),
        "MaxIterationsReached" => nothing("agent_action"),
        "MaxBudgetReached" => settings("quota"),
        _ => return None,
    })
}

fn by_words(detail: &str) -> Option<Classification> {
    let detail = detail.to_lowercase();
    let groups = [
        (AUTH, settings("auth")),
        (QUOTA, settings("quota")),
        (RATE_LIMIT, retry("rate_limit")),
        (CONFIG, settings("config")),
        (TRANSIENT, retry("transient")),
    ];
    groups.into_iter().find(|(words, _)| has(&detail, words)).map(|(_, found)| found)
}

fn by_general_code(code: &str) -> Classification {
    match code {
        "LLMServiceUnavailableError" | "LLMTimeoutError" | "LLMNoResponseError" | "LLMError" | "APIError" => {
            retry("transient")
        }
        _ => nothing("unknown"),
    }
}

fn has(lower_case: &str, words: &[&str]) -> bool {
    words.iter().any(|word| match word.parse::<u16>() {
        Ok(_) => has_number(lower_case, word),
        Err(_) => lower_case.contains(word),
    })
}

/// As a number of its own, and not within a port or an id.
fn has_number(text: &str, number: &str) -> bool {
    text.split(|letter: char| !letter.is_ascii_alphanumeric()).any(|word| word == number)
}

fn settings(kind: &str) -> Classification {
    Classification::new(kind, false, "settings")
}

fn retry(kind: &str) -> Classification {
    Classification::new(kind, true, "retry")
}

fn nothing(kind: &str) -> Classification {
    Classification::new(kind, false, "none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_failures_are_classified_as_recorded() {
        let cases = [
            ("LLMAuthenticationError", "Your key …", settings("auth")),
            ("LLMRateLimitError", "Rate limit reached.", retry("rate_limit")),
            ("LLMServiceUnavailableError", "The server had an error.", retry("transient")),
            ("LLMBadRequestError", "The request is invalid.", settings("config")),
            ("LLMContextWindowExceedError", "too long", retry("agent_action")),
            ("MaxIterationsReached", "limit (2).", nothing("agent_action")),
            ("LLMError", "Insufficient balance on the account", settings("quota")),
            ("SomethingElse", "who knows", nothing("unknown")),
        ];
        for (code, detail, expected) in cases {
            assert_eq!(classify(code, detail), expected, "{code}");
        }
    }

    #[test]
    fn a_port_is_no_status() {
        assert_eq!(classify("APIError", "http://127.0.0.1:42913/v1 cannot be reached"), retry("transient"));
        assert_eq!(classify("APIError", "Too many requests (429)"), retry("rate_limit"));
    }

    #[test]
    fn the_code_counts_before_the_words() {
        assert_eq!(classify("LLMBadRequestError", "rate limit"), settings("config"));
        assert_eq!(classify("LLMAuthenticationError", "timeout"), settings("auth"));
    }

    #[test]
    fn the_words_count_before_general_codes() {
        assert_eq!(classify("APIError", "Error code: 401 - no"), settings("auth"));
        assert_eq!(classify("APIError", "the daily quota is gone"), settings("quota"));
        assert_eq!(classify("APIError", "odd"), retry("transient"));
    }

    #[test]
    fn an_account_without_money_is_a_quota_whatever_the_status() {
        for detail in [
            "Anthropic answered 400: Your credit balance is too low to access the Anthropic API.",
            "DeepSeek answered 402: Insufficient Balance (unknown_error)",
            "The model server answered 402",
        ] {
            assert_eq!(classify("LLMBadRequestError", detail), settings("quota"), "{detail}");
        }
    }

    #[test]
    fn a_rate_limit_of_a_used_up_account_is_a_quota() {
        assert_eq!(classify("LLMRateLimitError", "slow down (Insufficient_quota)"), settings("quota"));
    }
}
