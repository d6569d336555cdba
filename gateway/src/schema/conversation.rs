//! Conversations, as the document shows them.

use serde::Serialize;
use serde_json::{Map, Value};

use readmodel::index::ConversationInfo;
use types::secrets::SecretSource;

#[derive(Serialize, utoipa::ToSchema)]
pub struct ConversationPage {
    #[schema(value_type = Vec<ConversationInfo<'static>>)]
    pub items: Vec<ConversationInfo<'static>>,
    /// The first conversation of the next page.
    pub next_page_id: Option<String>,
}

/// A secret with its source, or its value alone.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum GivenSecret {
    Value(String),
    Source(SecretSource),
}

/// Fields of a creation that are accepted and change nothing on this server.
#[derive(Serialize, utoipa::ToSchema)]
pub struct PassedOver {
    /// Not used: containers are as the operator has set them up.
    pub container: Option<Value>,
    /// Not used: traces are configured where the server is started.
    pub observability_span_name: Option<String>,
    /// Not used: traces are configured where the server is started.
    pub observability_tags: Option<Vec<String>>,
    /// Not used: traces are configured where the server is started.
    pub observability_metadata: Option<Map<String, Value>>,
    /// Not used: traces are configured where the server is started.
    pub observability_parent_span_context: Option<String>,
}

/// Headers of a creation; they are checked, and used for nothing.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
pub struct TraceHeaders {
    /// At most 128 letters, digits and `. _ : / -`. Not used.
    #[param(rename = "X-OpenHands-Observability-Span-Name", pattern = "^[A-Za-z0-9._:/-]{1,128}$")]
    pub span_name: Option<String>,
    /// A list with commas. Not used.
    #[param(rename = "X-OpenHands-Observability-Tags")]
    pub tags: Option<String>,
    /// A JSON object. Not used.
    #[param(rename = "X-OpenHands-Observability-Metadata")]
    pub metadata: Option<String>,
    /// Not used.
    #[param(rename = "X-OpenHands-Observability-Parent-Span-Context")]
    pub parent_span_context: Option<String>,
}
