//! Where the plugins of a conversation's agent may come from.

use ports::rpc::{Fault, Reason};
use readmodel::index::ConversationState;

use super::Conversations;

impl Conversations {
    /// Whether its agent names marketplaces.
    ///
    /// # Errors
    /// Those of the store; `NotFound` when it was deleted meanwhile.
    pub async fn has_marketplaces(&self, entry: &ConversationState) -> Result<bool, Fault> {
        let record = self.0.index.read(entry.id).await?.ok_or_else(|| Fault::from(Reason::Missing))?;
        let named = record.agent.pointer("/agent_context/registered_marketplaces");
        Ok(named.and_then(serde_json::Value::as_array).is_some_and(|named| !named.is_empty()))
    }
}
