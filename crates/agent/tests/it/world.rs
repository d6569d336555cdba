//! One conversation and all around it: performs effects, keeps the log as it is stored, and notes what must never be.

use std::collections::HashSet;
use std::sync::Arc;

use agent::{Agent, Effect, Input, LogItem, ToolOutcome};
use llm::Client;
use manyhands_agent as agent;
use serde_json::json;
use tokio::runtime::Runtime;
use types::agent::LlmConfig;
use types::calls::WorkingCopy;
use types::content::{Content, Message, Role};
use types::conversation::Status;
use types::log::{Control, LogRecord};
use types::model::ModelRequest;
use types::policy::ConfirmationPolicy;
use types::{ConversationId, EventBody, EventId};

use super::moves::{MODELS, Move, NEVER, Outcome};
use super::provider::{Block, End, Provider, Said};
use super::tools::{Clock, copy, observed, past_of, setup};

/// Inputs after which a conversation must have come to rest that is only answered and obeyed.
const PATIENCE: usize = 120;

pub struct World {
    agent: Agent,
    clock: Clock,
    copy: WorkingCopy,
    log: Vec<Vec<u8>>,
    events: u64,
    tree: Vec<EventId>,
    llm: LlmConfig,
    pub provider: Arc<Provider>,
    client: Client,
    runtime: Runtime,
    calling: Option<(u64, LlmConfig, ModelRequest)>,
    running: Vec<EventId>,
    carried_out: HashSet<EventId>,
    never: HashSet<EventId>,
    has_images: bool,
    pub faults: Vec<String>,
}

impl World {
    pub fn new(model: usize, condenses: bool, stuck_detection: bool) -> Self {
        let copy = copy(condenses, stuck_detection);
        let provider = Arc::new(Provider::default());
        let mut world = Self {
            agent: Agent::new(setup(&copy, &[])),
            clock: Clock::default(),
            copy,
            log: Vec::new(),
            events: 0,
            tree: Vec::new(),
            llm: config(model),
            client: Client::new(Arc::clone(&provider) as Arc<dyn llm::Transport>),
            provider,
            runtime: tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap(),
            calling: None,
            running: Vec::new(),
            carried_out: HashSet::new(),
            never: HashSet::new(),
            has_images: false,
            faults: Vec::new(),
        };
        world.switch(model);
        world
    }

    pub fn play(&mut self, one: Move) {
        match one {
            Move::Say(text, image) => self.say(text, image),
            Move::Run => self.input(Input::Run),
            Move::Pause => self.input(Input::Pause),
            Move::Interrupt => self.input(Input::Interrupt),
            Move::Respond(accept) => {
                self.input(Input::Respond { accept, reason: "no".to_owned(), actions: None });
            }
            Move::Confirm(always) => self.input(Input::SetConfirmationPolicy(match always {
                true => ConfirmationPolicy::AlwaysConfirm,
                false => ConfirmationPolicy::NeverConfirm,
            })),
            Move::Condense => self.input(Input::Condense),
            Move::Goal(true) => {
                self.input(Input::StartGoal { objective: "A goal.".to_owned(), max_iterations: 2, id: None });
            }
            Move::Goal(false) => self.input(Input::StopGoal),
            Move::Navigate(to) => {
                let to = self.tree.get(to % (self.tree.len() + 1)).cloned();
                if let Some(past) = past_of(&self.log, to.as_ref().map(EventId::as_str)) {
                    self.input(Input::Navigate { to, past });
                }
            }
            Move::Fork => self.fork(),
            Move::Crash => self.crash(),
            Move::Switch(model) => self.switch(model),
            Move::Model(said) => {
                // As clients do: without that most answers would come to nobody.
                if !self.agent.is_running() {
                    self.say("Go on.", None);
                    self.input(Input::Run);
                }
                self.model(said);
            }
            Move::Tool(which, outcome) => self.tool(which, outcome),
            Move::LateAnswer => {
                let failure = types::model::ModelFailure {
                    kind: types::model::FailureKind::Other,
                    code: "late".to_owned(),
                    detail: "late".to_owned(),
                };
                self.input(Input::ModelAnswered { call: u64::MAX, result: Err(failure) });
            }
        }
    }

