//! The model's answer: text, tool calls, or nothing at all. What was cut off, withheld or put off is none that ends a task.

use serde_json::Value;
use types::content::{Content, Message, Part};
use types::log::Control;
use types::model::{Completion, Ending, ModelFailure};
use types::stats::Usage;
use types::{EventId, Role};

use crate::agent::{Agent, Phase};
use crate::bounds;
use crate::journal::Draft;
use crate::protocol::Env;
use crate::view::Signed;

impl Agent {
    /// A model call has ended. Answers nobody waits for any more are only counted.
    pub(crate) fn model_answered(
        &mut self,
        draft: &mut Draft<'_>,
        call: u64,
        result: Result<Completion, ModelFailure>,
    ) {
        match std::mem::replace(&mut self.phase, Phase::Resting) {
            Phase::Thinking { call: awaited, item_id, trial } if awaited == call => match result {
                Ok(completion) => {
                    trial.into_iter().for_each(|trial| self.keep_trial(draft, trial, &completion));
                    self.take_answer(draft, item_id, completion);
                }
                Err(failure) => self.model_failed(draft, failure, trial),
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
        self.count_ending(completion.ending);
        self.note_usage(draft, usage);
        let response_id = self.fresh_response_id(completion.id, &item_id);
        let (message, signed) = masked(completion.message, draft.env);
        let answer = Answer {
            item_id,
            response_id,
            message: bounds::shortened(message),
            signed,
            ending: completion.ending,
        };
        if answer.message.tool_calls.is_empty() {
            self.take_text(draft, answer);
        } else {
            self.take_calls(draft, answer);
        }
    }

    /// Notes in which order the parts of an answer came, where its events, the first of which this is, do not say it.
    pub(crate) fn note_order(&mut self, draft: &mut Draft<'_>, event: EventId, order: Vec<Part>) {
        if order == self.past.view.newest_parts() {
            return;
        }
        self.past.set_order(&event, &order);
        draft.control(Control::Answer { event, order });
    }

    /// Calls are grouped by response id, so two answers in a row must not share one, as those of careless
    /// servers do.
    fn fresh_response_id(&self, id: String, item_id: &EventId) -> String {
        let is_own = bounds::is_id(&id) && self.past.view.last_response_id() != Some(&id);
        if is_own { id } else { item_id.0.clone() }
    }
}

/// As the log may have it.
pub struct Answer {
    /// Of the first event made of it.
    pub item_id: EventId,
    pub response_id: String,
    pub message: Message,
    /// Thoughts that no event may have.
    pub signed: Option<Signed>,
    pub ending: Ending,
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
fn masked(mut message: Message, env: &dyn Env) -> (Message, Option<Signed>) {
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
    let signed = Signed { thinking_blocks: message.thinking_blocks.clone(), order: message.order.clone() };
    message.retain_thinking(is_clean);
    (message, Some(signed).filter(|signed| bounds::is_kept(&signed.thinking_blocks)))
}
