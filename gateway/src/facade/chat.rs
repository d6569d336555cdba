//! Chat completions.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::ConversationId;
use uuid::Uuid;

use super::begin::Asked;
use super::outcome::{Outcome, Tokens};
use super::said::{OpenAIMessage, OpenAIRole, Words, instructions};
use super::stream::{Told, told};
use super::{CONVERSATION, of_run};
use crate::auth::Caller;
use crate::conversations::check_trace_headers;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::Json;
use crate::handles::Facade;
use crate::schema::conversation::TraceHeaders;

/// A chat. What else clients send is passed over.
#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct OpenAIChatCompletionRequest {
    model: String,
    /// At least one is a user's.
    #[schema(min_items = 1)]
    messages: Vec<OpenAIMessage>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<OpenAIStreamOptions>,
}

#[derive(Deserialize, utoipa::ToSchema)]
struct OpenAIStreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct OpenAIChatCompletion {
    id: String,
    object: &'static str,
    /// In seconds since 1970.
    created: u64,
    model: String,
    choices: Vec<OpenAIChoice>,
    /// Of this call alone.
    usage: OpenAIUsage,
    #[serde(skip_serializing_if = "Option::is_none")]
    moderation: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_fingerprint: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct OpenAIChoice {
    index: u32,
    finish_reason: &'static str,
    message: OpenAIAnswer,
}

#[derive(Serialize, utoipa::ToSchema)]
struct OpenAIAnswer {
    role: &'static str,
    content: String,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct OpenAIUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

/// Which conversation it goes on in.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it describes the document; values of it are never made")]
pub(super) struct ConversationHeader {
    /// The conversation that goes on, or the id of the one that is made.
    #[param(rename = "X-OpenHands-ServerConversation-ID")]
    conversation: Option<Uuid>,
}

/// Gives the last message to the active agent, with the model's LLM profile, and answers with its last word.
#[utoipa::path(post, path = "/v1/chat/completions", tag = "OpenAI Compatibility",
    params(ConversationHeader, TraceHeaders), request_body = OpenAIChatCompletionRequest,
    responses((status = 200, body = OpenAIChatCompletion), (status = 404, description = "No such model"),
        (status = 400, description = "It says nothing, or asks for what is not there"),
        (status = 409, description = "No agent profile is active, or the run waits for the user"),
        (status = 429, description = "All run slots are taken"), (status = 504, description = "The run goes on")))]
pub(super) async fn create_chat_completion(
    State(facade): State<Facade>,
    caller: Caller,
    headers: HeaderMap,
    Json(body): Json<OpenAIChatCompletionRequest>,
) -> ApiResult<Response> {
    check_trace_headers(&headers)?;
    let streams = body.stream == Some(true);
    let has_usage = body.stream_options.as_ref().and_then(|options| options.include_usage) == Some(true);
    let conversation = conversation_of(&headers)?;
    let last = body.messages.iter().rev().find(|message| message.role == OpenAIRole::User);
    let last = last.ok_or_else(|| ApiError::bad_request("At least one user message is required"))?;
    let asked = Asked {
        instructions: instructions(None, &body.messages, Words::Chat)?,
        content: last.parts(Words::Chat)?,
        model: body.model.clone(),
        conversation,
    };
    let (run, live) = match facade.begin(&caller, asked).await {
        Ok(begun) => begun,
        Err(not) => return not.told(),
    };
    let id = run.entry.id;
    let told_as = Told { id: new_id(), created: now(), model: body.model, has_usage };
    if streams {
        let kind = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ];
        return of_run(id, Ok((kind, told(facade, run, live, told_as))));
    }
    drop(live);
    let completion = facade.outcome(&run).await.map(|outcome| completion(outcome, told_as));
    of_run(id, completion.map(Json))
}

fn completion(outcome: Outcome, told_as: Told) -> OpenAIChatCompletion {
    let message = OpenAIAnswer { role: "assistant", content: outcome.text };
    OpenAIChatCompletion {
        id: told_as.id,
        object: "chat.completion",
        created: told_as.created,
        model: told_as.model,
        choices: vec![OpenAIChoice { index: 0, finish_reason: "stop", message }],
        usage: outcome.tokens.into(),
        moderation: None,
        service_tier: None,
        system_fingerprint: None,
    }
}

impl From<Tokens> for OpenAIUsage {
    fn from(tokens: Tokens) -> Self {
        Self {
            prompt_tokens: tokens.prompt,
            completion_tokens: tokens.completion,
            total_tokens: tokens.total(),
        }
    }
}

fn conversation_of(headers: &HeaderMap) -> ApiResult<Option<ConversationId>> {
    let Some(given) = headers.get(CONVERSATION) else { return Ok(None) };
    let id = given.to_str().ok().and_then(|text| Uuid::parse_str(text).ok());
    let wrong = || Problem::bad_uuid(&["header", "X-OpenHands-ServerConversation-ID"]);
    id.map(|id| Some(ConversationId(id))).ok_or_else(|| wrong().into())
}

fn new_id() -> String {
    format!("chatcmpl-{}", Uuid::new_v4().simple())
}

/// In seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
