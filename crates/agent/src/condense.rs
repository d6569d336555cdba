//! Making a long history short: what may be forgotten, and the model call that sums it up.

mod plan;

use std::ops::Range;

use serde_json::Value;
use types::agent::LlmConfig;
use types::classify::classify;
use types::content::joined_text;
use types::conversation::Status;
use types::event::{Condensation, Empty, Source};
use types::model::{Completion, Ending, FailureKind, ModelFailure, ModelRequest};
use types::{EventBody, EventId, Message, Role};

use crate::agent::{Agent, Phase};
use crate::answer::usage_of;
use crate::bounds;
use crate::journal::Draft;
use crate::protocol::{Effect, Refusal};
use crate::view::piece;
use plan::{Reason, plan};

const INSTRUCTIONS: &str = include_str!("condense.md");

/// Characters of each event that the summary is written from.
const PREVIEW: usize = 500;

const WITHHELD: &str = "The provider withheld the summary of the condenser's model.";
const EMPTY: &str = "The condenser's model returned no summary.";
const CUT_OFF: &str = "\n[This summary was cut off here.]";

/// An `LLMSummarizingCondenser`.
pub struct Condenser {
    pub llm: LlmConfig,
    /// View events above which the history is shortened.
    max_size: usize,
    max_tokens: Option<u64>,
    /// View events at the beginning that are kept.
    keep_first: usize,
    /// Share of the view that must go for a condensation to be worth it.
    minimum_progress: f64,
    /// How often a summary that does not fit is tried with shorter previews.
    retries: u32,
}

/// A summary under way.
pub struct Condensing {
    /// Whether a run goes on when it is there.
    pub goes_on: bool,
    /// Without it the run cannot go on.
    needed: bool,
    attempt: u32,
    /// The items to be forgotten.
    items: Range<usize>,
}

impl Condenser {
    /// Reads the agent's `condenser`; `None` where there is none that sums up.
    pub fn read(value: &Value) -> Option<Self> {
        if let Some(several) = value.get("condensers").and_then(Value::as_array) {
            return several.iter().find_map(Self::read);
        }
        if value.get("kind").and_then(Value::as_str) != Some("LLMSummarizingCondenser") {
            return None;
        }
        let llm: LlmConfig = serde_json::from_value(value.get("llm")?.clone()).ok()?;
        let number = |field: &str, default: u64| value.get(field).and_then(Value::as_u64).unwrap_or(default);
        let size = |field: &str, default: u64| usize::try_from(number(field, default)).unwrap_or(usize::MAX);
        Some(Self {
            llm: LlmConfig { stream: false, ..llm },
            max_size: size("max_size", 240),
            max_tokens: value.get("max_tokens").and_then(Value::as_u64),
            keep_first: size("keep_first", 2),
            minimum_progress: value.get("minimum_progress").and_then(Value::as_f64).unwrap_or(0.1),
            retries: u32::try_from(number("hard_context_reset_max_retries", 5)).unwrap_or(5),
        })
    }
}

impl Agent {
    /// Shortens the history on the user's demand: now, or with the next step of the run under way or to come
    /// when actions wait for the user.
    pub(crate) fn condense_now(&mut self, draft: &mut Draft<'_>) -> Result<(), Refusal> {
        if self.condenser.is_none() {
            return Err(Refusal::Invalid("this conversation has no condenser".to_owned()));
        }
        let resting = matches!(self.phase, Phase::Resting);
        if resting && self.forgettable().is_none() {
            return Err(Refusal::Invalid("there is nothing to condense yet".to_owned()));
        }
        if resting {
            // A run may go on from here that is not begun anew.
            self.close_left_calls(draft);
        }
        let items = self.forgettable();
        self.record(draft, Source::Environment, EventBody::CondensationRequest(Empty {}));
        let now = resting && self.status != Status::WaitingForConfirmation;
        if let (true, Some(items)) = (now, items) {
            self.call_condenser(draft, Condensing { goes_on: false, needed: true, attempt: 0, items });
        }
        Ok(())
    }

    /// What a condensation now would forget.
    pub(crate) fn forgettable(&self) -> Option<Range<usize>> {
        plan(self.condenser.as_ref()?, &self.past.view, Reason::Request)
    }

    /// Starts a condensation if one is due; whether it did.
    pub(crate) fn condense_if_due(&mut self, draft: &mut Draft<'_>) -> bool {
        let Some(reason) = self.reason_to_condense() else { return false };
        let needed = reason == Reason::Request;
        if self.run.condenser_failed {
            return false;
        }
        let items = self.condenser.as_ref().and_then(|condenser| plan(condenser, &self.past.view, reason));
        let Some(items) = items else { return false };
        self.call_condenser(draft, Condensing { goes_on: true, needed, attempt: 0, items });
        true
    }

