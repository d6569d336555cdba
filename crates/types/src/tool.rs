//! What the agent loop has to know about tools, without being able to run one.

use std::any::Any;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::resources::Resource;

/// A tool as the model and the client are told about it.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolDefinition {
    pub name: String,
    pub description: String,
    /// JSON schema of the arguments, without the `security_risk` and `summary` the loop adds.
    pub parameters: Value,
    /// The client's form, for `SystemPromptEvent.tools`.
    pub announced: Value,
    /// Never asks for confirmation risk, may run beside others.
    pub read_only: bool,
}

/// The tools of one conversation. Pure: reading only.
pub trait Toolbox: Send + Sync {
    fn definitions(&self) -> &[ToolDefinition];

    /// Checks the arguments of a call and makes the action of them. Nothing reads them a second time.
    ///
    /// # Errors
    /// What is wrong, in words for the model.
    fn parse(&self, tool: &str, arguments: &Map<String, Value>) -> Result<Parsed, String>;

    /// The action that an event of the log describes, as [`Toolbox::parse`] had made it: for calls that wait for
    /// the user longer than the conversation is in memory.
    ///
    /// # Errors
    /// Why it cannot be run any more, in words for the model.
    fn restore(&self, tool: &str, described: &Value) -> Result<ToolAction, String>;
}

/// A call that was understood.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The action object of the event, with its `kind` and defaulted fields.
    pub described: Value,
    pub action: ToolAction,
}

/// What a call asks for. The loop keeps it and hands it on; only the tool it was made by looks inside.
#[derive(Clone, Debug)]
pub struct ToolAction {
    /// The result of an action that does nothing but be called: it is not run.
    pub result: Option<Value>,
    /// Whether the agent's turn is over with it.
    pub ends_turn: bool,
    /// What it holds while it runs.
    pub resources: Vec<Resource>,
    own: Arc<dyn Any + Send + Sync>,
}

impl ToolAction {
    #[must_use]
    pub fn new(own: impl Any + Send + Sync, result: Option<Value>, ends_turn: bool) -> Self {
        Self { result, ends_turn, resources: Vec::new(), own: Arc::new(own) }
    }

    /// One that holds these.
    #[must_use]
    pub fn holding(self, resources: Vec<Resource>) -> Self {
        Self { resources, ..self }
    }

    /// The tool's own form of it; `None` when another tool has made it.
    #[must_use]
    pub fn own<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Arc::clone(&self.own).downcast().ok()
    }
}

/// Two are equal when they are of one making.
impl PartialEq for ToolAction {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.own, &other.own)
    }
}
