//! Conversations in the terms of another API, below `/v1`, for programs that know that one: an LLM profile is a model, a message is
//! a run of the active agent profile with it, and the answer is the agent's last word.
//!
//! ```text
//!   request ─▶ read: what is said, and what is told before ─▶ begin ─▶ a conversation, made or gone on with
//!                                                               │       the message and its run, or neither
//!                        chat, responses ◀── outcome ◀──────────┤
//!                        stream ◀── pieces as they come ◀───────┘
//! ```
//!
//! Clients name themselves as that API has it, also by a session key as a bearer token, and are told of failures in its form, with
//! ours beside it. Whoever goes away is not waited for; the run goes on, and can be found by the conversation's id, which every answer
//! about a run has in a header. Of earlier turns that a client sends along only what is told before counts: the conversation knows the others.

mod begin;
mod chat;
mod errors;
mod models;
mod outcome;
mod responses;
mod said;
mod stream;

use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue};
use types::ConversationId;

use crate::described::{Routes, routes};
use crate::error::{ApiError, ApiResult};
use crate::{App, auth};

/// What `/server_info` says of it.
pub const CAPABILITIES: &[&str] = &[];

/// Which conversation it is, or is to go on.
const CONVERSATION: HeaderName = HeaderName::from_static("x-openhands-serverconversation-id");

/// Clients of that API ask once more by themselves where a call has failed: here they would have another run, and pay for it.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// What is answered of a run that has begun, or may have, however it ends: where it is, and that asking anew does not go on with it.
fn of_run(conversation: ConversationId, answer: ApiResult<impl IntoResponse>) -> ApiResult<Response> {
    let id = HeaderValue::from_str(&conversation.to_string()).map_err(ApiError::internal)?;
    Ok(match answer {
        Ok(answer) => ([(CONVERSATION, id)], answer).into_response(),
        Err(error) => {
            ([(CONVERSATION, id), (SHOULD_RETRY, HeaderValue::from_static("false"))], error).into_response()
        }
    })
}

/// Guarded here, for callers name themselves otherwise than to the rest.
pub fn own_routes(app: Option<&App>) -> Routes {
    Routes::new()
        .routes(routes!(models::get_openai_models))
        .routes(routes!(chat::create_chat_completion))
        .routes(routes!(responses::create_response))
        .guarded(app, |router, app| {
            let guard = from_fn_with_state(app, auth::facade_guard);
            router.route_layer(guard).route_layer(from_fn(errors::in_its_form))
        })
}
