//! Events, as the document shows them.

use serde::Serialize;
use serde_json::Value;
use types::event::{
    Action, AgentError, Condensation, ConversationError, Empty, MessageBody, Observation, Rejection,
    SecurityAnalysis, ServerError, StateUpdate, StreamingDelta, SystemPrompt,
};
use types::{EventId, Source};

use super::foreign_event::{AcpToolCall, CompletionLog, CondensationSummary, HookExecution, Tokens};

/// One event of a conversation, as it is stored. Lists and sockets leave out what is not set.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Event {
    pub id: EventId,
    /// The server's local time without an offset.
    pub timestamp: String,
    pub source: Source,
    /// The event this one follows.
    pub parent_id: Option<String>,
    #[serde(flatten)]
    pub body: EventKind,
}

#[derive(Serialize, utoipa::ToSchema)]
#[serde(tag = "kind")]
pub enum EventKind {
    SystemPromptEvent(SystemPrompt),
    MessageEvent(Message),
    ActionEvent(Call),
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
    /// On sockets only.
    StreamingDeltaEvent(StreamingDelta),
    /// On sockets only.
    ServerErrorEvent(ServerError),
    ACPToolCallEvent(AcpToolCall),
    CondensationSummaryEvent(CondensationSummary),
    HookExecutionEvent(HookExecution),
    LLMCompletionLogEvent(CompletionLog),
    TokenEvent(Tokens),
}

/// A message, with what is null here but may be set in logs of other servers.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = MessageEvent)]
pub struct Message {
    #[serde(flatten)]
    pub message: MessageBody,
    pub critic_result: Option<Value>,
}

/// A tool call, with what is null here but may be set in logs of other servers.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ActionEvent)]
pub struct Call {
    #[serde(flatten)]
    pub action: Action,
    pub critic_result: Option<Value>,
    pub responses_reasoning_item: Option<Value>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct EventPage {
    pub items: Vec<Event>,
    /// The first event of the next page.
    pub next_page_id: Option<String>,
}
