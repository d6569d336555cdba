//! The one place where an error becomes an HTTP answer: `{"detail": …}`.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use ports::rpc::{Code, Fault};
use serde::Serialize;
use serde_json::{Value, json};

/// Seconds until a worker that could not be had is worth another try.
const RETRY_AFTER: http::HeaderValue = http::HeaderValue::from_static("5");

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
    /// 503: no worker could be had. The text is for the client, which may try again.
    #[error("{0}")]
    NoWorker(String),
    /// 500. The text is for the log; the client gets an id to find it by.
    #[error("{0}")]
    Internal(String),
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

    /// Something else where only an object says what is meant.
    #[must_use]
    pub fn object_needed(loc: &[&str]) -> Self {
        let msg = "Input should be a valid dictionary or object to extract fields from";
        Self::new("model_attributes_type", loc, msg)
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

    #[must_use]
    pub fn internal(error: impl std::fmt::Display) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        let status = match fault.code {
            Code::BadRequest => StatusCode::BAD_REQUEST,
            Code::Forbidden => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::Conflict => StatusCode::CONFLICT,
            Code::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Code::Busy => StatusCode::TOO_MANY_REQUESTS,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::Full => StatusCode::INSUFFICIENT_STORAGE,
            Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Code::Absent => return Self::NoWorker(fault.message),
            Code::Internal => return Self::Internal(fault.message),
        };
        Self::new(status, fault.message)
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
            Self::Invalid(problems) => {
                (StatusCode::UNPROCESSABLE_ENTITY, axum::Json(json!({"detail": problems}))).into_response()
            }
            Self::NoWorker(detail) => {
                let headers = [(http::header::RETRY_AFTER, RETRY_AFTER)];
                let body = axum::Json(json!({"detail": detail}));
                (StatusCode::SERVICE_UNAVAILABLE, headers, body).into_response()
            }
            Self::Internal(text) => failure(&text),
        }
    }
}

/// The answer to a defect: logged with an id, of which alone the client learns.
pub(crate) fn failure(text: &str) -> Response {
    let id = uuid::Uuid::new_v4().simple().to_string();
    tracing::error!(error.id = %id, error = text, "request failed");
    let body = json!({"detail": "Internal Server Error", "error_id": id});
    (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(body)).into_response()
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("without a text"))
}
