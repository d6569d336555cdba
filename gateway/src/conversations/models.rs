//! What concerns a conversation's model: asking it on the side, condensing, and changing it.

use std::time::Duration;

use axum::extract::State;
use control::conversations::Conversations;
use control::launch::Launch;
use control::setup::canonical;
use http::StatusCode;
use ports::rpc::Code;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::agent::LlmConfig;
use types::calls::Command;

use crate::answer::Success;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{ConversationPath, Json, is_profile_name};
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

/// So many letters of what is no name are told back.
const TOLD: usize = 64;

fn unknown() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "Conversation not found")
}

/// Asks the agent something without it becoming part of the conversation. Its model has the `timeout` of its settings to answer,
/// and 550 seconds at most.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/ask_agent", tag = "Conversations",
    params(("conversation_id" = Uuid, Path)), request_body = AskAgent,
    responses((status = 200, body = AgentAnswer), (status = 404, description = "No such conversation"),
        (status = 502, description = "The model has not answered; why is in the detail"),
        (status = 504, description = "The model has not answered in time")))]
pub(super) async fn ask_agent(
    State(conversations): State<Conversations>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
    Json(body): Json<AskAgent>,
) -> ApiResult<Json<AgentAnswer>> {
    let entry = conversations.get(&caller.tenant, id).await?.ok_or_else(unknown)?;
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
    let entry = conversations.get(&caller.tenant, id).await?.ok_or_else(unknown)?;
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
    State(launch): State<Launch>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
    Json(body): Json<SwitchLlm>,
) -> ApiResult<Json<Success>> {
    let entry = conversations.get(&caller.tenant, id).await?.ok_or_else(ApiError::not_found)?;
    let llm = plain_llm(&conversations, &caller, body.llm)?;
    conversations.switch_llm(&entry, launch.linked_model(&caller.tenant, llm).await?).await?;
    Ok(Json(Success::YES))
}

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct SwitchProfile {
    profile_name: String,
}

/// Replaces the agent's model by that of an LLM profile.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/switch_profile", tag = "Conversations",
    params(("conversation_id" = Uuid, Path)), request_body = SwitchProfile,
    responses((status = 200, body = Success), (status = 400, description = "No name of a profile"),
        (status = 404, description = "No such conversation or profile")))]
pub(super) async fn switch_profile(
    State(conversations): State<Conversations>,
    State(launch): State<Launch>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
    Json(SwitchProfile { profile_name: name }): Json<SwitchProfile>,
) -> ApiResult<Json<Success>> {
    let entry = conversations.get(&caller.tenant, id).await?.ok_or_else(ApiError::not_found)?;
    if !is_profile_name(canonical(&name)) {
        let told: String = name.chars().take(TOLD).collect();
        return Err(ApiError::bad_request(format!(
            "Invalid profile name: '{told}'. Profile names must be 1-64 characters, start with a letter or digit, \
             and contain only letters, digits, '.', '_', or '-'."
        )));
    }
    let mut llm = launch.model(&caller.tenant, &name).await?;
    if let Some(fields) = llm.as_object_mut() {
        fields.insert("usage_id".to_owned(), format!("profile:{name}").into());
    }
    conversations.switch_llm(&entry, full(llm)?).await?;
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
    full(llm).map_err(|_| problem("a field has the wrong type").into())
}

/// With the defaults of an agent's model.
fn full(llm: Value) -> ApiResult<Value> {
    let full: LlmConfig = serde_json::from_value(llm)?;
    Ok(serde_json::to_value(full)?)
}
