//! Running the open calls: as many at once as allowed, their results in the order of the calls.

use std::collections::VecDeque;

use serde_json::{Value, json};
use types::event::{Observation, Source};
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
    Waiting,
    Running,
    Done(ToolOutcome),
}

impl Agent {
    /// Runs all open calls.
    pub(crate) fn act(&mut self, draft: &mut Draft<'_>) {
        let mut finished = false;
        let mut slots = VecDeque::new();
        for call in self.past.view.open_calls() {
            let Some(action) = &call.action else { continue };
            let own = answered_here(action);
            finished |= own.is_some() && kind_of(action) == "FinishAction";
            slots.push_back(Slot {
                action_id: call.action_id.clone(),
                call_id: call.call_id.clone(),
                tool: call.tool.clone(),
                shareable: self.toolbox.definitions().iter().any(|t| t.name == call.tool && t.read_only),
                state: own.map_or(State::Waiting, |own| State::Done(ToolOutcome::Observed(own))),
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
        while let Some(slot) = batch.slots.pop_front() {
            let Slot { state: State::Done(_), .. } = slot else {
                batch.slots.push_front(slot);
                break;
            };
            self.answer_done(draft, slot);
        }
        if batch.slots.is_empty() {
            return if batch.finished { self.finish_or_go_on(draft) } else { self.step_done(draft) };
        }
        self.start_what_may(draft, &mut batch);
        self.phase = Phase::Acting(batch);
    }

    fn answer_done(&mut self, draft: &mut Draft<'_>, mut slot: Slot) {
        if let State::Done(outcome) = std::mem::replace(&mut slot.state, State::Waiting) {
            self.answer_call(draft, slot, outcome);
        }
    }

    fn start_what_may(&self, draft: &mut Draft<'_>, batch: &mut Batch) {
        let limit = usize::try_from(self.config.tool_concurrency_limit.max(1)).unwrap_or(1);
        let running = batch.slots.iter().filter(|slot| matches!(slot.state, State::Running));
        let mut busy: Vec<String> = running.map(|slot| slot.tool.clone()).collect();
        for slot in batch.slots.iter_mut().filter(|slot| matches!(slot.state, State::Waiting)) {
            if busy.len() >= limit {
                return;
            }
            if !slot.shareable && busy.contains(&slot.tool) {
                continue;
            }
            let Some(action) = self.past.view.open_action(&slot.action_id) else { continue };
            draft.effect(Effect::RunTool {
                action_id: slot.action_id.clone(),
                tool: slot.tool.clone(),
                action: action.clone(),
            });
            slot.state = State::Running;
            busy.push(slot.tool.clone());
        }
    }
}

/// The result of the tools that do nothing but be called.
pub(crate) fn answered_here(action: &Value) -> Option<Value> {
    let text = match kind_of(action) {
        "FinishAction" => action.get("message").and_then(Value::as_str).unwrap_or_default(),
        "ThinkAction" => "Your thought has been logged.",
        _ => return None,
    };
    let kind = kind_of(action).replace("Action", "Observation");
    let content = json!([{"type": "text", "cache_prompt": false, "text": text}]);
    Some(json!({"content": content, "is_error": false, "kind": kind}))
}

fn kind_of(action: &Value) -> &str {
    action.get("kind").and_then(Value::as_str).unwrap_or_default()
}
