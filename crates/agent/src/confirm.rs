//! Which actions wait for the user's consent, and the user's word on them.

use std::collections::HashSet;

use serde_json::{Map, Value};
use types::conversation::Status;
use types::event::{Rejection, Risk, SecurityAnalysis, Source};
use types::tool::ToolAction;
use types::{EventBody, EventId};

use crate::agent::{Agent, Phase};
use crate::journal::Draft;

/// A valid action of the newest answer.
pub struct Candidate {
    action_id: EventId,
    risk: Risk,
    pub ends_turn: bool,
    /// It does nothing but be called.
    harmless: bool,
}

impl Candidate {
    pub fn new(action_id: EventId, action: &ToolAction, risk: Risk) -> Self {
        Self { action_id, risk, ends_turn: action.ends_turn, harmless: action.result.is_some() }
    }
}

impl Agent {
    /// Runs the actions of the newest answer, or lets all of them wait if one has to.
    pub(crate) fn decide(&mut self, draft: &mut Draft<'_>, candidates: &[Candidate]) {
        if candidates.is_empty() {
            return self.step_done(draft);
        }
        if self.must_ask(draft, candidates) {
            return self.end_with(draft, Status::WaitingForConfirmation);
        }
        self.act(draft);
    }

    fn must_ask(&mut self, draft: &mut Draft<'_>, candidates: &[Candidate]) -> bool {
        if let [only] = candidates
            && only.harmless
        {
            return false;
        }
        if let Some(analyzer) = &self.analyzer {
            let analysis = SecurityAnalysis {
                analyzer: analyzer.name().to_owned(),
                policy: self.policy.name().to_owned(),
                risks: candidates.iter().map(risk_entry).collect(),
                details: Map::new(),
            };
            self.record(draft, Source::Environment, EventBody::SecurityAnalysisEvent(analysis));
        }
        candidates.iter().any(|candidate| self.policy.asks(candidate.risk))
    }

    /// Whether these actions wait for the user's word, and no others: in any order. Where none does, not even none is meant: to
    /// accept that would be to run.
    pub(crate) fn waits_for(&self, named: &[EventId]) -> bool {
        let open = self.past.view.open_calls().filter(|call| call.action.is_some());
        self.status == Status::WaitingForConfirmation
            && open.map(|call| &call.action_id).collect::<HashSet<_>>() == named.iter().collect()
    }

    /// Accepting is running; that a run is active already is fine.
    pub(crate) fn accept(&mut self, draft: &mut Draft<'_>) {
        // The only refusal of a run is that there is one.
        let _ = self.start_run(draft);
    }

    /// Answers every waiting action with `reason`. Nothing happens while tools run or when none waits.
    pub(crate) fn reject(&mut self, draft: &mut Draft<'_>, reason: &str) {
        if !matches!(self.phase, Phase::Resting) {
            return;
        }
        if self.status == Status::WaitingForConfirmation {
            self.set_status(draft, Status::Idle);
        }
        let rejections: Vec<Rejection> = self
            .past
            .view
            .open_calls()
            .map(|call| Rejection {
                tool_name: call.tool.clone(),
                tool_call_id: call.call_id.clone(),
                rejection_reason: reason.to_owned(),
                rejection_source: "user".to_owned(),
                action_id: call.action_id.clone(),
            })
            .collect();
        self.ready.clear();
        for rejection in rejections {
            self.record(draft, Source::Environment, EventBody::UserRejectObservation(rejection));
        }
    }
}

fn risk_entry(candidate: &Candidate) -> (String, Value) {
    let risk = serde_json::to_value(candidate.risk).unwrap_or_default();
    (candidate.action_id.0.clone(), risk)
}
