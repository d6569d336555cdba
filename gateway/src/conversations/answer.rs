//! What answers are made of.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use readmodel::index::{Entry, View};
use serde::Serialize;

use crate::App;
use crate::error::ApiResult;

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

/// How much of a conversation an answer shows.
#[derive(Clone, Copy, Default)]
pub(super) struct Detail {
    pub(super) include_skills: bool,
    pub(super) runtime: bool,
}

/// Appends one `ConversationInfo`.
pub(super) fn write_info(app: &App, entry: &Entry, detail: Detail, out: &mut Vec<u8>) -> ApiResult<()> {
    let view = View {
        conversations_path: &app.config.conversations_path,
        include_skills: detail.include_skills,
        runtime: detail.runtime,
    };
    Ok(entry.write_info(view, &app.index.children_of(entry.id), out)?)
}
