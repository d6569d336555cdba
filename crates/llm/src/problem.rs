//! What went wrong in one attempt, whether another one may help, and what it is called in the end.

use std::time::Duration;

use http::HeaderValue;
use reqwest::Url;
use serde_json::Value;
use types::classify::is_used_up;
use types::model::{FailureKind, ModelFailure};

use crate::refusal::{self, Adjustment, before_echo, without_echo, words};
use crate::retry::LONGEST_DEMAND;
use crate::transport::TransportError;

/// The `type` of a broker's error object, under status 402, when a budget is used up.
pub const BUDGET_REACHED: &str = "budget_reached";

/// Most characters of a provider's text that reach the user.
const DETAIL_LIMIT: usize = 2_000;
/// Of a page's title.
const TITLE_LIMIT: usize = 80;
const KEY_REJECTED: &str = "Your LLM API key appears to be invalid or has expired.";

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    cause: Cause,
    /// For the user, without the provider's name.
    message: String,
    /// Everything the provider said, for the word tests.
    evidence: String,
    retry_after: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// An HTTP status, or the one an error within a 200 answer stands for.
    Status(u16),
    Connection,
    Timeout,
    NoResponse,
    /// The answer is not what the protocol says.
    Garbled,
    /// The answer was withheld because of its content.
    ContentPolicy,
    /// The configuration cannot work.
    Config,
    /// The broker refuses: the budget is used up.
    Budget,
}

impl Problem {
    pub(crate) fn status(status: u16, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let parsed = serde_json::from_str::<Value>(&text).ok().map(without_echo);
        // Written anew, its letters are what they mean.
        let evidence = parsed.as_ref().map_or_else(|| before_echo(&text).to_owned(), Value::to_string);
        if let Some(said) = budget_reached(status, &evidence) {
            return Self::new(Cause::Budget, said);
        }
        let said = match &parsed {
            Some(body) => {
                // One provider puts its errors into a list.
                let body = body.get(0).unwrap_or(body);
                said(body.get("error").filter(|error| !error.is_null()).unwrap_or(body))
            }
            None if evidence.trim_start().starts_with('<') => title(&evidence).unwrap_or_default(),
            None => evidence.trim().to_owned(),
        };
        let message =
            if said.is_empty() { format!("answered {status}") } else { format!("answered {status}: {said}") };
        let retry_after = refusal::asked_wait(&evidence);
        Self { evidence, retry_after, ..Self::new(Cause::Status(status), message) }
    }

    /// Nobody is followed there: a key would go along.
    pub(crate) fn elsewhere(status: u16, to: Option<&HeaderValue>) -> Self {
        let to = to.and_then(|to| Url::parse(to.to_str().ok()?).ok());
        let to = to.and_then(|to| Some(format!("{}://{}{}", to.scheme(), to.host_str()?, to.path())));
        let to =
            to.map(|to| format!(": it sends callers to {to}; the base_url must be where the answers are"));
        Self::new(Cause::Status(status), format!("answered {status}{}", to.unwrap_or_default()))
    }

    /// An error object inside an answer that began well.
    pub(crate) fn in_body(error: &Value) -> Self {
        let evidence = error.to_string();
        let status = implied_status(error, &evidence);
        let retry_after = refusal::asked_wait(&evidence);
        Self {
            evidence,
            retry_after,
            ..Self::new(Cause::Status(status), format!("answered with an error: {}", said(error)))
        }
    }

    pub(crate) fn transport(error: &TransportError) -> Self {
        match error {
            TransportError::Connection(_) => Self::new(Cause::Connection, format!("failed: {error}")),
            TransportError::Setup(_) => {
                Self::new(Cause::Config, format!("The model server cannot be called: {error}"))
            }
        }
    }

    pub(crate) fn timeout(limit: Duration) -> Self {
        Self::new(Cause::Timeout, format!("sent nothing for {} seconds (timeout)", limit.as_secs_f64()))
    }

    pub(crate) fn no_response() -> Self {
        Self::new(Cause::NoResponse, "answered without any choice".to_owned())
    }

    pub(crate) fn garbled(what: &str) -> Self {
        Self::new(Cause::Garbled, format!("is not understood: {what}"))
    }

