//! Working towards a goal: runs, one after the other, until a judge says that it is reached or the rounds are used up.
//!
//! ```text
//!   objective ──▶ run ──▶ over ──▶ judged ──▶ complete | capped
//!                  ▲        │         │
//!                  └────────┼─────────┘ what is missing, as a message
//!                           └──▶ interrupted
//! ```
//!
//! **A round** is a run and the judge's call behind it, which is one of the agent's own model, with texts of ours and the
//! history of the branch, of which the end is kept. It counts when the judge has answered. A run that is stuck is judged like
//! one that is finished: a message with what is missing may help it on.
//!
//! **It is interrupted** where a run is paused, ends in an error or waits for the user, who alone confirms: until he has, no goal
//! is begun or gone on with; by a message of the
//! user, who wants something else now; by whoever stops it, which leaves the run under way as it is; and when the judge
//! cannot be asked. It can be gone on with. All of this is told in state updates, and the newest one is all that is kept of a
//! goal: whoever opens the conversation after a crash finds one that is worked on by nobody, and notes that it is interrupted.
//!
//! **One phase.** Between two runs the agent is `Judging`: it holds its run slot, and whoever wants to start a run is told
//! that there is one.

use types::agent::LlmConfig;
use types::content::joined_text;
use types::conversation::Status;
use types::goal::Goal;
use types::model::{Completion, FailureKind, ModelFailure, ModelRequest};
use types::{EventId, Message, Role};

use crate::agent::{Agent, Phase};
use crate::answer::usage_of;
use crate::bounds;
use crate::journal::Draft;
use crate::protocol::{Effect, Refusal};
use crate::view::{View, transcript};
use verdict::verdict;

mod verdict;

const JUDGE: &str = include_str!("goal/judge.md");

const GO_ON: &str = "Go on with the goal of this conversation where the work was interrupted. Look first at what is done \
already, and then do what is missing.";

/// Bytes of the history that the judge is given, and the fewest that it is given where its model takes no more.
const TRANSCRIPT: usize = 200 * 1024;
const SHORTEST: usize = 8 * 1024;

impl Agent {
    pub(crate) fn start_goal(
        &mut self,
        draft: &mut Draft<'_>,
        objective: String,
        max_iterations: u32,
        id: Option<EventId>,
    ) -> Result<(), Refusal> {
        if objective.trim().is_empty() {
            return Err(Refusal::Invalid("Goal objective must not be empty.".to_owned()));
        }
        let message = objective.clone();
        self.pursue(draft, Goal::new(objective, max_iterations.max(1)), message, id)
    }

    pub(crate) fn resume_goal(&mut self, draft: &mut Draft<'_>) -> Result<(), Refusal> {
        let goal = self.goal.as_ref().and_then(Goal::resumed);
        let goal = goal.ok_or_else(|| Refusal::Invalid("no_resumable_goal".to_owned()))?;
        self.pursue(draft, goal, GO_ON.to_owned(), None)
    }

    fn pursue(
        &mut self,
        draft: &mut Draft<'_>,
        goal: Goal,
        message: String,
        id: Option<EventId>,
    ) -> Result<(), Refusal> {
        if self.has_goal() || !matches!(self.phase, Phase::Resting) {
            return Err(Refusal::AlreadyRunning);
        }
        // A run would carry out what waits.
        if self.status == Status::WaitingForConfirmation {
            return Err(Refusal::AwaitsConfirmation);
        }
        self.open(draft);
        self.tell_goal(draft, goal);
        self.next_round(draft, message, id);
        Ok(())
    }

    /// Ends the work on a goal. A run under way goes on without it.
    pub(crate) fn interrupt_goal(&mut self, draft: &mut Draft<'_>) {
        if matches!(self.phase, Phase::Judging { .. }) {
            self.phase = Phase::Resting;
            draft.effect(Effect::CancelModel);
        }
        if let Some(goal) = self.goal.as_ref().filter(|goal| goal.active) {
            let goal = goal.interrupted();
            self.tell_goal(draft, goal);
        }
    }

    /// A run is over. Whether the round is to be judged; else the goal is interrupted, if there is one.
    pub(crate) fn run_belongs_to_goal(&mut self, draft: &mut Draft<'_>) -> bool {
        match self.status {
            Status::Idle | Status::Finished | Status::Stuck => self.has_goal(),
            Status::Running
            | Status::Paused
            | Status::WaitingForConfirmation
            | Status::Error
            | Status::Deleting => {
                self.interrupt_goal(draft);
                false
            }
        }
    }

