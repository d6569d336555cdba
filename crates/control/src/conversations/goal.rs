//! Goals of conversations: begun, stopped and gone on with.

use std::sync::Arc;

use ports::rpc::Fault;
use readmodel::index::ConversationState;
use types::calls::{Command, Once};

use super::Conversations;

impl Conversations {
    /// Has the agent work towards a goal, after a first message that still waits; with `once`, only if that is not told yet.
    ///
    /// # Errors
    /// `Conflict`: a run is active, a goal is worked on, or, with a text, actions wait for confirmation. `Busy`: no run slot is free. As [`Conversations::command`].
    pub async fn start_goal(
        &self,
        entry: &Arc<ConversationState>,
        objective: String,
        max_iterations: u32,
        once: Option<Once>,
    ) -> Result<(), Fault> {
        self.deliver_waiting(entry).await?;
        self.command_that_runs(entry, Command::StartGoal { objective, max_iterations, once }).await.map(drop)
    }

    /// As [`Conversations::start_goal`], with the goal that was interrupted.
    ///
    /// # Errors
    /// `Invalid`, with a text: there is none. As [`Conversations::start_goal`].
    pub async fn resume_goal(&self, entry: &Arc<ConversationState>) -> Result<(), Fault> {
        self.deliver_waiting(entry).await?;
        self.command_that_runs(entry, Command::ResumeGoal {}).await.map(drop)
    }
}
