//! Runs whose end the log did not take, for it was full to the last byte. Nobody would open such a conversation unless a
//! client came, and who waits for the end of the run would wait for ever: so it is opened again until its end is stored.

use std::sync::Arc;
use std::time::Duration;

use ports::retry::Backoff;
use ports::rpc::{Code, Fault};
use types::Life;
use types::calls::{Command, ConversationCall};

use super::registry::Registry;

const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

impl Registry {
    /// Goes on in the background. The sandbox may rest meanwhile: the next worker is told to look at what its log calls running.
    pub(super) fn close_later(self: &Arc<Self>, life: Life) {
        if !self.unclosed.lock().insert(life.id) {
            return;
        }
        let registry = Arc::clone(self);
        let closing = async move {
            registry.keep_closing(&life).await;
            registry.unclosed.lock().remove(&life.id);
        };
        let closing = self.shared.shutdown.clone().run_until_cancelled_owned(closing);
        self.shared.tracker.spawn(closing);
    }

    /// Whoever opens a conversation closes what was under way.
    async fn keep_closing(self: &Arc<Self>, life: &Life) {
        let mut pauses = PAUSES;
        loop {
            let Life { id: conversation, created_at } = life.clone();
            let call = ConversationCall { conversation, created_at, command: Command::Wake {} };
            match Box::pin(self.command(call)).await {
                Ok(_) | Err(Fault { code: Code::NotFound, .. }) => return,
                Err(fault) => tracing::debug!(conversation.id = %life.id, %fault, "a run is not closed yet"),
            }
            tokio::time::sleep(pauses.pause()).await;
        }
    }
}
