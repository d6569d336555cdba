//! The model's answer: text, tool calls, or nothing at all.

use std::collections::HashSet;

use serde_json::Value;
use types::content::{Content, Message, ToolCall};
use types::event::{Action, AgentError, Classification, MessageBody, Risk, Source};
use types::log::Control;
use types::model::{Completion, ModelFailure};
use types::stats::Usage;
use types::tool::ToolAction;
use types::{EventBody, EventId, Role};

use crate::agent::{Agent, Phase};
use crate::bounds;
use crate::confirm::Candidate;
use crate::convert::{Converted, Converter, Valid};
use crate::journal::Draft;
use crate::observation;
use crate::protocol::Env;
use crate::view::is_blank;

const SAY_SOMETHING: &str = "Your answer was empty. Call a tool to go on with the task, or answer the user in \
text if there is nothing left to do.";

const BEHIND_FINISH: &str =
    "This call was not run: the finish call before it in the same answer ended the turn.";

impl Agent {
    /// A model call has ended. Answers nobody waits for any more are only counted.
    pub(crate) fn model_answered(
        &mut self,
        draft: &mut Draft<'_>,
        call: u64,
        result: Result<Completion, ModelFailure>,
    ) {
        match std::mem::replace(&mut self.phase, Phase::Resting) {
            Phase::Thinking { call: awaited, item_id } if awaited == call => match result {
                Ok(completion) => self.take_answer(draft, item_id, completion),
                Err(failure) => self.model_failed(draft, failure),
            },
            Phase::Condensing { call: awaited, item_id, work } if awaited == call => {
                self.summary_arrived(draft, item_id, work, result);
            }
            Phase::Judging { call: awaited, room } if awaited == call => self.judged(draft, room, result),
            other => {
                self.phase = other;
                if let Ok(late) = result {
                    let usage = usage_of(draft.env, &self.config.llm.usage_id, &late);
                    self.count(draft, usage);
                }
            }
        }
    }

    /// Counts a model call and announces the new totals.
    pub(crate) fn count(&mut self, draft: &mut Draft<'_>, usage: Usage) {
        self.note_usage(draft, usage);
        self.announce_stats(draft);
    }

    pub(crate) fn note_usage(&mut self, draft: &mut Draft<'_>, usage: Usage) {
        self.stats.add(&usage);
        self.forget_single_calls();
        draft.control(Control::Usage(usage));
    }

    pub(crate) fn announce_stats(&mut self, draft: &mut Draft<'_>) {
        let totals = self.stats.compact();
        self.announce(draft, "stats", Some(totals));
    }

    fn take_answer(&mut self, draft: &mut Draft<'_>, item_id: EventId, completion: Completion) {
        let usage = usage_of(draft.env, &self.config.llm.usage_id, &completion);
        self.run.last_tokens = usage.tokens.prompt_tokens + usage.tokens.completion_tokens;
        self.run.condensations = 0;
        self.run.withheld = 0;
        self.note_usage(draft, usage);
        let response_id = self.fresh_response_id(completion.id, &item_id);
        let (message, signed) = masked(completion.message, draft.env);
        let message = bounds::shortened(message);
        if message.tool_calls.is_empty() {
            self.take_text(draft, item_id, response_id, message);
        } else {
            self.take_calls(draft, item_id, response_id, message, signed);
        }
    }

    /// Calls are grouped by response id, so two answers in a row must not share one, as those of careless
    /// servers do.
    fn fresh_response_id(&self, id: String, item_id: &EventId) -> String {
        let is_own = bounds::is_id(&id) && self.past.view.last_response_id() != Some(&id);
        if is_own { id } else { item_id.0.clone() }
    }

    fn take_text(&mut self, draft: &mut Draft<'_>, id: EventId, response_id: String, message: Message) {
        let blank = is_blank(&message);
        let body = MessageBody {
            llm_message: message,
            llm_response_id: Some(response_id),
            activated_skills: Vec::new(),
            extended_content: Vec::new(),
            sender: None,
        };
        self.record_as(draft, id, Source::Agent, EventBody::MessageEvent(body));
        self.announce_stats(draft);
        if !blank {
            return self.finish_or_go_on(draft);
        }
        self.hint(draft, SAY_SOMETHING);
        self.step_done(draft);
    }

    /// `signed` are thoughts that no event may have.
    fn take_calls(
        &mut self,
        draft: &mut Draft<'_>,
        item_id: EventId,
        response_id: String,
        message: Message,
        signed: Option<Vec<Value>>,
    ) {
        let Message { content, tool_calls, reasoning_content, thinking_blocks, .. } = message;
        let mut first = Some((item_id, content, reasoning_content, thinking_blocks));
        let mut candidates = Vec::new();
        let mut finishing = false;
        self.ready.clear();
        for call in with_own_ids(tool_calls, &response_id) {
            let keeps_risk = self.analyzer.is_some();
            let Converted { tool, call, outcome } =
                Converter { toolbox: self.toolbox.as_ref(), keeps_risk }.convert(&call);
            let (id, thought, reasoning_content, thinking_blocks) =
                first.take().unwrap_or_else(|| (draft.env.event_id(), Vec::new(), None, Vec::new()));
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
            if finishing && error.is_none() {
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
                thought: thought.into_iter().filter(says_something).collect(),
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
        self.past.view.keep_signed(signed);
        self.announce_stats(draft);
        self.decide(draft, &candidates);
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

/// A finished call as the log keeps it.
pub fn usage_of(env: &mut dyn Env, usage_id: &str, completion: &Completion) -> Usage {
    Usage {
        usage_id: usage_id.to_owned(),
        tokens: completion.tokens.clone(),
        cost: completion.cost,
        latency: completion.latency,
        at: env.unix_now(),
    }
}

/// The message as events may have it. A thought that is signed cannot be changed, only left out; where one is, all of
/// them come beside the message, for the provider wants them as they were.
fn masked(mut message: Message, env: &dyn Env) -> (Message, Option<Vec<Value>>) {
    message.role = Role::Assistant;
    for piece in &mut message.content {
        if let Content::Text { text, .. } = piece {
            *text = env.masked(text);
        }
    }
    let reasoning = message.reasoning_content.take().filter(|text| !text.trim().is_empty());
    message.reasoning_content = reasoning.map(|text| env.masked(&text));
    let is_clean = |block: &Value| {
        let text = block.to_string();
        env.masked(&text) == text
    };
    if message.thinking_blocks.iter().all(is_clean) {
        return (message, None);
    }
    let signed = message.thinking_blocks.clone();
    message.thinking_blocks.retain(is_clean);
    (message, Some(signed).filter(|signed| bounds::is_kept(signed)))
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