    /// Whatever has happened, a user who says what is to be done now, and lets things be done, gets an answer.
    pub fn still_lives(&mut self) {
        self.play(Move::Confirm(false));
        self.play(Move::Goal(false));
        self.rest();
        let before = self.log.len();
        self.say("What now?", None);
        self.input(Input::Run);
        self.rest();
        let said = self.log.get(before..).unwrap_or_default();
        let is_answer = |record: &&Vec<u8>| {
            let text = String::from_utf8_lossy(record);
            text.contains(r#""source":"agent""#) && text.contains("All is well.")
        };
        if !said.iter().any(|record| is_answer(&record)) {
            let told = |record: &Vec<u8>| {
                let record: serde_json::Value = serde_json::from_slice(record).unwrap();
                let parts = ["kind", "code", "detail", "summary", "key", "value", "llm_message", "thought"];
                let told: Vec<_> = parts.iter().map(|part| record["event"][*part].to_string()).collect();
                told.join(" ").replace("null ", "").chars().take(400).collect::<String>()
            };
            let end: Vec<_> = said.iter().map(told).collect();
            self.faults.push(format!("dead: {:?} after {end:#?}", self.agent.status()));
        }
    }

    fn rest(&mut self) {
        for _ in 0..PATIENCE {
            if self.calling.is_some() {
                self.model(Said::Answer(vec![Block::Text("All is well.")], End::Done));
            } else if !self.running.is_empty() {
                self.tool(0, Outcome::Text("ok"));
            } else if self.agent.status() == Status::WaitingForConfirmation {
                self.play(Move::Respond(true));
            } else {
                return;
            }
        }
        self.faults.push("it never comes to rest".to_owned());
    }

    fn say(&mut self, text: &str, image: Option<&str>) {
        let mut content = vec![Content::text(text)];
        if let Some(url) = image {
            self.has_images = true;
            content.push(Content::Image { cache_prompt: false, image_urls: vec![url.to_owned()] });
        }
        let message = Message { role: Role::User, content, ..Message::default() };
        self.input(Input::Message { message, sender: None, id: None });
    }

    fn switch(&mut self, model: usize) {
        self.llm = config(model);
        let vision = llm::supports_vision(&self.llm);
        self.input(Input::SwitchLlm { llm: self.llm.clone(), vision });
    }

    fn model(&mut self, said: Said) {
        let Some((call, llm, request)) = self.calling.take() else { return };
        let may_finish = match &said {
            Said::Answer(blocks, End::Done) => !blocks.is_empty(),
            // That dialect knows no pause.
            Said::Answer(blocks, End::Paused) if llm.api_mode == "responses" => !blocks.is_empty(),
            Said::Answer(blocks, End::Cut | End::Paused) => {
                blocks.iter().any(|block| matches!(block, Block::Call { name: "finish", .. }))
            }
            Said::Answer(_, End::Withheld) => false,
            // The client may ask again at once, otherwise, and get another answer.
            Said::Refusal(..) => true,
        };
        self.provider.will(said);
        let asked = self.client.complete(&llm, "session", &request, None);
        let result = self.runtime.block_on(asked);
        let retried = self.provider.requests();
        self.provider.rest();
        let is_own = !request.tools.is_empty() && result.is_ok();
        let was_finished = self.agent.status() == Status::Finished;
        self.input(Input::ModelAnswered { call, result });
        let is_finished = self.agent.status() == Status::Finished && !was_finished;
        if is_own && is_finished && !may_finish && !self.has_images {
            self.faults.push(format!("finished by an answer that was no end ({retried} requests)"));
        }
    }

    fn tool(&mut self, which: usize, outcome: Outcome) {
        if self.running.is_empty() {
            return;
        }
        let action_id = self.running.remove(which % self.running.len());
        let text = |text: &str| {
            ToolOutcome::Observed(observed(&json!([{"type": "text", "cache_prompt": false, "text": text}])))
        };
        let outcome = match outcome {
            Outcome::Text(said) => text(said),
            Outcome::Long => text(&"long ".repeat(5_000)),
            Outcome::Image(url) => {
                let image = json!({"type": "image", "cache_prompt": false, "image_urls": [url]});
                ToolOutcome::Observed(observed(&json!([image])))
            }
            Outcome::Nothing => ToolOutcome::Observed(observed(&json!([]))),
            Outcome::Failed => ToolOutcome::Failed("boom".to_owned()),
            Outcome::Interrupted => ToolOutcome::Interrupted,
        };
        self.input(Input::ToolFinished { action_id, outcome });
    }

    /// The process dies and another one takes over.
    fn crash(&mut self) {
        self.calling = None;
        self.running.clear();
        self.agent = Agent::new(setup(&self.copy, &self.log));
        let effects = self.agent.recover(&mut self.clock);
        self.perform(effects);
        let (llm, vision) = (self.llm.clone(), llm::supports_vision(&self.llm));
        self.input(Input::SwitchLlm { llm, vision });
    }

    /// Goes on in a copy, of all of the log.
    fn fork(&mut self) {
        if self.agent.is_running() {
            return;
        }
        self.copy.conversation = ConversationId::random();
        let kept = |record: &Vec<u8>| {
            let control = LogRecord::decode(record).unwrap();
            !matches!(control, LogRecord::Control(Control::RunEnded {} | Control::Forked { .. }))
        };
        let forked = || LogRecord::Control(Control::Forked { at: None, by: None }).encode().unwrap();
        self.log.retain(kept);
        self.log.insert(0, forked());
        self.log.push(forked());
        self.crash();
    }

    fn input(&mut self, input: Input) {
        if let Ok(effects) = self.agent.handle(input, &mut self.clock) {
            self.perform(effects);
        }
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Append(items) => items.into_iter().for_each(|item| self.append(item)),
                Effect::CallModel { call, llm, request, .. } => {
                    self.must(self.calling.is_none(), "two model calls at once");
                    self.calling = Some((call, llm, request));
                }
                Effect::CancelModel => self.calling = None,
                Effect::RunTool { action_id, .. } => {
                    self.must(!self.never.contains(&action_id), "a call is run that did not come whole");
                    let is_first = self.carried_out.insert(action_id.clone());
                    self.must(is_first, "a call is run twice");
                    self.running.push(action_id);
                }
                Effect::CancelTools => self.running.clear(),
            }
        }
        let waits = self.calling.is_some() || !self.running.is_empty();
        self.must(self.agent.is_running() == waits, "the loop waits for nothing, or for something unsaid");
    }

    fn append(&mut self, item: LogItem) {
        let record = match item {
            LogItem::Event(event) => {
                if event.is_tree_event() {
                    self.tree.push(event.id.clone());
                }
                if let EventBody::ActionEvent(action) = &event.body
                    && action.action.as_ref().is_some_and(|action| action.to_string().contains(NEVER))
                {
                    self.never.insert(event.id.clone());
                }
                self.events += 1;
                LogRecord::event(self.events - 1, &event).unwrap()
            }
            LogItem::Control(control) => LogRecord::Control(control),
        };
        self.log.push(record.encode().unwrap());
    }

    fn must(&mut self, holds: bool, what: &str) {
        if !holds {
            self.faults.push(what.to_owned());
        }
    }
}

fn config(model: usize) -> LlmConfig {
    let name = MODELS[model % MODELS.len()];
    LlmConfig {
        model: name.to_owned(),
        api_key: Some("sk-0123456789".to_owned()),
        api_mode: if name.ends_with("codex") { "responses" } else { "auto" }.to_owned(),
        num_retries: 0,
        extended_thinking_budget: Some(2048),
        usage_id: "agent".to_owned(),
        ..LlmConfig::default()
    }
}
