//! A worker without I/O: performs effects, keeps the log, and checks at every step what always holds.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};
use types::calls::WorkingCopy;
use types::conversation::Status;
use types::event::ROOT;
use types::log::Control;
use types::model::{Completion, Ending, ModelFailure, ModelRequest};
use types::tool::ToolAction;
use types::{Event, EventBody, EventId, Message, Role};

use super::support::{TestEnv, completion, setup, shape};
use crate::Agent;
use crate::agent::Phase;
use crate::protocol::{Effect, Input, LogItem, Refusal, ToolOutcome};

pub struct Sim {
    pub agent: Agent,
    pub env: TestEnv,
    pub copy: WorkingCopy,
    pub log: Vec<LogItem>,
    /// How many records were looked at by [`Self::news`].
    read: usize,
    ids: HashSet<EventId>,
    /// The model call under way.
    pub calling: Option<(u64, String, ModelRequest)>,
    /// Running tools in the order they were started.
    pub running: Vec<(EventId, String, ToolAction)>,
    /// All that was ever started.
    carried_out: HashSet<EventId>,
    answers: u64,
}

impl Sim {
    pub fn new(copy: WorkingCopy) -> Self {
        let agent = Agent::new(setup(copy.clone(), &[]));
        Self {
            agent,
            env: TestEnv::default(),
            copy,
            log: Vec::new(),
            read: 0,
            ids: HashSet::new(),
            calling: None,
            running: Vec::new(),
            carried_out: HashSet::new(),
            answers: 0,
        }
    }

    /// Said and running: the usual beginning, already read.
    pub fn started(copy: WorkingCopy) -> Self {
        let mut sim = Self::new(copy);
        sim.say("Hello.");
        sim.run();
        sim.news();
        sim
    }

    pub fn input(&mut self, input: Input) -> Result<(), Refusal> {
        let was_running = self.agent.is_running();
        let was_judging = self.is_judging();
        let effects = self.agent.handle(input, &mut self.env)?;
        let ended = effects.iter().any(|effect| {
            matches!(effect, Effect::Append(items) if items.last() == Some(&LogItem::Control(Control::RunEnded {})))
        });
        let condensed = effects.iter().any(|effect| {
            matches!(effect, Effect::Append(items) if items.iter().any(|i| shape(i) == "Condensation" || shape(i).starts_with("Error(")))
        });
        self.perform(effects);
        if was_running && !self.agent.is_running() {
            assert!(ended || condensed || was_judging, "a run ended without saying so: {:?}", self.shapes());
        }
        Ok(())
    }

