//! One conversation's loop: what it knows, and which input goes where.

use std::collections::HashMap;
use std::sync::Arc;

use types::agent::{AgentConfig, LlmConfig};
use types::calls::WorkingCopy;
use types::conversation::{Projection, Status};
use types::event::{Source, StateUpdate};
use types::goal::Goal;
use types::model::{ModelRequest, ToolSchema};
use types::policy::{ConfirmationPolicy, SecurityAnalyzer};
use types::secrets::SecretSource;
use types::stats::Stats;
use types::tool::{ToolAction, Toolbox};
use types::{EventBody, EventId, Life, Message, Role};

use crate::act::Batch;
use crate::condense::{Condenser, Condensing};
use crate::journal::{Draft, Position};
use crate::past::Past;
use crate::protocol::{Effect, Env, Input, Refusal, Setup};
use crate::recover::GivenUp;
use crate::trial::Trial;
use crate::{recover, schema, settings};

/// The loop of one conversation. See the crate's documentation for its rules.
pub struct Agent {
    pub(crate) copy: WorkingCopy,
    pub(crate) config: AgentConfig,
    pub(crate) vision: bool,
    pub(crate) toolbox: Arc<dyn Toolbox>,
    pub(crate) offered: Arc<[ToolSchema]>,
    /// What the model is told of tools that are missing, behind the system prompt.
    pub(crate) missing_tools: Option<String>,
    pub(crate) condenser: Option<Condenser>,
    pub(crate) policy: ConfirmationPolicy,
    pub(crate) analyzer: Option<SecurityAnalyzer>,
    pub(crate) position: Position,
    pub(crate) status: Status,
    pub(crate) stats: Stats,
    pub(crate) past: Past,
    /// The actions of open calls, as they were read. One that is missing is restored from its event.
    pub(crate) ready: HashMap<EventId, ToolAction>,
    pub(crate) phase: Phase,
    pub(crate) run: Run,
    /// The newest one, whether it is worked on or not.
    pub(crate) goal: Option<Goal>,
    pub(crate) calls: u64,
}

/// What the loop waits for.
pub(crate) enum Phase {
    Resting,
    /// The model's answer.
    Thinking {
        call: u64,
        item_id: EventId,
        /// Without which part of the history it was asked.
        trial: Option<Trial>,
    },
    /// A summary of the history.
    Condensing {
        call: u64,
        item_id: EventId,
        work: Condensing,
    },
    /// Tools.
    Acting(Batch),
    /// A word on how far the goal is reached, between two runs.
    Judging {
        call: u64,
        /// Bytes of the history that the judge was given.
        room: usize,
    },
}

/// The run under way, or the last one.
#[derive(Default)]
pub(crate) struct Run {
    /// Finished steps.
    pub steps: u64,
    /// Paused, but the step in flight is not over.
    pub pausing: bool,
    /// A user message came that no model call has contained yet.
    pub unseen_message: bool,
    /// Condensations since the model last answered.
    pub condensations: u32,
    /// A summary failed, and the run goes on without one: no other attempt in this run.
    pub condenser_failed: bool,
    /// Answers in a row that the provider withheld.
    pub withheld: u32,
    /// Answers in a row that were cut off, and nothing of them could be run.
    pub cut: u32,
    /// Answers in a row that the provider paused.
    pub paused: u32,
    /// Tokens of the last call, prompt and answer.
    pub last_tokens: u64,
}

