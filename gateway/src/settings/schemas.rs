//! What there is to set, for user interfaces that draw a page of it. Made from an installed peer.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};

use crate::schema::settings::SettingsSchema;

const AGENT: &[u8] = include_bytes!("agent-schema.json");
const CONVERSATION: &[u8] = include_bytes!("conversation-schema.json");

/// Of another release there is another one.
const HEADERS: [(HeaderName, HeaderValue); 2] = [
    (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
];

/// What of an agent can be set.
#[utoipa::path(get, path = "/api/settings/agent-schema", tag = "Settings", responses((status = 200, body = SettingsSchema)))]
pub(super) async fn get_agent_settings_schema() -> Response {
    (HEADERS, Bytes::from_static(AGENT)).into_response()
}

/// What of a conversation can be set.
#[utoipa::path(get, path = "/api/settings/conversation-schema", tag = "Settings", responses((status = 200, body = SettingsSchema)))]
pub(super) async fn get_conversation_settings_schema() -> Response {
    (HEADERS, Bytes::from_static(CONVERSATION)).into_response()
}
