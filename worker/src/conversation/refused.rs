//! The end of a run of which the log does not take something: it is full, or a record is not for it.

use std::sync::Arc;

use agent::{Effect, GivenUp};
use ports::Error;

use super::actor::Actor;
use super::dormant::{Dormant, KeptShell};
use super::journal::{Loss, Trouble};
use super::open::open;

const NOT_STORABLE: &str = "Something of this run cannot be stored. The server's log has the reason.";

impl Actor {
    /// Closes in the log what is under way by the log, and says why. What this actor knows beyond the log is lost:
    /// it must leave. False where not even that can be stored: whoever opens the conversation next closes it.
    pub(super) async fn close_refused(&mut self, error: &Error) -> bool {
        let why = match error {
            Error::Full(why) => GivenUp::NoRoom(why),
            error => {
                tracing::error!(conversation.id = %self.seat.id, %error, "the log refuses a record: the run is closed");
                GivenUp::NotStorable(NOT_STORABLE)
            }
        };
        let kept = KeptShell {
            tools: Arc::clone(&self.kept.tools),
            secrets: Arc::clone(&self.kept.secrets),
            is_equipped: self.kept.is_equipped,
            _busy: None,
        };
        let Ok(mut opened) = open(&self.shared, self.seat.id, Dormant::shell(Some(kept))).await else {
            return false;
        };
        for effect in opened.agent.give_up(&why, &mut self.env()) {
            let Effect::Append(items) = effect else { continue };
            let stored = match opened.journal.batch(items) {
                Ok(batch) => opened.journal.store(&batch).await,
                Err(loss) => Err(Trouble::Lost(loss)),
            };
            match stored {
                Ok(()) => {}
                // A newer worker does it.
                Err(Trouble::Lost(Loss::Fenced)) => return true,
                Err(trouble) => {
                    tracing::warn!(conversation.id = %self.seat.id, ?trouble, "a run that was refused is not closed");
                    return false;
                }
            }
        }
        true
    }
}
