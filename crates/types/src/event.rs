//! Events: what a conversation's log holds and what clients see.
//!
//! Clients validate strictly: an unknown kind or top-level field makes them drop the event, so nothing
//! here may be added lightly. Fields that are `None` are left out (`events/search` and sockets).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::content::{Content, Message, ToolCall};
use crate::ids::EventId;

/// The `parent_id` of the first tree event of a log that already holds something else.
pub const ROOT: &str = "__root__";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Agent,
    User,
    Environment,
    Hook,
}

/// What stands at the head of every event, read without the rest. What has none of it is no event.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Head<'a> {
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    #[serde(borrow)]
    pub timestamp: Cow<'a, str>,
    /// A [`Source`], or one that this version does not know.
    #[serde(borrow, default)]
    pub source: Cow<'a, str>,
}

impl<'a> Head<'a> {
    /// # Errors
    /// When `event` is no JSON object with texts for kind, id and time.
    pub fn of(event: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(event)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    /// Local time without an offset; see [`crate::time::event_now`].
    pub timestamp: String,
    pub source: Source,
    /// The previous tree event; absent on the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
    #[serde(flatten)]
    pub body: EventBody,
}

impl Event {
    /// Whether later events may hang below this one: all but state updates.
    #[must_use]
    pub fn is_tree_event(&self) -> bool {
        !matches!(self.body, EventBody::ConversationStateUpdateEvent(_))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum EventBody {
    SystemPromptEvent(SystemPrompt),
    MessageEvent(MessageBody),
    ActionEvent(Box<Action>),
    ObservationEvent(Observation),
    AgentErrorEvent(AgentError),
    UserRejectObservation(Rejection),
    SecurityAnalysisEvent(SecurityAnalysis),
    ConversationStateUpdateEvent(StateUpdate),
    ConversationErrorEvent(ConversationError),
    PauseEvent(Empty),
    InterruptEvent(Empty),
    CondensationRequest(Empty),
    Condensation(Condensation),
    /// Socket only, never stored.
    StreamingDeltaEvent(StreamingDelta),
    /// Socket only, never stored.
    ServerErrorEvent(ServerError),
    /// A kind this version does not know: served as stored, not interpreted.
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Empty {}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SystemPrompt {
    pub system_prompt: Content,
    /// Tool descriptions in the client's form: `{description, action_type, observation_type, annotations, kind, title}`.
    #[serde(default)]
    pub tools: Vec<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamic_context: Option<Content>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MessageBody {
    pub llm_message: Message,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub llm_response_id: Option<String>,
    #[serde(default)]
    pub activated_skills: Vec<String>,
    #[serde(default)]
    pub extended_content: Vec<Content>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Risk {
    #[default]
    Unknown,
    Low,
    Medium,
    High,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Action {
    #[serde(default)]
    pub thought: Vec<Content>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    #[serde(default)]
    pub thinking_blocks: Vec<Value>,
    /// The validated action with its `kind`; absent when the call could not be validated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Value>,
    pub tool_name: String,
    pub tool_call_id: String,
    pub tool_call: ToolCall,
    pub llm_response_id: String,
    #[serde(default)]
    pub security_risk: Risk,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Observation {
    pub tool_name: String,
    pub tool_call_id: String,
    /// `{content: [Content], is_error, kind, ...}`.
    pub observation: Value,
    pub action_id: EventId,
    #[serde(default)]
    pub extended_content: Vec<Content>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Classification {
    /// auth, quota, rate_limit, config, transient, agent_action, internal or unknown.
    pub kind: String,
    pub retryable: bool,
    /// none, retry or settings.
    pub user_action: String,
}

impl Classification {
    #[must_use]
    pub fn new(kind: &str, retryable: bool, user_action: &str) -> Self {
        Self { kind: kind.to_owned(), retryable, user_action: user_action.to_owned() }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentError {
    pub tool_name: String,
    pub tool_call_id: String,
    pub error: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classification: Option<Classification>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rejection {
    pub tool_name: String,
    pub tool_call_id: String,
    pub rejection_reason: String,
    /// `user` or `hook`.
    pub rejection_source: String,
    pub action_id: EventId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SecurityAnalysis {
    pub analyzer: String,
    pub policy: String,
    /// Action id to risk.
    pub risks: Map<String, Value>,
    #[serde(default)]
    pub details: Map<String, Value>,
}

/// A changed field of the conversation's state. `value` is absent for null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StateUpdate {
    pub key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConversationError {
    pub code: String,
    pub detail: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classification: Option<Classification>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Condensation {
    #[serde(default)]
    pub forgotten_event_ids: Vec<EventId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary_offset: Option<usize>,
    pub llm_response_id: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamingDelta {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServerError {
    pub code: String,
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_back_as_it_was_written() {
        let text = r#"{"id":"a","timestamp":"2026-11-23T00:49:11.2","source":"user","parent_id":"b","kind":"MessageEvent","llm_message":{"role":"user","content":[{"type":"text","cache_prompt":false,"text":"hi"}],"thinking_blocks":[]},"activated_skills":[],"extended_content":[]}"#;
        let event: Event = serde_json::from_str(text).unwrap();
        assert!(matches!(event.body, EventBody::MessageEvent(_)));
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
    }

    #[test]
    fn an_unknown_kind_is_read_without_error() {
        let text = r#"{"id":"a","timestamp":"t","source":"hook","kind":"FromTheFuture","x":1}"#;
        let event: Event = serde_json::from_str(text).unwrap();
        assert_eq!(event.body, EventBody::Unknown);
    }
}
