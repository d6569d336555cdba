//! Going on from another event of a conversation.

use std::sync::Arc;
use std::time::Duration;

use ports::rpc::Fault;
use readmodel::index::ConversationState;
use types::EventId;
use types::calls::Command;

use super::Conversations;

/// The worker reads the log for it, twice.
const READING: Duration = Duration::from_secs(60);

impl Conversations {
    /// Moves HEAD to an event, or before the first one; nothing is removed.
    ///
    /// # Errors
    /// `Conflict`: a run is active. `NotFound` with a text: there is no such event. As [`Conversations::command`].
    pub async fn navigate(&self, entry: &Arc<ConversationState>, to: Option<EventId>) -> Result<(), Fault> {
        self.deliver_waiting(entry).await?;
        entry.pulse.touch();
        self.command(entry, Command::Navigate { event: to }, READING).await?;
        // Sockets are told by a snapshot of a conversation that rests. Whoever starts a run next must not take it for its end.
        entry.pulse.repeated();
        tokio::time::sleep(entry.pulse.until_settled()).await;
        Ok(())
    }
}
