//! A run: step after step until something ends it.

use std::sync::Arc;

use types::classify::classify;
use types::conversation::Status;
use types::event::{ConversationError, MessageBody, Source};
use types::log::Control;
use types::model::ModelRequest;
use types::{EventBody, Message, Role};

use crate::agent::{Agent, Phase, Run};
use crate::journal::Draft;
use crate::protocol::{Effect, Refusal};
use crate::settings;
use crate::stuck::Verdict;
use crate::trial::Trial;

const BLIND: &str = "Your message contains an image, and the model of this conversation cannot take images. \
Please describe what it shows, or switch to a model that can see.";

const NUDGE: &str = "The same tool call has now failed three times in a row with the same arguments. Read the \
error message again: it says what is wrong with the call. Check the tool's name, its required parameters and \
their types, and then either correct the call, use another tool, or tell the user what stops you. Repeating \
the call unchanged once more will end the run.";

const STILL_WAITING: &str =
    "The user sent a message while you were answering. Read it and go on with what it asks for.";

impl Agent {
    /// Starts a run, or goes on with one that is about to pause.
    pub(crate) fn start_run(&mut self, draft: &mut Draft<'_>) -> Result<(), Refusal> {
        match &mut self.phase {
            Phase::Resting => {}
            Phase::Condensing { work, .. } if !work.goes_on => {
                work.goes_on = true;
                self.run = Run::default();
                self.set_status(draft, Status::Running);
                return Ok(());
            }
            _ if self.run.pausing => {
                self.run.pausing = false;
                self.run.steps = 0;
                self.set_status(draft, Status::Running);
                return Ok(());
            }
            _ => return Err(Refusal::AlreadyRunning),
        }
        if self.status == Status::Finished {
            self.end_run(draft);
            return Ok(());
        }
        self.open(draft);
        settings::settle_model(self, draft);
        self.close_left_calls(draft);
        self.run = Run { last_tokens: self.run.last_tokens, ..Run::default() };
        self.set_status(draft, Status::Running);
        if let Some(why) = self.copy.broken_secret.clone() {
            self.fail(draft, "SecretUnavailable", &why);
            return Ok(());
        }
        if self.past.view.open_calls().any(|call| call.action.is_some()) {
            self.act(draft);
        } else {
            self.step(draft);
        }
        Ok(())
    }

    /// Takes the next step, or ends the run.
    pub(crate) fn step(&mut self, draft: &mut Draft<'_>) {
        // What is said in parts is no talk with oneself.
        if self.copy.stuck_detection && self.run.paused == 0 {
            match self.past.trail.verdict() {
                Verdict::Fine => {}
                Verdict::Nudge => self.hint(draft, NUDGE),
                Verdict::Stuck => return self.end_with(draft, Status::Stuck),
            }
        }
        if self.past.image_asked && !self.vision {
            self.say(draft, BLIND);
            return self.end_with(draft, Status::Finished);
        }
        if !self.condense_if_due(draft) {
            self.call_model(draft);
        }
    }

    /// Counts a finished step and takes the next one, unless the run is to pause or has had its steps.
    pub(crate) fn step_done(&mut self, draft: &mut Draft<'_>) {
        self.run.steps += 1;
        if self.run.pausing {
            return self.end_run(draft);
        }
        if self.run.steps < self.copy.max_iterations {
            return self.step(draft);
        }
        let detail = format!("Agent reached maximum iterations limit ({}).", self.copy.max_iterations);
        self.fail(draft, "MaxIterationsReached", &detail);
    }

    /// The agent is done, unless the user said something it has not seen.
    pub(crate) fn finish_or_go_on(&mut self, draft: &mut Draft<'_>) {
        if !self.run.unseen_message {
            return self.end_with(draft, Status::Finished);
        }
        if self.run.steps + 1 >= self.copy.max_iterations && !self.run.pausing {
            return self.end_with(draft, Status::Idle);
        }
        self.hint(draft, STILL_WAITING);
        self.step_done(draft);
    }

    /// Ends the run with an error the user sees.
    pub(crate) fn fail(&mut self, draft: &mut Draft<'_>, code: &str, detail: &str) {
        self.set_status(draft, Status::Error);
        self.record_failure(draft, code, detail);
        self.end_run(draft);
    }

    pub(crate) fn record_failure(&mut self, draft: &mut Draft<'_>, code: &str, detail: &str) {
        let classification = Some(classify(code, detail));
        let detail = draft.env.masked(detail);
        let error = ConversationError { code: code.to_owned(), detail, classification };
        self.record(draft, Source::Environment, EventBody::ConversationErrorEvent(error));
    }

    pub(crate) fn end_with(&mut self, draft: &mut Draft<'_>, status: Status) {
        self.set_status(draft, status);
        self.end_run(draft);
    }

    pub(crate) fn end_run(&mut self, draft: &mut Draft<'_>) {
        self.phase = Phase::Resting;
        self.run.pausing = false;
        let is_round = self.run_belongs_to_goal(draft);
        draft.control(Control::RunEnded {});
        if is_round {
            self.judge(draft);
        }
    }

    fn call_model(&mut self, draft: &mut Draft<'_>) {
        self.call_model_with(draft, self.past.view.messages(), None);
    }

    pub(crate) fn call_model_with(
        &mut self,
        draft: &mut Draft<'_>,
        messages: Vec<Arc<Message>>,
        trial: Option<Trial>,
    ) {
        self.calls += 1;
        self.run.unseen_message = false;
        let item_id = draft.env.event_id();
        let llm = self.config.llm.clone();
        draft.effect(Effect::CallModel {
            call: self.calls,
            item_id: item_id.clone(),
            usage_id: llm.usage_id.clone(),
            llm,
            request: ModelRequest { messages, tools: self.offered.clone() },
        });
        self.phase = Phase::Thinking { call: self.calls, item_id, trial };
    }

    fn say(&mut self, draft: &mut Draft<'_>, text: &str) {
        let body = MessageBody {
            llm_message: Message::new(Role::Assistant, text),
            llm_response_id: None,
            activated_skills: Vec::new(),
            extended_content: Vec::new(),
            sender: None,
        };
        self.record(draft, Source::Agent, EventBody::MessageEvent(body));
    }
}
