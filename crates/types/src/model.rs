//! What goes to a model and what comes back, whatever the provider.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::Message;
use crate::stats::TokenUsage;

/// A tool as offered to the model, all parameters included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolSchema {
    pub name: String,
    pub description: String,
    pub parameters: Value,
}

/// Messages and tools are shared with whoever keeps the history: making a request copies no text.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelRequest {
    pub messages: Vec<Arc<Message>>,
    /// Empty: none are offered.
    pub tools: Arc<[ToolSchema]>,
}

impl ModelRequest {
    #[must_use]
    pub fn new(messages: Vec<Message>, tools: Vec<ToolSchema>) -> Self {
        Self { messages: messages.into_iter().map(Arc::new).collect(), tools: tools.into() }
    }
}

/// One finished answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The provider's response id.
    pub id: String,
    /// Role assistant; text, tool calls, reasoning, thinking blocks.
    pub message: Message,
    pub ending: Ending,
    /// Tokens of this call, with the model and response id.
    pub tokens: TokenUsage,
    /// US dollars; 0 when the price is unknown.
    pub cost: f64,
    /// Seconds.
    pub latency: f64,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// The model had said what it had to say.
    #[default]
    Done,
    /// A limit of the output or of the context cut it off. Of its calls so many, from the first, came whole; what
    /// is behind them looks whole at times, and is not.
    Cut { whole_calls: usize },
    /// The provider withheld the rest because of its content.
    Withheld,
    /// The provider wants to be asked again with what is there.
    Paused,
}

/// A model call that failed for good. `code` and texts are those of `ConversationErrorEvent`.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFailure {
    pub kind: FailureKind,
    /// E.g. `LLMRateLimitError`.
    pub code: String,
    /// For the user; never holds a key.
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The prompt is too long: condense and try again.
    ContextWindow,
    /// The provider refuses the history's shape: condense and try again.
    MalformedHistory,
    /// The provider refused the content: the model is asked to rephrase.
    ContentPolicy,
    /// The provider refuses the request, and nobody knows what of it: maybe a part of the history.
    Refused,
    /// Everything else ends the run.
    Other,
}