    /// A page instead of an answer: of a proxy, mostly.
    pub(crate) fn page(page: &[u8]) -> Self {
        let page = String::from_utf8_lossy(page);
        match title(&page) {
            Some(title) => Self::garbled(&format!("it is a page with the title \"{title}\"")),
            None => Self::garbled("it is a page and no JSON"),
        }
    }

    pub(crate) fn cut_stream() -> Self {
        Self::new(Cause::Connection, "broke off within an answer (connection closed)".to_owned())
    }

    pub(crate) fn content_policy() -> Self {
        Self::new(Cause::ContentPolicy, "withheld the answer because of its content".to_owned())
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new(Cause::Config, message.into())
    }

    fn new(cause: Cause, message: String) -> Self {
        Self { cause, message, evidence: String::new(), retry_after: None }
    }

    pub(crate) fn retry_after(self, asked: Option<Duration>) -> Self {
        Self { retry_after: asked.or(self.retry_after), ..self }
    }

    /// Without the secrets that `clean` takes out of texts: before anything is cut, which could leave half of one.
    pub(crate) fn cleaned(self, clean: impl Fn(String) -> String) -> Self {
        Self { message: clean(self.message), ..self }
    }

    /// How long the provider asks to wait.
    pub(crate) fn asked_wait(&self) -> Option<Duration> {
        self.retry_after
    }

    pub(crate) fn is_no_response(&self) -> bool {
        self.cause == Cause::NoResponse
    }

    /// The provider finds the prompt too short to be cached.
    pub(crate) fn refuses_cache_markers(&self) -> bool {
        words::CACHE_TOO_SMALL.are_in(&self.evidence)
    }

    /// The provider cannot read the call that its model wrote: a matter of luck.
    pub(crate) fn is_unreadable_call(&self) -> bool {
        matches!(self.cause, Cause::Status(_))
            && words::UNREADABLE_CALL.are_in(&self.evidence)
            && (self.shows_what_was_written() || !words::BROKEN_HISTORY.are_in(&self.evidence))
    }

    /// It is about what the model has written just now: the same words are said of calls in a history.
    fn shows_what_was_written(&self) -> bool {
        ["tool_use_failed", "failed_generation"].iter().any(|word| self.evidence.contains(word))
    }

    /// What may be changed in the request so that it is taken. `body` is what was sent.
    pub(crate) fn adjustment(&self, body: impl FnOnce() -> Option<Value>) -> Option<Adjustment> {
        let Cause::Status(status) = self.cause else { return None };
        if matches!(status, 401 | 402 | 403 | 429) || (self.evidence.is_empty() && status != 413) {
            return None;
        }
        refusal::adjustment(status, &self.evidence, &body()?)
    }

    /// The account asks for too much at once, under a status that says something else.
    fn is_rate_limit(&self) -> bool {
        matches!(self.cause, Cause::Status(400 | 403 | 500..))
            && words::RATE_LIMIT.are_in(&self.evidence)
            && !is_too_large_for_its_rate(&self.evidence)
    }

    /// The account is used up, and no minute of waiting helps.
    fn is_used_up(&self) -> bool {
        let waits = self.retry_after.is_some_and(|asked| asked <= LONGEST_DEMAND);
        (self.cause == Cause::Status(402) || is_used_up(&self.evidence)) && !waits
    }

    pub(crate) fn may_retry(&self) -> bool {
        if self.kind() != FailureKind::Other || self.is_used_up() {
            return false;
        }
        match self.cause {
            _ if self.is_unreadable_call() || self.is_rate_limit() => true,
            Cause::Status(status) => matches!(status, 408 | 409 | 429) || status >= 500,
            Cause::Connection | Cause::Timeout | Cause::NoResponse | Cause::Garbled => true,
            Cause::ContentPolicy | Cause::Config | Cause::Budget => false,
        }
    }

    /// `label` names the provider at the beginning of a sentence.
    pub(crate) fn into_failure(self, label: &str) -> ModelFailure {
        let (kind, code) = (self.kind(), self.code());
        let detail = match (code, self.cause) {
            // A page is a proxy's, which asks for another key than ours.
            ("LLMAuthenticationError", _) if !self.evidence.trim_start().starts_with('<') => {
                KEY_REJECTED.to_owned()
            }
            (_, Cause::Config | Cause::Budget) => self.message,
            _ => format!("{label} {}", self.message),
        };
        let too_long = self.retry_after.filter(|asked| *asked > LONGEST_DEMAND);
        let detail = match too_long {
            Some(asked) => format!("{detail} (it asks to wait for {} minutes)", asked.as_secs().div_ceil(60)),
            None => detail,
        };
        ModelFailure { kind, code: code.to_owned(), detail: shortened(detail) }
    }

