//! What concerns a conversation's model: asking it on the side, condensing, and changing it.

use std::time::Duration;

use axum::extract::State;
use control::conversations::Conversations;
use http::StatusCode;
use ports::rpc::Code;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::agent::LlmConfig;
use types::calls::Command;

use crate::answer::Success;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{ConversationPath, Json};
use crate::words;

/// For what waits for a model: as long as the clients wait.
const MODEL: Duration = Duration::from_secs(600);

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct AskAgent {
    question: String,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct AgentAnswer {
    response: String,
}

fn unknown() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "Conversation not found")
}

/// Asks the agent something without it becoming part of the conversation.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/ask_agent", tag = "Conversations",
    params(("conversation_id" = Uuid, Path)), request_body = AskAgent,
    responses((status = 200, body = AgentAnswer), (status = 404, description = "No such conversation")))]
pub(super) async fn ask_agent(
    State(conversations): State<Conversations>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
    Json(body): Json<AskAgent>,
) -> ApiResult<Json<AgentAnswer>> {
    let entry = conversations.get(&caller.tenant, id).ok_or_else(unknown)?;
    let done = conversations.command(&entry, Command::Ask { question: body.question }, MODEL).await?;
    Ok(Json(AgentAnswer { response: done.text.unwrap_or_default() }))
}

/// Condenses the conversation's history now.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/condense", tag = "Conversations",
    params(("conversation_id" = Uuid, Path)),
    responses((status = 200, body = Success), (status = 404, description = "No such conversation"),
        (status = 409, description = "The agent has no condenser, or there is nothing to condense")))]
pub(super) async fn condense_conversation(
    State(conversations): State<Conversations>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
) -> ApiResult<Json<Success>> {
    let entry = conversations.get(&caller.tenant, id).ok_or_else(unknown)?;
    match conversations.command(&entry, Command::Condense {}, MODEL).await {
        Ok(_) => Ok(Json(Success::YES)),
        Err(fault) if fault.code == Code::Invalid => {
            Err(ApiError::new(StatusCode::CONFLICT, words::of(&fault)))
        }
        Err(fault) => Err(fault.into()),
    }
}

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct SwitchLlm {
    llm: Value,
}

/// Replaces the agent's model.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/switch_llm", tag = "Conversations",
    params(("conversation_id" = Uuid, Path)), request_body = SwitchLlm,
    responses((status = 200, body = Success), (status = 404, description = "No such conversation")))]
pub(super) async fn switch_llm(
    State(conversations): State<Conversations>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
    Json(body): Json<SwitchLlm>,
) -> ApiResult<Json<Success>> {
    let entry = conversations.get(&caller.tenant, id).ok_or_else(ApiError::not_found)?;
    conversations.switch_llm(&entry, plain_llm(&conversations, &caller, body.llm)?).await?;
    Ok(Json(Success::YES))
}

/// The full object, defaults put in, secrets in plain text.
fn plain_llm(conversations: &Conversations, caller: &Caller, mut llm: Value) -> ApiResult<Value> {
    if !llm.is_object() {
        return Err(Problem::object_needed(&["body", "llm"]).into());
    }
    let problem = |msg: &str| Problem::new("value_error", &["body", "llm"], format!("Value error, {msg}"));
    if !llm.get("model").is_some_and(Value::is_string) {
        return Err(problem("model must be specified in LLM").into());
    }
    let opened = conversations.open_returned(&caller.tenant, &mut llm);
    opened.map_err(|_| problem("a sealed secret in it cannot be opened"))?;
    let full: LlmConfig = serde_json::from_value(llm).map_err(|_| problem("a field has the wrong type"))?;
    Ok(serde_json::to_value(full)?)
}