    pub(crate) fn summary_arrived(
        &mut self,
        draft: &mut Draft<'_>,
        id: EventId,
        work: Condensing,
        result: Result<Completion, ModelFailure>,
    ) {
        let completion = match result {
            Ok(completion) => completion,
            Err(failure) => return self.no_summary(draft, work, &failure),
        };
        if let Some(condenser) = &self.condenser {
            let usage = usage_of(draft.env, &condenser.llm.usage_id, &completion);
            self.note_usage(draft, usage);
        }
        let mut summary = bounds::text(draft.env.masked(joined_text(&completion.message.content).trim()));
        if matches!(completion.ending, Ending::Cut { .. }) && !summary.is_empty() {
            summary.push_str(CUT_OFF);
        }
        let missing = match completion.ending {
            Ending::Withheld => {
                Some((FailureKind::ContentPolicy, "LLMContentPolicyViolationError", WITHHELD))
            }
            _ if summary.is_empty() => Some((FailureKind::Other, "LLMNoResponseError", EMPTY)),
            _ => None,
        };
        if let Some((kind, code, detail)) = missing {
            self.announce_stats(draft);
            let failure = ModelFailure { kind, code: code.to_owned(), detail: detail.to_owned() };
            return self.no_summary(draft, work, &failure);
        }
        let body = Condensation {
            forgotten_event_ids: self.past.view.event_ids(work.items.clone()),
            summary: Some(summary),
            summary_offset: Some(self.past.view.offset_of(work.items.start)),
            llm_response_id: if bounds::is_id(&completion.id) { completion.id } else { id.0.clone() },
        };
        self.record_as(draft, id, Source::Environment, EventBody::Condensation(body));
        self.announce_stats(draft);
        self.run.condensations += 1;
        self.run.last_tokens = 0;
        if work.goes_on {
            self.step_done(draft);
        } else {
            self.run.pausing = false;
        }
    }

    fn no_summary(&mut self, draft: &mut Draft<'_>, work: Condensing, failure: &ModelFailure) {
        let retries = self.condenser.as_ref().map_or(0, |condenser| condenser.retries);
        if failure.kind == FailureKind::ContextWindow && work.attempt < retries && !self.run.pausing {
            let attempt = work.attempt + 1;
            return self.call_condenser(draft, Condensing { attempt, ..work });
        }
        if !work.goes_on {
            self.run.pausing = false;
            return self.record_failure(draft, &failure.code, &failure.detail);
        }
        // What may pass is tried again with the next run. All else would fail again then, and it goes on without a summary.
        let may_pass =
            failure.kind == FailureKind::Other && classify(&failure.code, &failure.detail).retryable;
        if work.needed && may_pass {
            return self.fail(draft, &failure.code, &failure.detail);
        }
        self.run.condenser_failed = true;
        if self.run.pausing { self.end_run(draft) } else { self.step(draft) }
    }

    fn reason_to_condense(&self) -> Option<Reason> {
        let condenser = self.condenser.as_ref()?;
        if self.past.condensation_wanted {
            return Some(Reason::Request);
        }
        let limits = [condenser.max_tokens, self.config.llm.max_input_tokens];
        let limit = limits.into_iter().flatten().min();
        if limit.is_some_and(|limit| self.run.last_tokens > limit) {
            return Some(Reason::Tokens);
        }
        (self.past.view.event_count() > condenser.max_size).then_some(Reason::Events)
    }

    fn call_condenser(&mut self, draft: &mut Draft<'_>, work: Condensing) {
        let Some(condenser) = &self.condenser else { return };
        let llm = condenser.llm.clone();
        let request = self.summary_request(&work);
        self.calls += 1;
        let item_id = draft.env.event_id();
        draft.effect(Effect::CallModel {
            call: self.calls,
            item_id: item_id.clone(),
            usage_id: llm.usage_id.clone(),
            llm,
            request,
        });
        self.phase = Phase::Condensing { call: self.calls, item_id, work };
    }

    fn summary_request(&self, work: &Condensing) -> ModelRequest {
        let length = (0..work.attempt).fold(PREVIEW, |length, _| length * 4 / 5);
        let mut text = "These are the events to sum up, oldest first. Long ones are cut.\n".to_owned();
        for item in self.past.view.items.get(work.items.clone()).unwrap_or_default() {
            for (tag, content) in item.outline() {
                // A summary is never cut: what it leaves out is gone.
                let kept = if tag == "earlier_summary" { usize::MAX } else { length };
                text.push('\n');
                text.push_str(piece(tag, &content, kept).trim_end());
            }
        }
        ModelRequest::new(
            vec![Message::new(Role::System, INSTRUCTIONS.trim()), Message::new(Role::User, text)],
            Vec::new(),
        )
    }
}