    pub fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Append(items) => self.append(items),
                Effect::CallModel { call, usage_id, request, .. } => {
                    assert!(self.calling.is_none(), "two model calls at once");
                    assert_paired(&request);
                    let beside = usage_id == "condenser" || self.is_judging();
                    let allowed = beside || self.agent.status() == Status::Running;
                    assert!(allowed, "a step was begun in status {:?}", self.agent.status());
                    self.calling = Some((call, usage_id, request));
                }
                Effect::CancelModel => assert!(self.calling.take().is_some(), "nothing to cancel"),
                Effect::RunTool { action_id, tool, action } => {
                    assert!(self.carried_out.insert(action_id.clone()), "a call is carried out twice");
                    self.running.push((action_id, tool, action));
                }
                Effect::CancelTools => {
                    assert!(!self.running.is_empty(), "nothing to cancel");
                    self.running.clear();
                }
            }
        }
        let busy = self.calling.is_some() || !self.running.is_empty();
        assert_eq!(self.agent.is_running(), busy, "the loop waits for nothing: {:?}", self.shapes());
        let awaits = self.agent.status() == Status::WaitingForConfirmation;
        if !busy && !awaits && !self.agent.past.has_left_calls() {
            assert_eq!(
                self.agent.past.view.open_calls().count(),
                0,
                "a call stays open: {:?}",
                self.shapes()
            );
        }
    }

    fn append(&mut self, items: Vec<LogItem>) {
        assert!(!items.is_empty());
        let ends = items.iter().filter(|item| **item == LogItem::Control(Control::RunEnded {})).count();
        assert!(ends <= 1, "a run ends once");
        assert!(ends == 0 || items.last() == Some(&LogItem::Control(Control::RunEnded {})), "and at the end");
        for item in items {
            if let LogItem::Event(event) = &item {
                self.assert_follows(event);
            }
            self.log.push(item);
        }
    }

    fn assert_follows(&mut self, event: &Event) {
        if let Some(last) = self.events().next_back() {
            assert!(last.timestamp < event.timestamp, "time goes on: {} {}", last.timestamp, event.timestamp);
        }
        let head = self.log.iter().rev().find_map(|item| match item {
            LogItem::Event(event) if event.is_tree_event() => Some(Some(event.id.clone())),
            LogItem::Control(Control::Head { event }) => Some(event.clone()),
            LogItem::Event(_) | LogItem::Control(_) => None,
        });
        let head = head.flatten().map(|head| head.0);
        let expected = head.or_else(|| self.events().next().map(|_| ROOT.to_owned()));
        assert_eq!(event.parent_id, expected, "the chain is unbroken");
        assert!(self.ids.insert(event.id.clone()), "ids are unique");
    }

    /// Whether the call under way is that of a judge.
    pub fn is_judging(&self) -> bool {
        matches!(self.agent.phase, Phase::Judging { .. })
    }

    /// The process dies and another one takes over.
    pub fn crash(&mut self) {
        self.calling = None;
        self.running.clear();
        self.agent = Agent::new(setup(self.copy.clone(), &self.log));
        let effects = self.agent.recover(&mut self.env);
        self.perform(effects);
    }

    pub fn say(&mut self, text: &str) {
        let message = Message::new(Role::User, text);
        self.input(Input::Message { message, sender: None, id: None }).unwrap();
    }

    pub fn run(&mut self) {
        self.input(Input::Run).unwrap();
    }

    /// The model under way answers.
    pub fn answer(&mut self, text: &str, calls: Vec<types::content::ToolCall>) {
        self.answer_so(Ending::Done, text, calls);
    }

    /// The same, with that ending.
    pub fn answer_so(&mut self, ending: Ending, text: &str, calls: Vec<types::content::ToolCall>) {
        self.answers += 1;
        let completion = completion(&format!("chatcmpl-{:06}", self.answers), text, calls);
        self.model(Ok(Completion { ending, ..completion }));
    }

    pub fn model(&mut self, result: Result<Completion, ModelFailure>) {
        let (call, ..) = self.calling.take().expect("no model call under way");
        self.input(Input::ModelAnswered { call, result }).unwrap();
    }

    /// The tool started first is done.
    pub fn observe(&mut self, text: &str) {
        let (action_id, ..) = self.running.remove(0);
        self.finish_tool(action_id, ToolOutcome::Observed(observation(text)));
    }

    pub fn finish_tool(&mut self, action_id: EventId, outcome: ToolOutcome) {
        self.input(Input::ToolFinished { action_id, outcome }).unwrap();
    }

    pub fn events(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.log.iter().filter_map(|item| match item {
            LogItem::Event(event) => Some(event),
            LogItem::Control(_) => None,
        })
    }

    pub fn shapes(&self) -> Vec<String> {
        self.log.iter().map(shape).collect()
    }

    /// What was appended since the last look.
    pub fn news(&mut self) -> Vec<String> {
        let news = self.log[self.read..].iter().map(shape).collect();
        self.read = self.log.len();
        news
    }

    pub fn status(&self) -> Status {
        let state = setup(self.copy.clone(), &self.log).projection;
        assert_eq!(state.status, self.agent.status(), "the log says what the agent thinks");
        state.status
    }

    /// The roles of the request under way, and the texts.
    pub fn conversation(&self) -> Vec<String> {
        let (_, _, request) = self.calling.as_ref().expect("no model call under way");
        request.messages.iter().map(|message| line(message)).collect()
    }

    pub fn last<T>(&self, pick: impl Fn(&EventBody) -> Option<T>) -> T {
        self.events().rev().find_map(|event| pick(&event.body)).expect("no such event")
    }
}

pub fn observation(text: &str) -> Value {
    json!({"content": [{"type": "text", "cache_prompt": false, "text": text}], "is_error": false, "kind": "TerminalObservation"})
}

fn line(message: &Message) -> String {
    let text = types::content::joined_text(&message.content);
    let calls: Vec<&str> = message.tool_calls.iter().map(|call| call.id.as_str()).collect();
    match message.role {
        Role::System => "system".to_owned(),
        Role::User => format!("user: {text}"),
        Role::Assistant if calls.is_empty() => format!("assistant: {text}"),
        Role::Assistant => format!("assistant: {text}[{}]", calls.join(" ")),
        Role::Tool => format!("{}: {text}", message.tool_call_id.as_deref().unwrap_or_default()),
    }
}

/// Behind every answer with calls stand exactly their results, in order, and no result stands elsewhere.
pub fn assert_paired(request: &ModelRequest) {
    let mut awaited: Vec<String> = Vec::new();
    let mut previous = None;
    for message in &request.messages {
        if message.role == Role::Tool {
            let id = message.tool_call_id.clone().expect("a result names its call");
            assert!(!awaited.is_empty() && awaited.remove(0) == id, "result of {id} out of place");
        } else {
            assert!(awaited.is_empty(), "no result for {awaited:?}");
            assert!(
                message.role != Role::User || previous != Some(Role::User),
                "neighbouring user messages are one"
            );
            awaited = message.tool_calls.iter().map(|call| call.id.clone()).collect();
            let distinct: HashSet<&String> = awaited.iter().collect();
            assert_eq!(distinct.len(), awaited.len(), "call ids of one answer differ");
        }
        previous = Some(message.role);
        let text = types::content::joined_text(&message.content);
        assert!(!text.contains("has no result yet"), "a call is still open");
        for call in &message.tool_calls {
            let arguments: Result<BTreeMap<String, Value>, _> = serde_json::from_str(&call.arguments);
            assert!(arguments.is_ok(), "stored arguments are a JSON object: {}", call.arguments);
        }
    }
    assert!(awaited.is_empty(), "no result for {awaited:?}");
}
