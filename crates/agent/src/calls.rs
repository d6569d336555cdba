//! An answer with calls.

use std::collections::HashSet;

use serde_json::Value;
use types::EventBody;
use types::content::{Content, Message, Part, ToolCall};
use types::event::{Action, AgentError, Classification, Risk, Source};
use types::model::Ending;
use types::tool::ToolAction;

use crate::agent::Agent;
use crate::answer::Answer;
use crate::bounds;
use crate::confirm::Candidate;
use crate::convert::{Converted, Converter, Valid};
use crate::journal::Draft;
use crate::observation;

const BEHIND_FINISH: &str =
    "This call was not run: the finish call before it in the same answer ended the turn.";

const CUT: &str = "The answer was cut at the output limit; this call was not run. Send it in smaller parts.";

const WITHHELD: &str =
    "The model provider withheld a part of the answer because of its content rules; this call was not run.";

impl Agent {
    pub(crate) fn take_calls(&mut self, draft: &mut Draft<'_>, answer: Answer) {
        let Answer { item_id, response_id, mut message, signed, ending } = answer;
        if message.order.is_empty() {
            message.content.retain(says_something);
        }
        let order = message.parts();
        let mut before = said_before_calls(&message, &order).into_iter();
        let Message { tool_calls, reasoning_content, .. } = message;
        let mut first = Some((item_id.clone(), reasoning_content));
        let mut candidates = Vec::new();
        let mut finishing = false;
        self.ready.clear();
        for (at, call) in with_own_ids(tool_calls, &response_id).into_iter().enumerate() {
            let keeps_risk = self.analyzer.is_some();
            let Converted { tool, call, outcome } =
                Converter { toolbox: self.toolbox.as_ref(), keeps_risk }.convert(&call);
            let (id, reasoning_content) = first.take().unwrap_or_else(|| (draft.env.event_id(), None));
            let Before { thought, thinking_blocks } = before.next().unwrap_or_default();
            let (valid, mut error) = match outcome {
                Ok(valid) => (Some(valid), None),
                Err(error) => (None, Some(error)),
            };
            let (parsed, security_risk, summary) = match valid {
                Some(Valid { parsed, risk, summary }) => {
                    (Some(parsed), risk, Some(draft.env.masked(&summary)))
                }
                None => (None, Risk::Unknown, None),
            };
            let (mut described, action) = parsed.map(|parsed| (parsed.described, parsed.action)).unzip();
            let only_says = action.as_ref().is_some_and(|action: &ToolAction| action.result.is_some());
            if let Some(why) = not_run(ending, at) {
                error = Some(why.to_owned());
            } else if finishing && error.is_none() {
                error = Some(BEHIND_FINISH.to_owned());
            }
            if let (Some(action), None) = (action, &error) {
                let candidate = Candidate::new(id.clone(), &action, security_risk);
                finishing |= candidate.ends_turn;
                candidates.push(candidate);
                self.ready.insert(id.clone(), action);
            }
            let mut call = call;
            // What the agent says is shown to people, and so is what is not done; what it does must stay as it is, or it
            // would do something else.
            if only_says || error.is_some() {
                if let Some(said) = &mut described {
                    observation::mask(said, draft.env);
                }
                call.arguments = draft.env.masked(&call.arguments);
            }
            let body = Action {
                thought,
                reasoning_content,
                thinking_blocks,
                action: described,
                tool_name: tool.clone(),
                tool_call_id: call.id.clone(),
                tool_call: call.clone(),
                llm_response_id: response_id.clone(),
                security_risk,
                summary,
            };
            self.record_as(draft, id, Source::Agent, EventBody::ActionEvent(Box::new(body)));
            if let Some(error) = error {
                self.close_call(draft, &tool, &call.id, &error);
            }
        }
        self.note_order(draft, item_id, order);
        self.past.view.keep_signed(signed);
        self.announce_stats(draft);
        self.decide_on(draft, ending, &candidates);
    }

    fn decide_on(&mut self, draft: &mut Draft<'_>, ending: Ending, candidates: &[Candidate]) {
        match ending {
            Ending::Withheld => self.ask_to_rephrase(draft),
            Ending::Cut { .. } if candidates.is_empty() => self.go_on_from_cut(draft, None),
            Ending::Done | Ending::Cut { .. } | Ending::Paused => {
                (self.run.cut, self.run.paused) = (0, 0);
                self.decide(draft, candidates);
            }
        }
    }

    /// Answers a call with an error the model can do something about.
    pub(crate) fn close_call(&mut self, draft: &mut Draft<'_>, tool: &str, call_id: &str, error: &str) {
        let classification = Classification::new("agent_action", true, "retry");
        self.close_call_as(draft, tool, call_id, error, classification);
    }

    pub(crate) fn close_call_as(
        &mut self,
        draft: &mut Draft<'_>,
        tool: &str,
        call_id: &str,
        error: &str,
        classification: Classification,
    ) {
        let body = AgentError {
            tool_name: tool.to_owned(),
            tool_call_id: call_id.to_owned(),
            error: bounds::complaint(&draft.env.masked(error)),
            classification: Some(classification),
        };
        self.record(draft, Source::Agent, EventBody::AgentErrorEvent(body));
    }
}

/// Why the call in this place of an answer is not run, although it may look whole.
fn not_run(ending: Ending, place: usize) -> Option<&'static str> {
    match ending {
        Ending::Cut { whole_calls } => (place >= whole_calls).then_some(CUT),
        Ending::Withheld => Some(WITHHELD),
        Ending::Done | Ending::Paused => None,
    }
}

/// What an answer has before each of its calls, in the order in which it came; what is behind the last one goes with it.
#[derive(Default)]
struct Before {
    thought: Vec<Content>,
    thinking_blocks: Vec<Value>,
}

fn said_before_calls(message: &Message, order: &[Part]) -> Vec<Before> {
    let mut all: Vec<Before> = Vec::new();
    let mut next = Before::default();
    for part in order {
        match *part {
            Part::Text(at) => next.thought.extend(message.content.get(at).cloned()),
            Part::Thinking(at) => next.thinking_blocks.extend(message.thinking_blocks.get(at).cloned()),
            Part::Call(_) => all.push(std::mem::take(&mut next)),
        }
    }
    if let Some(last) = all.last_mut() {
        last.thought.append(&mut next.thought);
        last.thinking_blocks.append(&mut next.thinking_blocks);
    }
    all
}

fn says_something(piece: &Content) -> bool {
    piece.as_text().is_none_or(|text| !text.trim().is_empty())
}

/// Every call of an answer needs an id of its own, or its result cannot be told from another's.
fn with_own_ids(calls: Vec<ToolCall>, response_id: &str) -> Vec<ToolCall> {
    let mut taken = HashSet::new();
    let own_id = |(index, mut call): (usize, ToolCall)| {
        if !bounds::is_id(&call.id) || !taken.insert(call.id.clone()) {
            call.id = format!("call_{index}_{response_id}");
            taken.insert(call.id.clone());
        }
        call
    };
    calls.into_iter().enumerate().map(own_id).collect()
}
