//! What kind of failure an error is, for the client to say what can be done about it.

use types::event::Classification;

/// Substrings of the lower-cased detail, and the kind they mean.
const WORDS: [(&str, &[&str]); 6] = [
    (
        "auth",
        &[
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
        ],
    ),
    (
        "quota",
        &[
            "weekly usage limit",
            "daily quota",
            "session usage limit",
            "insufficient balance",
            "more credits",
            "budget has been exceeded",
        ],
    ),
    ("rate_limit", &["rate limit", "429"]),
    (
        "config",
        &[
            "provider not provided",
            "no models loaded",
            "does not support thinking",
            "model is no longer available",
            "model not found",
            "invalid params",
            "inactive_service",
            "powershell is not available",
        ],
    ),
    (
        "transient",
        &[
            "timeout",
            "connection error",
            "connection closed",
            "service temporarily unavailable",
            "bad gateway",
            "cloudflare",
            "cannot connect",
            "name or service not known",
            "error code: 5",
        ],
    ),
    (
        "internal",
        &[
            "on_token callback",
            "duplicate tool names",
            "list_tools",
            "on_tools_changed",
            "surrogates not allowed",
        ],
    ),
];

/// Judges by the exact code, then by words in the detail, then by the general codes.
pub fn classify(code: &str, detail: &str) -> Classification {
    if let Some(exact) = by_code(code) {
        return exact;
    }
    let detail = detail.to_lowercase();
    let known = WORDS.iter().find(|(_, words)| words.iter().any(|word| detail.contains(word)));
    match known {
        Some((kind, _)) => of_kind(kind),
        None => of_kind(if is_general(code) { "transient" } else { "unknown" }),
    }
}

fn by_code(code: &str) -> Option<Classification> {
    Some(match code {
        "LLMAuthenticationError" => of_kind("auth"),
        "LLMRateLimitError" => of_kind("rate_limit"),
        "MaxBudgetReached" => of_kind("quota"),
        "LLMBadRequestError" | "NotFoundError" => of_kind("config"),
        "LLMContextWindowExceedError" | "LLMMalformedConversationHistoryError" => {
            Classification::new("agent_action", true, "retry")
        }
        "MaxIterationsReached" => Classification::new("agent_action", false, "none"),
        _ => return None,
    })
}

fn is_general(code: &str) -> bool {
    matches!(
        code,
        "LLMServiceUnavailableError" | "LLMTimeoutError" | "LLMNoResponseError" | "LLMError" | "APIError"
    )
}

fn of_kind(kind: &str) -> Classification {
    match kind {
        "auth" | "quota" | "config" => Classification::new(kind, false, "settings"),
        "rate_limit" | "transient" => Classification::new(kind, true, "retry"),
        _ => Classification::new(kind, false, "none"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_failures_are_classified_as_recorded() {
        let cases = [
            ("LLMAuthenticationError", "Your key …", ("auth", false, "settings")),
            ("LLMRateLimitError", "Rate limit reached.", ("rate_limit", true, "retry")),
            ("LLMServiceUnavailableError", "The server had an error.", ("transient", true, "retry")),
            ("LLMBadRequestError", "The request is invalid.", ("config", false, "settings")),
            ("LLMContextWindowExceedError", "too long", ("agent_action", true, "retry")),
            ("MaxIterationsReached", "limit (2).", ("agent_action", false, "none")),
            ("LLMError", "Insufficient balance on the account", ("quota", false, "settings")),
            ("SomethingElse", "who knows", ("unknown", false, "none")),
        ];
        for (code, detail, (kind, retryable, action)) in cases {
            assert_eq!(classify(code, detail), Classification::new(kind, retryable, action), "{code}");
        }
    }
}
