//! What a handler learns of a call that may be repeated.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;
use types::calls::Once;
use types::{ConversationId, EventId};
use uuid::Uuid;

/// What a handler learns of a call that may be repeated: the id of what it creates, the same at every attempt.
#[derive(Clone, Debug, Default)]
pub struct Attempt(Option<Keyed>);

#[derive(Clone, Debug)]
struct Keyed {
    id: Uuid,
    again: bool,
}

impl Attempt {
    /// `again`: an earlier attempt may have acted.
    pub(super) fn new(id: Uuid, again: bool) -> Self {
        Self(Some(Keyed { id, again }))
    }

    /// The id a new conversation is to have.
    #[must_use]
    pub fn conversation(&self) -> Option<ConversationId> {
        self.0.as_ref().map(|keyed| ConversationId(keyed.id))
    }

    /// Whether an earlier attempt may have acted.
    #[must_use]
    pub fn is_repeated(&self) -> bool {
        self.0.as_ref().is_some_and(|keyed| keyed.again)
    }

    /// The event a message is to become.
    #[must_use]
    pub fn event(&self) -> Option<Once> {
        let Keyed { id, again } = self.0.as_ref()?;
        Some(Once { id: EventId(id.hyphenated().to_string()), again: *again })
    }
}

impl<S: Sync> FromRequestParts<S> for Attempt {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}
