//! What answers of many routes are made of.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

/// `{"success": true}`.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Success {
    pub(crate) success: bool,
}

impl Success {
    pub(crate) const YES: Self = Self { success: true };
}

/// Text that is JSON already.
pub(crate) fn json_bytes(status: StatusCode, bytes: impl Into<Body>) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes.into())
        .into_response()
}
