//! Running the open calls: as many at once as allowed, their results in the order of the calls.

use std::collections::VecDeque;

use types::event::{Observation, Source};
use types::tool::ToolAction;
use types::{EventBody, EventId};

use crate::agent::{Agent, Phase};
use crate::journal::Draft;
use crate::observation;
use crate::protocol::{Effect, ToolOutcome};

pub const INTERRUPTED: &str = "Tool call interrupted before completion. The conversation was paused.";

/// The calls that are being answered, those whose results are recorded already left out.
pub struct Batch {
    pub slots: VecDeque<Slot>,
    /// A finish call has been carried out.
    finished: bool,
}

pub struct Slot {
    pub action_id: EventId,
    pub call_id: String,
    pub tool: String,
    /// May run beside another call of the same tool.
    shareable: bool,
    pub state: State,
}

pub enum State {
    Waiting(ToolAction),
    Running,
    Done(ToolOutcome),
}

impl Agent {
    /// Runs all open calls.
    pub(crate) fn act(&mut self, draft: &mut Draft<'_>) {
        let mut finished = false;
        let mut slots = VecDeque::new();
        for call in self.past.view.open_calls() {
            let Some(described) = &call.action else { continue };
            let ready = self.ready.remove(&call.action_id);
            let action = ready.map_or_else(|| self.toolbox.restore(&call.tool, described), Ok);
            finished |= action.as_ref().is_ok_and(|action| action.ends_turn);
            slots.push_back(Slot {
                action_id: call.action_id.clone(),
                call_id: call.call_id.clone(),
                tool: call.tool.clone(),
                shareable: self.toolbox.definitions().iter().any(|t| t.name == call.tool && t.read_only),
                state: State::of(action),
            });
        }
        self.go_on_acting(draft, Batch { slots, finished });
    }

    pub(crate) fn tool_finished(&mut self, draft: &mut Draft<'_>, action_id: &EventId, outcome: ToolOutcome) {
        let Phase::Acting(batch) = &mut self.phase else { return };
        let running = |slot: &&mut Slot| slot.action_id == *action_id && matches!(slot.state, State::Running);
        let Some(slot) = batch.slots.iter_mut().find(running) else { return };
        slot.state = State::Done(outcome);
        if let Phase::Acting(batch) = std::mem::replace(&mut self.phase, Phase::Resting) {
            self.go_on_acting(draft, batch);
        }
    }

    /// Records a call's result.
    pub(crate) fn answer_call(&mut self, draft: &mut Draft<'_>, slot: Slot, outcome: ToolOutcome) {
        let Slot { action_id, call_id, tool, .. } = slot;
        match outcome {
            ToolOutcome::Observed(mut observation) => {
                observation::mask(&mut observation, draft.env);
                let body = Observation {
                    tool_name: tool,
                    tool_call_id: call_id,
                    observation,
                    action_id,
                    extended_content: Vec::new(),
                };
                self.record(draft, Source::Environment, EventBody::ObservationEvent(body));
            }
            ToolOutcome::Failed(text) => {
                let error = format!("Error executing tool '{tool}': {}", draft.env.masked(&text));
                self.close_call(draft, &tool, &call_id, &error);
            }
            ToolOutcome::Interrupted => self.close_call(draft, &tool, &call_id, INTERRUPTED),
        }
    }

    /// Records the results that are next in order and starts what may start.
    fn go_on_acting(&mut self, draft: &mut Draft<'_>, mut batch: Batch) {
        while let Some(mut slot) = batch.slots.pop_front() {
            match slot.state {
                State::Done(outcome) => {
                    slot.state = State::Running;
                    self.answer_call(draft, slot, outcome);
                }
                state => {
                    slot.state = state;
                    batch.slots.push_front(slot);
                    break;
                }
            }
        }
        if batch.slots.is_empty() {
            return if batch.finished { self.finish_or_go_on(draft) } else { self.step_done(draft) };
        }
        self.start_what_may(draft, &mut batch);
        self.phase = Phase::Acting(batch);
    }

    fn start_what_may(&self, draft: &mut Draft<'_>, batch: &mut Batch) {
        let limit = usize::try_from(self.config.tool_concurrency_limit.max(1)).unwrap_or(1);
        let running = batch.slots.iter().filter(|slot| matches!(slot.state, State::Running));
        let mut busy: Vec<String> = running.map(|slot| slot.tool.clone()).collect();
        for slot in &mut batch.slots {
            let State::Waiting(action) = &slot.state else { continue };
            if busy.len() >= limit {
                return;
            }
            if !slot.shareable && busy.contains(&slot.tool) {
                continue;
            }
            let (action_id, tool) = (slot.action_id.clone(), slot.tool.clone());
            draft.effect(Effect::RunTool { action_id, tool, action: action.clone() });
            slot.state = State::Running;
            busy.push(slot.tool.clone());
        }
    }
}

impl State {
    /// Of an action that has not been looked at, or cannot be had any more.
    fn of(action: Result<ToolAction, String>) -> Self {
        match action {
            Ok(ToolAction { result: Some(result), .. }) => Self::Done(ToolOutcome::Observed(result)),
            Ok(action) => Self::Waiting(action),
            Err(why) => Self::Done(ToolOutcome::Failed(why)),
        }
    }
}
