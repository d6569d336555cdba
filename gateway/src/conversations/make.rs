//! Conversations that another part of the gateway makes for a client.

use std::sync::Arc;

use control::conversations::CreateOutcome;
use http::StatusCode;
use readmodel::index::ConversationState;
use serde_json::Value;
use types::ConversationId;

use super::control::run_fault;
use super::create_body::StartConversation;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult};
use crate::handles::Facade;

/// A conversation made from the body of a creation, or the one that has the id by now; and whether it was made.
///
/// # Errors
/// As a creation.
pub(crate) async fn make(
    facade: &Facade,
    caller: &Caller,
    id: ConversationId,
    body: Value,
) -> ApiResult<(Arc<ConversationState>, bool)> {
    let Facade { conversations, launch, offer, .. } = facade;
    let body: StartConversation = serde_json::from_value(body)?;
    let launched = body.launched(launch, offer, &caller.tenant).await?;
    let record = body.into_record(offer, conversations, &[], launched, caller.tenant.clone(), id).await?;
    match conversations.create(record, false, false).await.map_err(run_fault)? {
        CreateOutcome::New(entry) => Ok((entry, true)),
        CreateOutcome::Existing(entry) => Ok((entry, false)),
        CreateOutcome::Taken => Err(ApiError::new(StatusCode::CONFLICT, "This id cannot be used")),
    }
}
