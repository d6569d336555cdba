//! What a client may do about a conversation error, from its code and text.

use types::event::Classification;

use crate::patterns::{has, quota};

const AUTH: &[&str] = &["LLMAuthenticationError", "ACPAuthRequired"];
const CONFIG: &[&str] = &[
    "LLMBadRequestError",
    "ACPInitError",
    "ACPSpawnError",
    "ACPPromptError",
    "NotFoundError",
    "LibTmuxException",
];
const AGENT_RETRY: &[&str] = &["LLMContextWindowExceedError", "LLMMalformedConversationHistoryError"];
const AGENT: &[&str] = &["MaxIterationsReached", "ConversationOwnershipLostError"];
const INTERNAL: &[&str] =
    &["KeyError", "AssertionError", "PydanticSerializationError", "AttributeError", "TypeError"];
const TRANSIENT: &[&str] = &[
    "LLMServiceUnavailableError",
    "LLMTimeoutError",
    "ReadTimeout",
    "LLMNoResponseError",
    "MCPTimeoutError",
    "BadGatewayError",
    "HTTPStatusError",
    "RequestError",
    "CloudflareError",
    "OpenAIError",
    "APIError",
    "BaseLLMException",
    "AnthropicError",
    "OpenRouterException",
    "OllamaError",
];

const AUTH_WORDS: &[&str] = &[
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
const QUOTA_WORDS: &[&str] = &[
    "weekly usage limit",
    "daily quota",
    "session usage limit",
    "insufficient balance",
    "more credits",
    "budget has been exceeded",
];
const RATE_WORDS: &[&str] = &["rate limit", "429"];
const CONFIG_WORDS: &[&str] = &[
    "provider not provided",
    "no models loaded",
    "does not support thinking",
    "model is no longer available",
    "model not found",
    "invalid params",
    "inactive_service",
    "powershell is not available",
];
const TRANSIENT_WORDS: &[&str] = &[
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
const INTERNAL_WORDS: &[&str] = &[
    "on_token callback",
    "duplicate tool names",
    "list_tools",
    "on_tools_changed",
    "surrogates not allowed",
];

/// The classification of a `ConversationErrorEvent`: exact codes first, then words of the detail, then
/// generic codes. A rate limit that is a used-up account counts as quota.
#[must_use]
pub fn classify(code: &str, detail: &str) -> Classification {
    by_code(code, detail).or_else(|| by_words(detail)).unwrap_or_else(|| {
        if TRANSIENT.contains(&code) { transient() } else { Classification::new("unknown", false, "none") }
    })
}

fn by_code(code: &str, detail: &str) -> Option<Classification> {
    match code {
        _ if AUTH.contains(&code) => Some(auth()),
        "LLMRateLimitError" if quota(detail) => Some(used_up()),
        "LLMRateLimitError" => Some(rate_limit()),
        "MaxBudgetReached" => Some(used_up()),
        _ if CONFIG.contains(&code) => Some(config()),
        _ if AGENT_RETRY.contains(&code) => Some(Classification::new("agent_action", true, "retry")),
        _ if AGENT.contains(&code) => Some(Classification::new("agent_action", false, "none")),
        _ if INTERNAL.contains(&code) => Some(internal()),
        _ => None,
    }
}

fn by_words(detail: &str) -> Option<Classification> {
    let groups = [
        (AUTH_WORDS, auth()),
        (QUOTA_WORDS, used_up()),
        (RATE_WORDS, rate_limit()),
        (CONFIG_WORDS, config()),
        (TRANSIENT_WORDS, transient()),
        (INTERNAL_WORDS, internal()),
    ];
    groups.into_iter().find(|(words, _)| has(detail, words)).map(|(_, found)| found)
}

fn auth() -> Classification {
    Classification::new("auth", false, "settings")
}

fn used_up() -> Classification {
    Classification::new("quota", false, "settings")
}

fn rate_limit() -> Classification {
    Classification::new("rate_limit", true, "retry")
}

fn config() -> Classification {
    Classification::new("config", false, "settings")
}

fn transient() -> Classification {
    Classification::new("transient", true, "retry")
}

fn internal() -> Classification {
    Classification::new("internal", false, "none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_counts_before_the_words() {
        assert_eq!(classify("LLMBadRequestError", "rate limit"), config());
        assert_eq!(classify("LLMAuthenticationError", "timeout"), auth());
    }

    #[test]
    fn the_words_count_before_generic_codes() {
        assert_eq!(classify("APIError", "Error code: 401 - no"), auth());
        assert_eq!(classify("APIError", "the daily quota is gone"), used_up());
        assert_eq!(classify("APIError", "odd"), transient());
    }

    #[test]
    fn codes_of_the_loop_are_known() {
        assert_eq!(classify("MaxIterationsReached", ""), Classification::new("agent_action", false, "none"));
        assert_eq!(classify("MaxBudgetReached", ""), used_up());
        assert_eq!(
            classify("LLMContextWindowExceedError", ""),
            Classification::new("agent_action", true, "retry")
        );
    }

    #[test]
    fn anything_else_is_unknown() {
        assert_eq!(classify("Odd", "something else"), Classification::new("unknown", false, "none"));
    }
}
