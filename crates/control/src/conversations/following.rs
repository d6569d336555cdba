//! Following a run: what its worker says meanwhile, and what it comes to.

use std::sync::Arc;
use std::time::Duration;

use ports::Subscription;
use readmodel::index::ConversationState;
use types::conversation::Status;
use types::subjects;

use super::Conversations;

impl Conversations {
    /// The pieces of answers that are being written, from now on. Some may be missing.
    ///
    /// # Errors
    /// `Unavailable` without a bus.
    pub async fn listen(&self, entry: &ConversationState) -> ports::Result<Subscription> {
        let subject = subjects::live(entry.log.sandbox(), entry.id);
        self.0.bus.subscribe(&subject, None).await
    }

    /// Waits until nothing runs that has begun, and says how it has ended; `None`: not within `deadline`.
    ///
    /// # Cancel safety
    /// Nothing is lost: it is seen by whoever waits next.
    pub async fn until_rest(&self, entry: &Arc<ConversationState>, deadline: Duration) -> Option<Status> {
        let mut folded = entry.watch();
        let rest = async {
            loop {
                folded.mark_unchanged();
                let status = entry.status();
                if !matches!(status, Status::Idle | Status::Running) {
                    return Some(status);
                }
                folded.changed().await.ok()?;
            }
        };
        tokio::time::timeout(deadline, rest).await.ok().flatten()
    }
}
