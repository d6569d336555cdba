//! What an agent of a world has at hand: tools, a clock, its copy of the record.

use std::collections::BTreeMap;
use std::sync::Arc;

use agent::{Env, Past, Setup};
use manyhands_agent as agent;
use serde_json::{Map, Value, json};
use types::agent::AgentConfig;
use types::branch::Tree;
use types::calls::WorkingCopy;
use types::conversation::Projection;
use types::log::{Control, LogRecord};
use types::policy::ConfirmationPolicy;
use types::tool::{Parsed, ToolAction, ToolDefinition, Toolbox};
use types::{ConversationId, Event, EventId, Seq};

pub struct Tools(Vec<ToolDefinition>);

impl Tools {
    pub fn new() -> Self {
        Self(vec![
            tool("terminal", "TerminalAction", false, "command"),
            tool("look", "LookAction", true, "path"),
            tool("finish", "FinishAction", true, "message"),
            tool("think", "ThinkAction", true, "thought"),
        ])
    }
}

fn tool(name: &str, kind: &str, read_only: bool, needs: &str) -> ToolDefinition {
    let properties = json!({ needs: {"type": "string"} });
    ToolDefinition {
        name: name.to_owned(),
        description: format!("The {name}."),
        parameters: json!({"type": "object", "properties": properties, "required": [needs]}),
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
        let needs = tool.parameters["required"][0].as_str().unwrap();
        if !arguments.get(needs).is_some_and(Value::is_string) {
            return Err(format!("{needs} is required"));
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
        let result =
            text.map(|text| observed(&json!([{"type": "text", "cache_prompt": false, "text": text}])));
        Ok(ToolAction::new(described.clone(), result, tool == "finish"))
    }
}

pub fn observed(content: &Value) -> Value {
    json!({"content": content, "is_error": false, "kind": "SomeObservation"})
}

#[derive(Default)]
pub struct Clock(u64);

impl Env for Clock {
    fn now(&mut self) -> String {
        self.0 += 1;
        format!(
            "2026-11-23T{:02}:{:02}:{:02}.000007",
            self.0 / 36_000 % 24,
            self.0 / 600 % 60,
            self.0 / 10 % 60
        )
    }

    fn unix_now(&mut self) -> f64 {
        1_795_395_000.0
    }

    fn event_id(&mut self) -> EventId {
        self.0 += 1;
        EventId(format!("{:08x}-0000-4000-8000-000000000000", self.0))
    }

    fn masked(&self, text: &str) -> String {
        text.replace("hunter2", "<secret-hidden>")
    }
}

pub fn copy(condenses: bool, stuck_detection: bool) -> WorkingCopy {
    let mut agent = json!({"kind": "Agent", "llm": {"model": "openai/gpt-4o"}, "tool_concurrency_limit": 2});
    if condenses {
        agent["condenser"] = json!({"kind": "LLMSummarizingCondenser", "max_size": 16, "keep_first": 2,
            "llm": {"model": "openai/gpt-4o-mini", "usage_id": "condenser", "api_key": "k", "num_retries": 0}});
    }
    WorkingCopy {
        conversation: ConversationId::random(),
        created_at: "2026-11-23T00:00:00.000000Z".to_owned(),
        working_dir: "/w".to_owned(),
        persistence_dir: "/p".to_owned(),
        agent,
        max_iterations: 60,
        stuck_detection,
        confirmation_policy: ConfirmationPolicy::NeverConfirm,
        security_analyzer: None,
        secrets: BTreeMap::new(),
        past_secrets: types::known_values::KnownValues::default(),
        autotitle: false,
        title: None,
        title_llm: None,
        title_prompt: None,
        broken_secret: None,
    }
}

/// What a worker starts an agent from: the log as it is stored.
pub fn setup(copy: &WorkingCopy, log: &[Vec<u8>]) -> Setup {
    let (mut projection, mut past, mut moved) = (Projection::default(), Past::default(), false);
    for (at, record) in log.iter().enumerate() {
        let record = LogRecord::<Event>::decode_as(record).unwrap();
        projection.apply_read(Seq(at as u64 + 1), &record);
        moved |= matches!(record, LogRecord::Control(Control::Head { .. }));
        take(&mut past, record);
    }
    if moved {
        past = past_of(log, projection.leaf_event_id.as_deref()).unwrap();
    }
    let config = AgentConfig::from_client(copy.agent.clone()).unwrap();
    Setup { copy: copy.clone(), config, vision: true, toolbox: Arc::new(Tools::new()), projection, past }
}

fn take(past: &mut Past, record: LogRecord<Event>) {
    match record {
        LogRecord::Event { event, .. } => past.absorb(&event),
        LogRecord::Control(Control::Head { .. } | Control::Forked { .. }) => past.go_back(),
        LogRecord::Control(Control::Answer { event, order }) => past.set_order(&event, &order),
        LogRecord::Control(_) => {}
    }
}

/// What the events on the branch of `head` mean.
pub fn past_of(log: &[Vec<u8>], head: Option<&str>) -> Option<Past> {
    let (mut tree, mut past) = (Tree::default(), Past::default());
    let records = || log.iter().map(|record| LogRecord::<Event>::decode_as(record).unwrap());
    for record in records() {
        if let LogRecord::Event { event, .. } = record {
            tree.add(event.id.as_str(), event.parent_id.as_deref());
        }
    }
    let branch = tree.branch(head)?;
    for record in records() {
        match record {
            LogRecord::Event { event, .. }
                if event.is_tree_event() && !branch.contains(event.id.as_str()) =>
            {
                past.leave_out(&event);
            }
            other => take(&mut past, other),
        }
    }
    Some(past)
}