impl Agent {
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        let Setup { mut copy, config, vision, toolbox, projection, past } = setup;
        leave_out_unneeded(&mut copy);
        let position = Position::of(&projection);
        let Projection { status, stats, confirmation_policy, security_analyzer, goal, .. } = projection;
        let mut agent = Self {
            offered: schema::offered(toolbox.definitions()),
            missing_tools: None,
            condenser: config.condenser.as_ref().and_then(Condenser::read),
            policy: confirmation_policy.unwrap_or_else(|| copy.confirmation_policy.clone()),
            analyzer: security_analyzer.unwrap_or_else(|| copy.security_analyzer.clone()),
            copy,
            config,
            vision,
            toolbox,
            position,
            status,
            stats,
            past,
            ready: HashMap::new(),
            phase: Phase::Resting,
            run: Run::default(),
            goal,
            calls: 0,
        };
        agent.forget_single_calls();
        agent
    }

    /// Which conversation it is.
    #[must_use]
    pub fn life(&self) -> Life {
        self.copy.life()
    }

    /// The projection it was built from, as of now: the fields that [`Self::new`] looks at.
    #[must_use]
    pub fn projection(&self) -> Projection {
        let mut projection = Projection {
            status: self.status,
            stats: self.stats.clone(),
            confirmation_policy: Some(self.policy.clone()),
            security_analyzer: Some(self.analyzer.clone()),
            goal: self.goal.clone(),
            ..Projection::default()
        };
        self.position.note(&mut projection);
        projection
    }

    /// The past it was built from, as of now.
    #[must_use]
    pub fn past(&self) -> &Past {
        &self.past
    }

    /// Takes that away, from an agent that is not needed any more.
    #[must_use]
    pub fn take_past(&mut self) -> Past {
        std::mem::take(&mut self.past)
    }

    /// Takes other tools from now on. `missing` tells of those that the conversation should have, too, in words for the model and
    /// the user; it is told once, where the conversation begins.
    pub fn equip(&mut self, toolbox: Arc<dyn Toolbox>, missing: Option<String>) {
        self.offered = schema::offered(toolbox.definitions());
        self.toolbox = toolbox;
        self.missing_tools = missing;
    }

    /// Sets right what a crash left: a goal that nobody works on is interrupted, a run that is not one any more becomes
    /// an error, and every open call that nobody is to confirm gets a result that says its outcome is unknown. To be
    /// called once, before [`Self::handle`]. Nothing to do: empty.
    pub fn recover(&mut self, env: &mut dyn Env) -> Vec<Effect> {
        let mut draft = Draft::new(env);
        self.interrupt_goal(&mut draft);
        recover::close_what_crashed(self, &mut draft);
        draft.finish()
    }

    /// As [`Self::recover`], of a log that refused what came next: says `why` in an event. It may have little room: so this is
    /// several appends, each of few bytes, and the goal, which has most of them, comes last.
    pub fn give_up(&mut self, why: &GivenUp<'_>, env: &mut dyn Env) -> Vec<Effect> {
        let mut draft = Draft::new(env);
        recover::close_what_was_refused(self, &mut draft, why);
        draft.cut();
        self.interrupt_goal(&mut draft);
        draft.finish()
    }

    /// Takes one input and says what is to be done, in order.
    ///
    /// # Errors
    /// When the input does not fit now; then nothing has changed.
    pub fn handle(&mut self, input: Input, env: &mut dyn Env) -> Result<Vec<Effect>, Refusal> {
        let mut draft = Draft::new(env);
        match input {
            Input::Message { message, sender, id } => self.take_message(&mut draft, message, sender, id)?,
            Input::Run => self.start_run(&mut draft)?,
            Input::Pause => self.pause(&mut draft),
            Input::Interrupt => self.interrupt(&mut draft),
            Input::Respond { actions: Some(named), .. } if !self.waits_for(&named) => {
                return Err(Refusal::OthersWait);
            }
            Input::Respond { accept: true, .. } => self.accept(&mut draft),
            Input::Respond { accept: false, reason, .. } => self.reject(&mut draft, &reason),
            Input::SetConfirmationPolicy(policy) => settings::set_policy(self, &mut draft, policy),
            Input::SetSecurityAnalyzer(analyzer) => settings::set_analyzer(self, &mut draft, analyzer),
            Input::SetTags(tags) => settings::set_tags(self, &mut draft, &tags),
            Input::SwitchLlm { llm, vision } => settings::switch_llm(self, &mut draft, llm, vision),
            Input::Condense => self.condense_now(&mut draft)?,
            Input::StartGoal { objective, max_iterations, id } => {
                self.start_goal(&mut draft, objective, max_iterations, id)?;
            }
            Input::StopGoal => self.interrupt_goal(&mut draft),
            Input::ResumeGoal => self.resume_goal(&mut draft)?,
            Input::Navigate { to, past } => self.navigate(&mut draft, to, past)?,
            Input::ModelAnswered { call, result } => self.model_answered(&mut draft, call, result),
            Input::ToolFinished { action_id, outcome } => {
                self.tool_finished(&mut draft, &action_id, outcome);
            }
            Input::SideUsage(usage) => self.count(&mut draft, usage),
            Input::QuestionUsage(usage) => self.note_usage(&mut draft, usage),
            Input::SideError(mut error) => {
                error.detail = draft.env.masked(&error.detail);
                self.record(&mut draft, Source::Environment, EventBody::ConversationErrorEvent(error));
            }
        }
        Ok(draft.finish())
    }

    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// Whether effects are under way: a model call or tools.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !matches!(self.phase, Phase::Resting)
    }

    /// A question about the conversation, to be put beside it: nothing of it is stored.
    #[must_use]
    pub fn ask(&self, question: &str) -> ModelRequest {
        let mut messages = self.past.view.messages();
        let text = format!(
            "Answer the following question from what you know of this conversation. Answer in text, \
             at once and briefly, without calling tools.\n\n{question}"
        );
        messages.push(Arc::new(Message::new(Role::User, text)));
        ModelRequest { messages, tools: Arc::clone(&self.offered) }
    }

    /// Whether the log has a user message of this id.
    #[must_use]
    pub fn has_message(&self, id: &EventId) -> bool {
        self.past.has_message(id)
    }

    #[must_use]
    pub fn llm(&self) -> &LlmConfig {
        &self.config.llm
    }

    /// Makes the next event of the log and takes note of it.
    pub(crate) fn record(&mut self, draft: &mut Draft<'_>, source: Source, body: EventBody) -> EventId {
        let id = draft.env.event_id();
        self.record_as(draft, id.clone(), source, body);
        id
    }

    pub(crate) fn record_as(&mut self, draft: &mut Draft<'_>, id: EventId, source: Source, body: EventBody) {
        let event = self.position.next(draft.env, id, source, body);
        self.past.absorb(&event);
        draft.event(event);
    }

    /// Announces a changed field of the conversation's state.
    pub(crate) fn announce(&mut self, draft: &mut Draft<'_>, key: &str, value: Option<serde_json::Value>) {
        let update = StateUpdate { key: key.to_owned(), value };
        self.record(draft, Source::Environment, EventBody::ConversationStateUpdateEvent(update));
    }

    pub(crate) fn set_status(&mut self, draft: &mut Draft<'_>, status: Status) {
        if self.status == status {
            return;
        }
        self.status = status;
        self.announce(draft, "execution_status", serde_json::to_value(status).ok());
    }

    /// The totals are all that the loop needs of the stats; the lists of single calls would only take memory.
    pub(crate) fn forget_single_calls(&mut self) {
        for metrics in self.stats.usage_to_metrics.values_mut() {
            metrics.costs = Vec::new();
            metrics.response_latencies = Vec::new();
            metrics.token_usages = Vec::new();
        }
    }
}

/// The agent object is known as the configuration, and of secrets only names and descriptions are told.
fn leave_out_unneeded(copy: &mut WorkingCopy) {
    copy.agent = serde_json::Value::Null;
    for secret in copy.secrets.values_mut() {
        let description = secret.description().map(str::to_owned);
        *secret = SecretSource::StaticSecret { description, value: None };
    }
}