    fn kind(&self) -> FailureKind {
        let status = match self.cause {
            Cause::Status(status) => status,
            Cause::ContentPolicy => return FailureKind::ContentPolicy,
            _ => return FailureKind::Other,
        };
        let text = &self.evidence;
        let of_the_request = matches!(status, 400 | 422);
        if status == 429 && is_too_large_for_its_rate(text) {
            FailureKind::ContextWindow
        } else if matches!(status, 401 | 402 | 429)
            || is_used_up(text)
            || self.is_unreadable_call()
            || self.is_rate_limit()
        {
            FailureKind::Other
        } else if words::BROKEN_HISTORY.are_in(text) {
            FailureKind::MalformedHistory
        } else if status == 413 || words::prompt_too_long(status, text) {
            FailureKind::ContextWindow
        } else if words::CONTENT_POLICY.are_in(text) {
            FailureKind::ContentPolicy
        } else if of_the_request && words::names_a_message(text) {
            FailureKind::MalformedHistory
        } else if of_the_request && !words::AUTHENTICATION.are_in(text) {
            FailureKind::Refused
        } else {
            FailureKind::Other
        }
    }

    fn code(&self) -> &'static str {
        match self.kind() {
            FailureKind::ContextWindow => return "LLMContextWindowExceedError",
            FailureKind::MalformedHistory => return "LLMMalformedConversationHistoryError",
            FailureKind::ContentPolicy => return "LLMContentPolicyViolationError",
            FailureKind::Refused | FailureKind::Other => {}
        }
        match self.cause {
            Cause::Status(401) => "LLMAuthenticationError",
            Cause::Status(400 | 403) if is_used_up(&self.evidence) => "LLMBadRequestError",
            Cause::Status(400 | 403) if self.is_rate_limit() => "LLMRateLimitError",
            Cause::Status(400 | 403) if words::AUTHENTICATION.are_in(&self.evidence) => {
                "LLMAuthenticationError"
            }
            Cause::Status(404) => "NotFoundError",
            Cause::Status(408) | Cause::Timeout => "LLMTimeoutError",
            Cause::Status(429) => "LLMRateLimitError",
            Cause::Status(409 | 500..) | Cause::Connection => "LLMServiceUnavailableError",
            Cause::NoResponse => "LLMNoResponseError",
            Cause::Garbled => "APIError",
            Cause::Budget => "MaxBudgetReached",
            Cause::Status(_) | Cause::Config | Cause::ContentPolicy => "LLMBadRequestError",
        }
    }
}

/// The title of a page, else its first heading, on one line.
fn title(page: &str) -> Option<String> {
    let lower = page.to_ascii_lowercase();
    let within = |name: &str| {
        let start = lower.find(&format!("<{name}"))?;
        let start = start + lower.get(start..)?.find('>')? + 1;
        let end = start + lower.get(start..)?.find('<')?;
        let words: Vec<_> = page.get(start..end)?.split_whitespace().collect();
        let text = words.join(" ").replace("&amp;", "&").replace("&#39;", "'").replace("&quot;", "\"");
        (!text.is_empty()).then(|| text.chars().take(TITLE_LIMIT).collect())
    };
    within("title").or_else(|| within("h1"))
}

/// One request is more than an account may send in a minute: waiting does not make it smaller.
fn is_too_large_for_its_rate(text: &str) -> bool {
    let text = text.to_lowercase();
    text.contains("request too large")
        && (text.contains("tokens per min") || text.contains("must be reduced"))
}

fn budget_reached(status: u16, evidence: &str) -> Option<String> {
    let error = serde_json::from_str::<Value>(evidence).ok().filter(|_| status == 402)?;
    let error =
        error.get("error").filter(|error| error.get("type").is_some_and(|kind| kind == BUDGET_REACHED))?;
    error.get("message")?.as_str().map(str::to_owned)
}

