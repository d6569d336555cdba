//! The actions of a conversation that wait for what they come to.

use serde_json::Value;

use super::seen::{Action, Seen};

/// Of an answer of a model there are seldom more than a few.
const MOST: usize = 256;

#[derive(Default)]
pub struct Pending {
    actions: Vec<Action>,
}

impl Pending {
    /// Of stored events, the newest first.
    pub fn of_newest(events: &[Value]) -> Self {
        let mut pending = Self::default();
        events.iter().rev().for_each(|event| pending.note(&Seen::of(event)));
        pending
    }

    pub fn note(&mut self, seen: &Seen) {
        match seen {
            Seen::Action(action) if self.actions.len() < MOST => self.actions.push((**action).clone()),
            Seen::Outcome(outcome) => self.settle(&outcome.call),
            Seen::CallFailed { call, .. } | Seen::Rejected { call, .. } => self.settle(call),
            _ => {}
        }
    }

    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    fn settle(&mut self, call: &str) {
        if let Some(at) = self.actions.iter().position(|action| action.call == call) {
            self.actions.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_has_come_to_something_waits_no_more() {
        let action = |call: &str| json!({"kind": "ActionEvent", "tool_name": "t", "tool_call_id": call});
        let newest_first = [
            action("c"),
            json!({"kind": "UserRejectObservation", "tool_call_id": "b"}),
            json!({"kind": "ObservationEvent", "tool_call_id": "a"}),
            action("b"),
            action("a"),
        ];
        let pending = Pending::of_newest(&newest_first);
        let calls: Vec<&str> = pending.actions().iter().map(|action| action.call.as_str()).collect();
        assert_eq!(calls, ["c"]);
    }
}