    /// Asks how far the goal is reached.
    pub(crate) fn judge(&mut self, draft: &mut Draft<'_>) {
        self.judge_by(draft, TRANSCRIPT);
    }

    fn judge_by(&mut self, draft: &mut Draft<'_>, room: usize) {
        let Some(goal) = &self.goal else { return };
        let request = request(goal, &self.past.view, room);
        let llm = LlmConfig { stream: false, ..self.config.llm.clone() };
        let item_id = draft.env.event_id();
        self.calls += 1;
        draft.effect(Effect::CallModel {
            call: self.calls,
            item_id,
            usage_id: llm.usage_id.clone(),
            llm,
            request,
        });
        self.phase = Phase::Judging { call: self.calls, room };
    }

    /// The judge has answered, or cannot be asked.
    pub(crate) fn judged(
        &mut self,
        draft: &mut Draft<'_>,
        room: usize,
        result: Result<Completion, ModelFailure>,
    ) {
        let completion = match result {
            Ok(completion) => completion,
            Err(failure) if failure.kind == FailureKind::ContextWindow && room > SHORTEST => {
                return self.judge_by(draft, room / 4);
            }
            Err(failure) => {
                self.record_failure(draft, &failure.code, &failure.detail);
                return self.interrupt_goal(draft);
            }
        };
        let usage = usage_of(draft.env, &self.config.llm.usage_id, &completion);
        self.note_usage(draft, usage);
        self.announce_stats(draft);
        let said = bounds::text(draft.env.masked(&joined_text(&completion.message.content)));
        let Some(goal) = self.goal.as_ref().map(|goal| goal.judged(verdict(&said))) else { return };
        let follow_up = goal.active.then(|| follow_up(&goal));
        self.tell_goal(draft, goal);
        if let Some(message) = follow_up {
            self.next_round(draft, message, None);
        }
    }

    fn has_goal(&self) -> bool {
        self.goal.as_ref().is_some_and(|goal| goal.active)
    }

    fn tell_goal(&mut self, draft: &mut Draft<'_>, goal: Goal) {
        self.announce(draft, "goal", serde_json::to_value(&goal).ok());
        self.goal = Some(goal);
    }

    fn next_round(&mut self, draft: &mut Draft<'_>, message: String, id: Option<EventId>) {
        self.hear(draft, Message::new(Role::User, message), None, id);
        // The only refusal of a run is that there is one.
        let _ = self.start_run(draft);
    }
}

fn follow_up(goal: &Goal) -> String {
    let missing = goal.verdict.as_ref().map(|verdict| verdict.missing.trim()).unwrap_or_default();
    let missing = if missing.is_empty() { "It is not shown yet that all of it is done." } else { missing };
    format!(
        "The goal of this conversation is not reached yet. After round {} of {} this is missing:\n\n{missing}\n\nGo on until it \
         is done, and show by what you run that it is.",
        goal.iteration, goal.max_iterations
    )
}

fn request(goal: &Goal, view: &View, room: usize) -> ModelRequest {
    let question = format!(
        "<goal>\n{}\n</goal>\n\n<history>\n{}</history>\n\nIs the goal reached?",
        goal.objective,
        transcript(&view.items, usize::MAX, room)
    );
    ModelRequest::new(
        vec![Message::new(Role::System, JUDGE.trim()), Message::new(Role::User, question)],
        Vec::new(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_long_history_the_judge_is_given_the_end() {
        let mut view = View::default();
        for (id, text) in [("a", "é".repeat(TRANSCRIPT)), ("b", "the newest".to_owned())] {
            let event = json!({"id": id, "timestamp": "t", "source": "user", "kind": "MessageEvent",
                "llm_message": {"role": "user", "content": [{"type": "text", "text": text}]}});
            view.absorb(&serde_json::from_value(event).unwrap());
        }
        let text = transcript(&view.items, usize::MAX, TRANSCRIPT);
        assert!(text.starts_with("[The history before") && text.ends_with("<user>\nthe newest\n</user>\n"));
        assert!(text.len() <= TRANSCRIPT + 100, "{}", text.len());
    }
}
