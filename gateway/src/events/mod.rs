//! A conversation's events over REST, and what clients add to them.

mod read;
mod write;

use crate::auth::Caller;
use crate::described::{Routes, routes};
use crate::error::ApiError;
use crate::extract::ConversationPath;
use http::StatusCode;
use readmodel::index::{ConversationState, Index};
use std::sync::Arc;

pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(read::search_events))
        .routes(routes!(read::count_events))
        .routes(routes!(write::respond_to_confirmation))
        .routes(routes!(read::get_event))
        .routes(routes!(read::batch_get_events, write::send_message))
}

/// The conversation of an events route.
async fn conversation(
    index: &Index,
    caller: &Caller,
    ConversationPath(id): ConversationPath,
) -> Result<Arc<ConversationState>, ApiError> {
    // The peer words it so for events, and as "Not Found" where the conversation itself is asked for.
    let unknown = || ApiError::new(StatusCode::NOT_FOUND, format!("Conversation not found: {id}"));
    index.find(&caller.tenant, id).await?.ok_or_else(unknown)
}
