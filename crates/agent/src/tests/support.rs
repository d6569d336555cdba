//! What a scenario is made of: tools, a clock, answers of a model.

use serde_json::{Map, Value, json};
use types::agent::AgentConfig;
use types::branch::Tree;
use types::calls::WorkingCopy;
use types::content::ToolCall;
use types::conversation::Projection;
use types::event::EventBody;
use types::log::Control;
use types::model::{Completion, FailureKind, ModelFailure};
use types::policy::ConfirmationPolicy;
use types::stats::TokenUsage;
use types::tool::{Parsed, ToolAction, ToolDefinition, Toolbox};
use types::{ConversationId, EventId, Message, Role};

use crate::past::Past;
use crate::protocol::{Env, LogItem, Setup};

pub struct Tools(Vec<ToolDefinition>);

pub fn toolbox() -> Tools {
    let text = json!({"type": "string"});
    Tools(vec![
        tool("terminal", "TerminalAction", false, json!({"command": text})),
        tool("file_editor", "FileEditorAction", false, json!({"command": text, "path": text})),
        tool("finish", "FinishAction", true, json!({"message": text})),
        tool("think", "ThinkAction", true, json!({"thought": text})),
    ])
}

fn tool(name: &str, kind: &str, read_only: bool, properties: Value) -> ToolDefinition {
    let required: Vec<&String> = properties.as_object().unwrap().keys().collect();
    ToolDefinition {
        name: name.to_owned(),
        description: format!("The {name}."),
        parameters: json!({"type": "object", "properties": properties, "required": required}),
        announced: json!({"title": name, "action_type": kind}),
        read_only,
    }
}

impl Toolbox for Tools {
    fn definitions(&self) -> &[ToolDefinition] {
        &self.0
    }

    fn parse(&self, tool: &str, arguments: &Map<String, Value>) -> Result<Parsed, String> {
        let tool = self.0.iter().find(|one| one.name == tool).ok_or("no such tool")?;
        for name in tool.parameters["required"].as_array().unwrap() {
            if !arguments.contains_key(name.as_str().unwrap()) {
                return Err(format!("{name} is required"));
            }
        }
        let mut described = arguments.clone();
        described.insert("kind".to_owned(), tool.announced["action_type"].clone());
        let described = Value::Object(described);
        Ok(Parsed { action: self.restore(&tool.name, &described)?, described })
    }

    fn restore(&self, tool: &str, described: &Value) -> Result<ToolAction, String> {
        let text = match tool {
            "finish" => described["message"].as_str(),
            "think" => Some("Your thought has been logged."),
            _ => None,
        };
        let kind = described["kind"].as_str().unwrap().replace("Action", "Observation");
        let content = |text| json!([{"type": "text", "cache_prompt": false, "text": text}]);
        let result = text.map(|text| json!({"content": content(text), "is_error": false, "kind": kind}));
        Ok(ToolAction::new(described.clone(), result, tool == "finish"))
    }
}

/// Ids count up; the clock stands still most of the time and once goes back, as clocks do.
#[derive(Default)]
pub struct TestEnv {
    ids: u64,
    asked: u64,
}

impl Env for TestEnv {
    fn now(&mut self) -> String {
        self.asked += 1;
        let second = if self.asked == 10 { 0 } else { self.asked / 5 };
        format!("2026-11-23T00:{:02}:{:02}.000007", second / 60 % 60, second % 60)
    }

    fn unix_now(&mut self) -> f64 {
        1_795_395_000.0
    }

    fn event_id(&mut self) -> EventId {
        self.ids += 1;
        EventId(format!("{:08x}-0000-4000-8000-000000000000", self.ids))
    }

    fn masked(&self, text: &str) -> String {
        text.replace("hunter2", "<secret-hidden>")
    }
}

pub fn copy() -> WorkingCopy {
    WorkingCopy {
        conversation: ConversationId::random(),
        created_at: "2026-11-23T00:00:00.000000Z".to_owned(),
        working_dir: "/w".to_owned(),
        persistence_dir: "/p".to_owned(),
        agent: json!({"kind": "Agent", "llm": {"model": "openai/scripted", "api_key": "LLM_KEY", "usage_id": "agent"}}),
        max_iterations: 500,
        stuck_detection: true,
        confirmation_policy: ConfirmationPolicy::NeverConfirm,
        security_analyzer: None,
        secrets: std::collections::BTreeMap::new(),
        past_secrets: types::known_values::KnownValues::default(),
        autotitle: false,
        title: None,
        title_llm: None,
        title_prompt: None,
        broken_secret: None,
    }
}

/// With a condenser that is due above `max_size` events.
pub fn condensing_copy(max_size: usize, keep_first: usize) -> WorkingCopy {
    let mut copy = copy();
    copy.agent["condenser"] = json!({"kind": "LLMSummarizingCondenser", "max_size": max_size, "keep_first": keep_first,
        "llm": {"model": "openai/small", "usage_id": "condenser"}});
    copy
}

