//! The end of a run whose log takes no more.

use std::sync::Arc;

use agent::Effect;

use super::actor::Actor;
use super::journal::{Loss, Trouble};
use super::open::open;
use super::registry::Keepsake;

impl Actor {
    /// Closes in the log what is under way by the log, and says why. What this actor knows beyond the log is lost:
    /// it must leave. Where not even that can be stored, whoever opens the conversation next closes it.
    pub(super) async fn close_without_room(&mut self, why: &str) {
        let kept = Keepsake {
            tools: Arc::clone(&self.kept.tools),
            secrets: Arc::clone(&self.kept.secrets),
            _busy: None,
        };
        let Ok(mut opened) = open(&self.shared, self.seat.id, Some(kept)).await else { return };
        for effect in opened.agent.give_up(why, &mut self.env()) {
            let Effect::Append(items) = effect else { continue };
            let stored = match opened.journal.batch(items) {
                Ok(batch) => opened.journal.store(&batch).await,
                Err(loss) => Err(Trouble::Lost(loss)),
            };
            match stored {
                Ok(()) => {}
                Err(Trouble::Lost(Loss::Fenced)) => return,
                Err(trouble) => {
                    tracing::warn!(conversation.id = %self.seat.id, ?trouble, "a run without room is not closed");
                    return;
                }
            }
        }
    }
}
