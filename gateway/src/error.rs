//! The one place where an error becomes an HTTP answer: `{"detail": …}`.

use std::borrow::Cow;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use control::Refusal;
use forms::Trouble;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use ports::rpc::{Code, Fault};
use serde::Serialize;
use serde_json::{Value, json};

use crate::words;

/// Seconds until a worker that could not be had is worth another try.
const LATER: HeaderValue = HeaderValue::from_static("5");

pub type ApiResult<T> = Result<T, ApiError>;

/// Why a request was not done, in the client's terms.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The text is for the client.
    #[error("{status}: {detail}")]
    Refused { status: StatusCode, detail: Cow<'static, str> },
    /// 422 with a list of what is wrong with the input.
    #[error("invalid input")]
    Invalid(Vec<Problem>),
    /// With more than a text, for programs to read.
    #[error("{status}")]
    Coded { status: StatusCode, detail: Value },
    /// 429: the client is to come back later.
    #[error("{detail}")]
    TooOften { detail: &'static str, after: Duration },
    /// Not the client's doing: 500, 503 and the like. What it is told is `detail`, and an id to find `cause` by.
    #[error("{status}: {detail}")]
    Failed {
        status: StatusCode,
        detail: Cow<'static, str>,
        /// For the log; `None` where `detail` says it all.
        cause: Option<String>,
        /// Whether it is soon worth another try.
        again: bool,
    },
}

/// One thing wrong with the input. Never holds a value the client sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Where: `body`, `query`, `path` or `header`, then names and indexes.
    pub loc: Vec<Value>,
    pub msg: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctx: Option<Value>,
}

impl Problem {
    #[must_use]
    pub fn new(kind: &'static str, loc: &[&str], msg: impl Into<String>) -> Self {
        let loc = loc.iter().map(|&part| part.into()).collect();
        Self { kind, loc, msg: msg.into(), input: None, ctx: None }
    }

    /// A required field that is not there.
    #[must_use]
    pub fn missing(loc: &[&str]) -> Self {
        Self { input: Some(Value::Null), ..Self::new("missing", loc, "Field required") }
    }

    /// A text that has nothing in it.
    #[must_use]
    pub fn empty(loc: &[&str]) -> Self {
        Self::new("string_too_short", loc, "String should have at least 1 character")
    }

    /// A text with more characters than `most`.
    #[must_use]
    pub fn too_long(loc: &[&str], most: usize) -> Self {
        let msg = format!("String should have at most {most} characters");
        Self { ctx: Some(json!({ "max_length": most })), ..Self::new("string_too_long", loc, msg) }
    }

    /// A list with more items than `most`.
    #[must_use]
    pub fn too_many(loc: &[&str], most: usize) -> Self {
        Self::new("too_long", loc, format!("List should have at most {most} items"))
    }

    /// Something else where only an object says what is meant.
    #[must_use]
    pub fn object_needed(loc: &[&str]) -> Self {
        let msg = "Input should be a valid dictionary or object to extract fields from";
        Self::new("model_attributes_type", loc, msg)
    }

    /// What a form finds wrong with a part of a request.
    fn below(root: &[&str], trouble: Trouble) -> Self {
        let root = root.iter().map(|&part| Value::from(part));
        let loc = root.chain(trouble.at.iter().map(Value::from)).collect();
        Self { kind: trouble.kind, loc, msg: trouble.says, input: None, ctx: trouble.bounds }
    }

    /// A text that is not of this form.
    #[must_use]
    pub fn mismatch(loc: &[&str], pattern: &str) -> Self {
        let msg = format!("String should match pattern '{pattern}'");
        let ctx = Some(json!({ "pattern": pattern }));
        Self { ctx, ..Self::new("string_pattern_mismatch", loc, msg) }
    }

    #[must_use]
    pub fn bad_uuid(loc: &[&str]) -> Self {
        Self::new("uuid_parsing", loc, "Input should be a valid UUID")
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self::Invalid(vec![problem])
    }
}

impl ApiError {
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Refused { status, detail: detail.into() }
    }

    /// The status with its reason phrase as the text.
    #[must_use]
    pub fn plain(status: StatusCode) -> Self {
        Self::new(status, status.canonical_reason().unwrap_or("Error"))
    }

    #[must_use]
    pub fn not_found() -> Self {
        Self::plain(StatusCode::NOT_FOUND)
    }

    #[must_use]
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 422 with a text instead of a list.
    #[must_use]
    pub fn unprocessable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// A defect; the text is for the log.
    #[must_use]
    pub fn internal(error: impl std::fmt::Display) -> Self {
        Fault::internal(error).into()
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        let status = status_of(fault.code);
        let detail = words::of(&fault);
        if status.is_server_error() {
            let again = fault.code == Code::Absent;
            // A worker of another mind may say in public what is for the log.
            let said = (fault.code == Code::Internal && !fault.public.is_empty()).then_some(fault.public);
            return Self::Failed { status, detail, cause: fault.cause.or(said), again };
        }
        Self::new(status, detail)
    }
}

