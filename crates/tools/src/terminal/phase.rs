//! What a shell is doing, as its callers see it, and that it is never said to do it for longer than it lives.

use std::sync::Arc;

use tokio::sync::watch;

use super::record::Prompt;

#[derive(Clone, Debug)]
pub enum Phase {
    /// Command `sequence` has not ended; 0 is the shell's own preparation.
    Running {
        sequence: u64,
        /// The shell has said that it takes the command.
        taken: bool,
    },
    Idle(Prompt),
    Ended(Farewell),
}

/// What is known of a shell that is gone.
#[derive(Clone, Debug)]
pub struct Farewell {
    /// None: it was killed.
    pub exit_code: Option<i32>,
    /// It had said that it takes the command given last, and not that it was over.
    pub taken: bool,
    /// It was ended because it waited for a command without having said that the last one is over.
    pub mute: bool,
    /// Some of the command given last was written to its terminal. Where nothing was, it cannot have run.
    pub given: bool,
}

/// Says that the shell has ended, where nobody else can: its task has died, or was dropped.
pub struct LastWord(pub Arc<watch::Sender<Phase>>);

impl Drop for LastWord {
    fn drop(&mut self) {
        end_without_word(&self.0);
    }
}

/// The shell is gone, and nothing more is known of it.
pub fn end_without_word(phase: &watch::Sender<Phase>) {
    phase.send_if_modified(|phase| {
        let taken = match phase {
            Phase::Running { taken, .. } => *taken,
            Phase::Idle(_) => false,
            Phase::Ended(_) => return false,
        };
        *phase = Phase::Ended(Farewell { exit_code: None, taken, mute: false, given: true });
        true
    });
}