/// The message of an error object, with its code or type where that is a word.
fn said(error: &Value) -> String {
    let text = |key: &str| error.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let message = text("message").or_else(|| text("detail")).or(error.as_str());
    let word = text("code").or_else(|| text("type"));
    // A router wraps what its provider said.
    let wrapped = error.pointer("/metadata/raw").and_then(Value::as_str).filter(|raw| !raw.is_empty());
    if let (Some(message), Some(raw)) = (message, wrapped) {
        let inner = serde_json::from_str::<Value>(raw).ok().filter(Value::is_object);
        let inner = inner.map(|inner| self::said(inner.get("error").unwrap_or(&inner)));
        return format!("{message}: {}", inner.unwrap_or_else(|| raw.to_owned()));
    }
    match (message, word) {
        (Some(message), Some(word)) if !message.contains(word) => format!("{message} ({word})"),
        (Some(message), _) => message.to_owned(),
        (None, Some(word)) => word.to_owned(),
        (None, None) => error.to_string(),
    }
}

fn implied_status(error: &Value, evidence: &str) -> u16 {
    let number = ["code", "status", "status_code"].iter().find_map(|key| {
        let number = error.get(key)?;
        number.as_u64().or_else(|| number.as_str()?.parse().ok())
    });
    if let Some(status) =
        number.and_then(|number| u16::try_from(number).ok()).filter(|n| (400..600).contains(n))
    {
        return status;
    }
    let kinds = [
        ("authentication_error", 401),
        ("UNAUTHENTICATED", 401),
        ("invalid_api_key", 401),
        ("permission_error", 403),
        ("PERMISSION_DENIED", 403),
        ("not_found_error", 404),
        ("model_not_found", 404),
        ("rate_limit", 429),
        ("insufficient_quota", 429),
        ("RESOURCE_EXHAUSTED", 429),
        ("insufficient_balance", 402),
        ("UNAVAILABLE", 503),
        ("INVALID_ARGUMENT", 400),
        ("context_length_exceeded", 400),
        ("tool_use_failed", 400),
        ("content_filter", 400),
        ("overloaded_error", 529),
        ("invalid_request_error", 400),
    ];
    kinds.iter().find(|(word, _)| evidence.contains(word)).map_or(500, |(_, status)| *status)
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(DETAIL_LIMIT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16, body: &str) -> (FailureKind, String, String) {
        let failure = Problem::status(status, body.as_bytes()).into_failure("OpenAI");
        (failure.kind, failure.code, failure.detail)
    }

    #[test]
    fn every_status_has_its_code() {
        for (status, code) in [
            (400, "LLMBadRequestError"),
            (401, "LLMAuthenticationError"),
            (403, "LLMBadRequestError"),
            (404, "NotFoundError"),
            (408, "LLMTimeoutError"),
            (413, "LLMContextWindowExceedError"),
            (422, "LLMBadRequestError"),
            (429, "LLMRateLimitError"),
            (500, "LLMServiceUnavailableError"),
            (503, "LLMServiceUnavailableError"),
            (529, "LLMServiceUnavailableError"),
            (302, "LLMBadRequestError"),
        ] {
            assert_eq!(failure(status, "").1, code, "{status}");
        }
    }

    #[test]
    fn words_tell_what_a_bad_request_is() {
        let long = r#"{"error":{"message":"Please reduce the length of the messages.","code":"context_length_exceeded"}}"#;
        assert_eq!(failure(400, long).0, FailureKind::ContextWindow);
        let unpaired =
            "messages.2: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1";
        assert_eq!(failure(400, unpaired).0, FailureKind::MalformedHistory);
        assert_eq!(failure(400, "Output blocked by content filtering policy").0, FailureKind::ContentPolicy);
        assert_eq!(failure(403, "Access denied").1, "LLMAuthenticationError");
    }

    #[test]
    fn the_detail_is_what_the_provider_said() {
        let body =
            r#"{"error":{"message":"The request is invalid.","type":"invalid_request_error","code":null}}"#;
        assert_eq!(
            failure(400, body).2,
            "OpenAI answered 400: The request is invalid. (invalid_request_error)"
        );
        assert_eq!(failure(502, "<html>Bad gateway</html>").2, "OpenAI answered 502");
        let page = "<!doctype html><TITLE lang=en>\n502 Bad\n gateway &amp; more</TITLE><h1>x</h1>";
        assert_eq!(failure(502, page).2, "OpenAI answered 502: 502 Bad gateway & more");
        let listed = r#"[{"error": {"code": 400, "message": "No such thing."}}]"#;
        assert_eq!(failure(400, listed).2, "OpenAI answered 400: No such thing.");
        assert_eq!(failure(401, "whatever").2, KEY_REJECTED);
        assert!(failure(400, &"x".repeat(9_000)).2.len() < 2_100);
    }

    #[test]
    fn a_used_up_quota_is_not_tried_again() {
        let quota = r#"{"error":{"message":"Too much.","code":"insufficient_quota"}}"#;
        assert!(!Problem::status(429, quota.as_bytes()).may_retry());
        assert!(Problem::status(429, b"{}").may_retry());
        assert_eq!(types::classify::classify("LLMRateLimitError", &failure(429, quota).2).kind, "quota");
    }

    #[test]
    fn a_rate_limit_is_one_whatever_its_status() {
        for (status, text) in [
            (400, "ThrottlingException: Too many tokens, please wait before trying again."),
            (403, "RPM limit exceeded. Please complete identity verification to lift the restriction."),
            (400, "您的账户请求过于频繁，请稍后重试"),
            (429, "当前分组上游负载已饱和，请稍后再试"),
        ] {
            let body = serde_json::json!({"error": {"message": text}}).to_string();
            assert_eq!(failure(status, &body).1, "LLMRateLimitError", "{text}");
            assert!(Problem::status(status, body.as_bytes()).may_retry(), "{text}");
            // As Python writes it.
            let escaped: String = body
                .encode_utf16()
                .map(|unit| match u8::try_from(unit) {
                    Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
                    _ => format!("\\u{unit:04x}"),
                })
                .collect();
            assert_eq!(failure(status, &escaped).1, "LLMRateLimitError", "{escaped}");
        }
        let throttled = "Too many tokens, please wait before trying again.";
        assert_eq!(failure(503, throttled).1, "LLMServiceUnavailableError");
        let too_large =
            "Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 9000";
        assert_eq!(failure(413, too_large).0, FailureKind::ContextWindow);
    }

    #[test]
    fn money_is_known_in_the_words_of_gateways() {
        for (status, text) in [
            (400, "Budget has been exceeded! Current cost: 0.2, Max budget: 0.1"),
            (403, "用户额度不足, 剩余额度: 0"),
            (429, "余额不足或无可用资源包,请充值。"),
            (429, "该令牌额度已用尽"),
        ] {
            let body = serde_json::json!({"error": {"message": text}}).to_string();
            assert!(!Problem::status(status, body.as_bytes()).may_retry(), "{text}");
            let (_, code, detail) = failure(status, &body);
            assert_eq!(types::classify::classify(&code, &detail).kind, "quota", "{code} {detail}");
        }
    }

    #[test]
    fn what_was_sent_is_no_part_of_what_is_said() {
        let sent = serde_json::json!({"messages": [{"content": "prompt is too long, insufficient balance, rate limit"}]});
        let told = serde_json::json!({"detail": [{"type": "missing", "loc": ["body", "x"], "msg": "Field required", "input": sent}]});
        let whole = told.to_string();
        let within = serde_json::json!({"error": {"message": "No.", "request": sent}}).to_string();
        for body in [&whole, &within, &whole[..whole.len() - 9]] {
            let problem = Problem::status(422, body.as_bytes());
            assert_eq!(
                (problem.kind(), problem.is_used_up(), problem.may_retry()),
                (FailureKind::Refused, false, false),
                "{body}"
            );
            assert!(!problem.into_failure("X").detail.contains("balance"));
        }
    }

    #[test]
    fn what_a_router_wraps_is_told() {
        let raw = r#"{"error":{"message":"The model is asleep."}}"#;
        let body = serde_json::json!({"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": raw}}});
        assert_eq!(
            failure(400, &body.to_string()).2,
            "OpenAI answered 400: Provider returned error: The model is asleep."
        );
    }

    #[test]
    fn only_errors_that_pass_are_tried_again() {
        for (status, expected) in
            [(400, false), (401, false), (404, false), (408, true), (409, true), (503, true)]
        {
            assert_eq!(Problem::status(status, b"").may_retry(), expected, "{status}");
        }
        assert!(!Problem::status(500, b"exceeds the available context size").may_retry());
        assert!(Problem::no_response().may_retry() && Problem::cut_stream().may_retry());
        assert!(!Problem::content_policy().may_retry() && !Problem::config("x").may_retry());
    }
}
