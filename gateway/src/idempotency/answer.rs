//! What is kept of an answer.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::response::Parts;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

/// A longer body is not kept.
pub(super) const LONGEST: usize = 256 * 1024;

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const NOT_KEPT: &[u8] =
    br#"{"detail":"This call was answered before; its answer was too long, or broke off, and was not kept"}"#;

/// What a call was answered, as far as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KeptAnswer {
    pub head: AnswerHead,
    pub body: Bytes,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct AnswerHead {
    status: u16,
    content_type: Option<String>,
}

impl KeptAnswer {
    pub fn of(parts: &Parts, body: Bytes) -> Self {
        if body.len() > LONGEST {
            return Self::without_body(parts);
        }
        let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let head =
            AnswerHead { status: parts.status.as_u16(), content_type: content_type.map(str::to_owned) };
        Self { head, body }
    }

    /// The call has acted, and of its answer the status is all that can be said again.
    pub fn without_body(parts: &Parts) -> Self {
        let content_type = Some("application/json".to_owned());
        let head = AnswerHead { status: parts.status.as_u16(), content_type };
        Self { head, body: Bytes::from_static(NOT_KEPT) }
    }

    pub fn replayed(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = StatusCode::from_u16(self.head.status).unwrap_or_default();
        let headers = response.headers_mut();
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
        if let Some(kind) = self.head.content_type.and_then(|kind| HeaderValue::try_from(kind).ok()) {
            headers.insert(header::CONTENT_TYPE, kind);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_answer_the_status_and_a_note_are_kept() {
        let (parts, ()) = Response::builder().status(201).body(()).unwrap().into_parts();
        let kept = |length| KeptAnswer::of(&parts, Bytes::from(vec![b'x'; length]));
        assert_eq!(kept(LONGEST).body.len(), LONGEST);
        let replayed = kept(LONGEST + 1).replayed();
        assert_eq!(
            (replayed.status().as_u16(), &replayed.headers()["content-type"]),
            (201, &"application/json".parse().unwrap())
        );
        assert_eq!(kept(LONGEST + 1).body, NOT_KEPT);
    }
}