/// What a worker starts an agent from, given the log so far.
pub fn setup(copy: WorkingCopy, log: &[LogItem]) -> Setup {
    let mut projection = Projection::default();
    let (mut past, mut events) = (Past::default(), 0);
    for (at, item) in log.iter().enumerate() {
        let record = match item {
            LogItem::Event(event) => {
                past.absorb(&read_back(event));
                events += 1;
                types::log::LogRecord::event(events - 1, event).unwrap()
            }
            LogItem::Control(control) => {
                if let Control::Answer { event, order } = control {
                    past.set_order(event, order);
                }
                types::log::LogRecord::Control(control.clone())
            }
        };
        projection.apply(types::Seq(at as u64 + 1), &record);
    }
    let has_moved =
        |item: &LogItem| matches!(item, LogItem::Control(Control::Head { .. } | Control::Forked { .. }));
    if log.iter().any(has_moved) {
        past = past_of(log, projection.leaf_event_id.as_deref());
    }
    let config = AgentConfig::from_client(copy.agent.clone()).unwrap();
    Setup { copy, config, vision: false, toolbox: std::sync::Arc::new(toolbox()), projection, past }
}

/// What the events on the branch of `head` mean, as a worker finds it out.
pub fn past_of(log: &[LogItem], head: Option<&str>) -> Past {
    let (mut tree, mut past) = (Tree::default(), Past::default());
    for item in log {
        if let LogItem::Event(event) = item {
            tree.add(event.id.as_str(), event.parent_id.as_deref());
        }
    }
    let branch = tree.branch(head).expect("head is in the log");
    for item in log {
        match item {
            LogItem::Event(event) if !event.is_tree_event() || branch.contains(event.id.as_str()) => {
                past.absorb(&read_back(event));
            }
            LogItem::Event(event) => past.leave_out(event),
            LogItem::Control(Control::Head { .. } | Control::Forked { .. }) => past.go_back(),
            LogItem::Control(Control::Answer { event, order }) => past.set_order(event, order),
            LogItem::Control(_) => {}
        }
    }
    past
}

/// As it comes out of a log.
fn read_back(event: &types::Event) -> types::Event {
    serde_json::from_str(&serde_json::to_string(event).unwrap()).unwrap()
}

pub fn call(id: &str, name: &str, arguments: Value) -> ToolCall {
    ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_string(),
        origin: "completion".to_owned(),
    }
}

pub fn shell(id: &str, command: &str) -> ToolCall {
    call(id, "terminal", json!({"command": command}))
}

pub fn finish(id: &str) -> ToolCall {
    call(id, "finish", json!({"message": "All done."}))
}

pub fn think(id: &str) -> ToolCall {
    call(id, "think", json!({"thought": "hm"}))
}

pub fn completion(response_id: &str, text: &str, calls: Vec<ToolCall>) -> Completion {
    let mut message = Message { role: Role::Assistant, tool_calls: calls, ..Message::default() };
    if !text.is_empty() {
        message.content.push(types::Content::text(text));
    }
    let tokens = TokenUsage {
        model: "openai/scripted".to_owned(),
        prompt_tokens: 100,
        completion_tokens: 10,
        response_id: response_id.to_owned(),
        ..TokenUsage::default()
    };
    Completion {
        id: response_id.to_owned(),
        message,
        ending: types::model::Ending::Done,
        tokens,
        cost: 0.0,
        latency: 0.5,
    }
}

pub fn failure(kind: FailureKind, code: &str) -> ModelFailure {
    ModelFailure { kind, code: code.to_owned(), detail: format!("{code} happened.") }
}

/// One word or three about a record: enough to read a run from.
pub fn shape(item: &LogItem) -> String {
    let event = match item {
        LogItem::Event(event) => event,
        LogItem::Control(control) => {
            return serde_json::to_value(control).unwrap()["type"].as_str().unwrap().to_owned();
        }
    };
    match &event.body {
        EventBody::MessageEvent(_) => format!("Message({})", source(event)),
        EventBody::ActionEvent(body) if body.action.is_none() => {
            format!("Action({}, invalid)", body.tool_name)
        }
        EventBody::ActionEvent(body) => format!("Action({})", body.tool_name),
        EventBody::ObservationEvent(body) => format!("Observation({})", body.tool_call_id),
        EventBody::AgentErrorEvent(body) => format!("AgentError({})", body.tool_call_id),
        EventBody::UserRejectObservation(body) => format!("Reject({})", body.tool_call_id),
        EventBody::ConversationErrorEvent(body) => format!("Error({})", body.code),
        EventBody::ConversationStateUpdateEvent(body) => match &body.value {
            Some(Value::String(value)) if body.key == "execution_status" => format!("status={value}"),
            _ => body.key.clone(),
        },
        _ => serde_json::to_value(event).unwrap()["kind"].as_str().unwrap().replace("Event", ""),
    }
}

fn source(event: &types::Event) -> String {
    serde_json::to_value(event.source).unwrap().as_str().unwrap().to_owned()
}
