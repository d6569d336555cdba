//! Kinds of events that this server serves where a log holds them, but never writes.

use serde::Serialize;
use serde_json::{Map, Value};

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ACPToolCallEvent)]
pub struct AcpToolCall {
    pub tool_call_id: String,
    pub title: String,
    pub status: Option<String>,
    pub tool_kind: Option<String>,
    pub raw_input: Option<Value>,
    pub raw_output: Option<Value>,
    pub content: Option<Vec<Value>>,
    pub is_error: bool,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = CondensationSummaryEvent)]
pub struct CondensationSummary {
    pub summary: String,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = HookExecutionEvent)]
pub struct HookExecution {
    /// PreToolUse, PostToolUse, UserPromptSubmit, SessionStart, SessionEnd or Stop.
    pub hook_event_type: String,
    pub hook_command: String,
    pub tool_name: Option<String>,
    pub success: bool,
    pub blocked: bool,
    pub exit_code: i32,
    pub stdout: String,
    pub stderr: String,
    pub reason: Option<String>,
    pub additional_context: Option<String>,
    pub error: Option<String>,
    pub action_id: Option<String>,
    pub message_id: Option<String>,
    pub hook_input: Option<Map<String, Value>>,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = LLMCompletionLogEvent)]
pub struct CompletionLog {
    pub filename: String,
    pub log_data: String,
    pub model_name: String,
    pub usage_id: String,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = TokenEvent)]
pub struct Tokens {
    pub prompt_token_ids: Vec<i64>,
    pub response_token_ids: Vec<i64>,
}