fn status_of(code: Code) -> StatusCode {
    match code {
        Code::BadRequest => StatusCode::BAD_REQUEST,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Conflict => StatusCode::CONFLICT,
        Code::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        Code::Busy => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable | Code::Absent => StatusCode::SERVICE_UNAVAILABLE,
        Code::Full => StatusCode::INSUFFICIENT_STORAGE,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::Upstream => StatusCode::BAD_GATEWAY,
        Code::UpstreamSlow => StatusCode::GATEWAY_TIMEOUT,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Missing(detail) => Self::new(StatusCode::NOT_FOUND, detail),
            Refusal::Taken(detail) => Self::new(StatusCode::CONFLICT, detail),
            Refusal::Bad(detail) => Self::bad_request(detail),
            Refusal::Unfit(detail) => Self::unprocessable(detail),
            Refusal::Troubles { root, list } => {
                Self::Invalid(list.into_iter().map(|trouble| Problem::below(root, trouble)).collect())
            }
            Refusal::Coded { code, detail } => Self::Coded { status: status_of(code), detail },
            Refusal::WrongKey => Self::new(StatusCode::CONFLICT, words::WRONG_KEY),
            Refusal::Damaged => Self::new(StatusCode::CONFLICT, words::DAMAGED),
            Refusal::TooLarge(detail) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail),
            Refusal::Fault(fault) => fault.into(),
        }
    }
}

impl From<ports::Error> for ApiError {
    fn from(error: ports::Error) -> Self {
        Fault::from(error).into()
    }
}

impl From<serde_json::Error> for ApiError {
    /// Of writing JSON; bodies of clients are read by `extract::Json`.
    fn from(error: serde_json::Error) -> Self {
        Self::internal(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Refused { status, detail } => {
                (status, axum::Json(json!({"detail": detail}))).into_response()
            }
            Self::Coded { status, detail } => (status, axum::Json(json!({"detail": detail}))).into_response(),
            Self::Invalid(problems) => {
                (StatusCode::UNPROCESSABLE_ENTITY, axum::Json(json!({"detail": problems}))).into_response()
            }
            Self::TooOften { detail, after } => {
                let seconds = (after.as_secs() + 1).to_string();
                let body = axum::Json(json!({ "detail": detail }));
                (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, seconds)], body).into_response()
            }
            Self::Failed { status, detail, cause, again } => failed(status, &detail, cause.as_deref(), again),
        }
    }
}

/// The answer to a defect: logged with an id, of which alone the client learns.
pub(crate) fn failure(text: &str) -> Response {
    ApiError::internal(text).into_response()
}

fn failed(status: StatusCode, detail: &str, cause: Option<&str>, again: bool) -> Response {
    let body = match cause {
        None => json!({ "detail": detail }),
        Some(cause) => {
            let id = uuid::Uuid::new_v4().simple().to_string();
            match status {
                StatusCode::INTERNAL_SERVER_ERROR => {
                    tracing::error!(error.id = %id, error = cause, "request failed");
                }
                _ => {
                    tracing::warn!(error.id = %id, error = cause, status = status.as_u16(), "request not done")
                }
            }
            json!({ "detail": detail, "error_id": id })
        }
    };
    let mut response = (status, axum::Json(body)).into_response();
    if again {
        response.headers_mut().insert(RETRY_AFTER, LATER);
    }
    response
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("without a text"))
}

#[cfg(test)]
mod tests {
    use ports::rpc::Reason;

    use super::*;

    const INSIDE: &str = "os error 5 at /srv/disk";
    const REASONS: [Reason; 20] = [
        Reason::Missing,
        Reason::Changed { tail: None },
        Reason::AlreadyRunning,
        Reason::RunLimit,
        Reason::MessageSaved,
        Reason::Overloaded,
        Reason::Unreachable,
        Reason::ShuttingDown,
        Reason::Superseded,
        Reason::SandboxDeleted,
        Reason::SandboxStarting,
        Reason::WorkerLost,
        Reason::OtherRelease,
        Reason::TooSlow,
        Reason::TooLate,
        Reason::Unavailable,
        Reason::CallTooLarge,
        Reason::AnswerTooLarge,
        Reason::Defect,
        Reason::Changed { tail: Some(types::Seq(1)) },
    ];
    const CODES: [Code; 13] = [
        Code::BadRequest,
        Code::Forbidden,
        Code::NotFound,
        Code::Conflict,
        Code::Invalid,
        Code::Busy,
        Code::Unavailable,
        Code::Absent,
        Code::Full,
        Code::TooLarge,
        Code::Upstream,
        Code::UpstreamSlow,
        Code::Internal,
    ];

    async fn answer(fault: Fault) -> (StatusCode, String) {
        let response = ApiError::from(fault).into_response();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn no_cause_is_told_whatever_the_fault() {
        let reasons = REASONS.map(Fault::from);
        let said = CODES.iter().map(|code| Fault::new(*code, "Do it otherwise."));
        let unsaid = CODES.iter().map(|code| Fault::new(*code, ""));
        for fault in reasons.into_iter().chain(said).chain(unsaid) {
            let (status, body) = answer(fault.clone().caused_by(INSIDE)).await;
            assert!(!body.contains("os error") && !body.contains("/srv"), "{fault:?}: {body}");
            let detail: Value = serde_json::from_str(&body).unwrap();
            assert!(detail["detail"].as_str().is_some_and(|text| !text.is_empty()), "{fault:?}: {body}");
            assert_eq!(detail["error_id"].is_string(), status.is_server_error(), "{fault:?}: {body}");
        }
    }

    #[tokio::test]
    async fn what_a_worker_says_of_a_defect_is_not_told_either() {
        let (status, body) = answer(Fault::new(Code::Internal, INSIDE)).await;
        assert_eq!((status, body.contains("os error")), (StatusCode::INTERNAL_SERVER_ERROR, false), "{body}");
    }
}
