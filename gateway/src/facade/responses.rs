//! Responses: as a chat completion, always in a conversation of its own.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use types::Content;
use uuid::Uuid;

use super::begin::Asked;
use super::chat::now;
use super::of_run;
use super::outcome::{Outcome, Tokens};
use super::said::{OpenAIMessage, OpenAIRole, Words, instructions};
use crate::auth::Caller;
use crate::conversations::check_trace_headers;
use crate::error::{ApiError, ApiResult};
use crate::extract::Json;
use crate::handles::Facade;
use crate::schema::conversation::TraceHeaders;

/// What is asked. What else clients send is passed over.
#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct OpenAIResponseRequest {
    model: String,
    input: OpenAIInput,
    #[serde(default)]
    instructions: Option<String>,
    #[serde(default)]
    previous_response_id: Option<String>,
    #[serde(default)]
    store: Option<bool>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
enum OpenAIInput {
    Text(String),
    Messages(Vec<OpenAIMessage>),
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct OpenAIResponse {
    id: String,
    created_at: u64,
    completed_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<String, String>>,
    model: String,
    object: &'static str,
    output: Vec<Value>,
    parallel_tool_calls: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_response_id: Option<String>,
    status: &'static str,
    tool_choice: &'static str,
    tools: Vec<Value>,
    /// Of this call alone.
    usage: OpenAIResponseUsage,
}

#[derive(Serialize, utoipa::ToSchema)]
struct OpenAIResponseUsage {
    input_tokens: u64,
    input_tokens_details: Value,
    output_tokens: u64,
    output_tokens_details: Value,
    total_tokens: u64,
}

/// Gives what is asked to the active agent, with the model's LLM profile, and answers with its last word.
#[utoipa::path(post, path = "/v1/responses", tag = "OpenAI Compatibility", params(TraceHeaders),
    request_body = OpenAIResponseRequest,
    responses((status = 200, body = OpenAIResponse), (status = 404, description = "No such model"),
        (status = 400, description = "It says nothing, or asks for what is not there"),
        (status = 409, description = "No agent profile is active, or the run waits for the user"),
        (status = 429, description = "All run slots are taken"), (status = 504, description = "The run goes on")))]
pub(super) async fn create_response(
    State(facade): State<Facade>,
    caller: Caller,
    headers: HeaderMap,
    Json(body): Json<OpenAIResponseRequest>,
) -> ApiResult<Response> {
    check_trace_headers(&headers)?;
    refuse_what_is_not_there(&body)?;
    let created_at = now();
    let content = content(&body.input)?;
    let messages: &[OpenAIMessage] = match &body.input {
        OpenAIInput::Text(_) => &[],
        OpenAIInput::Messages(messages) => messages,
    };
    let asked = Asked {
        instructions: instructions(body.instructions.as_deref(), messages, Words::Responses)?,
        content,
        model: body.model.clone(),
        conversation: None,
    };
    let (run, _) = match facade.begin(&caller, asked).await {
        Ok(begun) => begun,
        Err(not) => return not.told(),
    };
    let response = facade.outcome(&run).await.map(|outcome| response(outcome, body, created_at));
    of_run(run.entry.id, response.map(Json))
}

fn response(outcome: Outcome, body: OpenAIResponseRequest, created_at: u64) -> OpenAIResponse {
    let text = json!({"annotations": [], "text": outcome.text, "type": "output_text"});
    OpenAIResponse {
        id: format!("resp_{}", Uuid::new_v4().simple()),
        created_at,
        completed_at: now(),
        instructions: body.instructions,
        metadata: body.metadata,
        model: body.model,
        object: "response",
        output: vec![
            json!({"id": format!("msg_{}", Uuid::new_v4().simple()), "content": [text], "role": "assistant",
            "status": "completed", "type": "message"}),
        ],
        parallel_tool_calls: false,
        previous_response_id: None,
        status: "completed",
        tool_choice: "none",
        tools: Vec::new(),
        usage: outcome.tokens.into(),
    }
}

fn refuse_what_is_not_there(body: &OpenAIResponseRequest) -> ApiResult<()> {
    if body.stream == Some(true) {
        return Err(ApiError::bad_request("Streaming responses are not supported yet"));
    }
    if body.store == Some(true) {
        return Err(ApiError::bad_request("Persistent response storage (store=True) is not supported yet"));
    }
    if body.previous_response_id.as_ref().is_some_and(|id| !id.is_empty()) {
        let why = "previous_response_id is not supported; replay input items instead";
        return Err(ApiError::bad_request(why));
    }
    Ok(())
}

/// Several messages are told apart by who has said them.
fn content(input: &OpenAIInput) -> ApiResult<Vec<Content>> {
    let messages = match input {
        OpenAIInput::Text(text) if text.is_empty() => {
            return Err(ApiError::bad_request("Responses input must not be empty"));
        }
        OpenAIInput::Text(text) => return Ok(vec![Content::text(text)]),
        OpenAIInput::Messages(messages) => messages,
    };
    let said: Vec<&OpenAIMessage> = messages.iter().filter(|message| !message.role.instructs()).collect();
    if !said.iter().any(|message| message.role == OpenAIRole::User) {
        return Err(ApiError::bad_request("Responses input must include a user message"));
    }
    if let [only] = said.as_slice() {
        return only.parts(Words::Responses);
    }
    let mut content = Vec::new();
    for message in said {
        content.push(Content::text(format!("<message role=\"{}\">", message.role.name())));
        content.extend(message.parts(Words::Responses)?);
        content.push(Content::text("</message>"));
    }
    Ok(content)
}

impl From<Tokens> for OpenAIResponseUsage {
    fn from(tokens: Tokens) -> Self {
        Self {
            input_tokens: tokens.prompt,
            input_tokens_details: json!({"cached_tokens": tokens.cached}),
            output_tokens: tokens.completion,
            output_tokens_details: json!({"reasoning_tokens": tokens.reasoning}),
            total_tokens: tokens.total(),
        }
    }
}
