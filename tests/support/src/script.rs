//! What a scripted model says: turns, picked by a marker in the conversation's first user message.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Answers conversations whose first user message contains `marker`, each from its own first turn on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Script {
    pub marker: String,
    pub turns: Vec<Turn>,
}

/// One answer. Without tool calls it is a text.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Turn {
    pub text: Option<String>,
    pub reasoning: Option<String>,
    pub tool_calls: Vec<Call>,
    /// Milliseconds before the answer begins.
    pub delay_ms: u64,
    /// How it ends.
    pub ending: Ending,
    /// An HTTP error instead of an answer.
    pub error: Option<Failure>,
    pub input_tokens: u64,
    pub output_tokens: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    #[default]
    Done,
    /// At the limit of the output.
    Cut,
    Withheld,
    Paused,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    pub id: String,
    pub name: String,
    /// An object, or a text that is sent as it is.
    pub arguments: Value,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    pub status: u16,
    pub message: String,
    #[serde(default)]
    pub retry_after: Option<String>,
}

impl Script {
    #[must_use]
    pub fn new(marker: &str, turns: Vec<Turn>) -> Self {
        Self { marker: marker.to_owned(), turns }
    }
}

impl Turn {
    fn base() -> Self {
        Self { input_tokens: 100, output_tokens: 10, ..Self::default() }
    }

    #[must_use]
    pub fn text(text: &str) -> Self {
        Self { text: Some(text.to_owned()), ..Self::base() }
    }

    #[must_use]
    pub fn call(id: &str, name: &str, arguments: Value) -> Self {
        Self::calls(vec![Call { id: id.to_owned(), name: name.to_owned(), arguments }])
    }

    #[must_use]
    pub fn calls(tool_calls: Vec<Call>) -> Self {
        Self { tool_calls, ..Self::base() }
    }

    /// A command in the agent's terminal.
    #[must_use]
    pub fn terminal(id: &str, command: &str) -> Self {
        Self::call(id, "terminal", json!({ "command": command }))
    }

    #[must_use]
    pub fn finish(message: &str) -> Self {
        Self::call("call_finish", "finish", json!({ "message": message }))
    }

    #[must_use]
    pub fn failure(status: u16, message: &str) -> Self {
        Self {
            error: Some(Failure { status, message: message.to_owned(), retry_after: None }),
            ..Self::base()
        }
    }

    #[must_use]
    pub fn after(mut self, milliseconds: u64) -> Self {
        self.delay_ms = milliseconds;
        self
    }

    #[must_use]
    pub fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }

    /// No answer while a test lasts.
    #[must_use]
    pub fn hang() -> Self {
        Self::text("too late").after(600_000)
    }
}
