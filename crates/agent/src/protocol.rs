//! What goes into the loop and what comes out.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use types::agent::{AgentConfig, LlmConfig};
use types::calls::WorkingCopy;
use types::conversation::Projection;
use types::event::ConversationError;
use types::log::Control;
use types::model::{Completion, ModelFailure, ModelRequest};
use types::policy::{ConfirmationPolicy, SecurityAnalyzer};
use types::stats::Usage;
use types::tool::{ToolAction, Toolbox};
use types::{Event, EventId, Message};

use crate::past::Past;

/// All an [`crate::Agent`] starts from.
pub struct Setup {
    pub copy: WorkingCopy,
    /// `copy.agent`, read.
    pub config: AgentConfig,
    /// Whether `config.llm` takes images.
    pub vision: bool,
    pub toolbox: Arc<dyn Toolbox>,
    /// The fold of the log so far.
    pub projection: Projection,
    /// What the log's events mean for the loop.
    pub past: Past,
}

/// Clock, randomness and known secrets: all the loop does not have itself.
pub trait Env {
    /// Local time in the event form.
    fn now(&mut self) -> String;
    /// Unix seconds.
    fn unix_now(&mut self) -> f64;
    fn event_id(&mut self) -> EventId;
    /// `text` with the values of known secrets hidden.
    fn masked(&self, text: &str) -> String;
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "handled at once, never stored")]
pub enum Input {
    Message {
        message: Message,
        sender: Option<String>,
        /// Its event's, where that is not for the agent to choose.
        id: Option<EventId>,
    },
    Run,
    Pause,
    Interrupt,
    /// Accepting is running; refusing answers every pending action with `reason`.
    Respond {
        accept: bool,
        reason: String,
        /// Only if these wait, and no others.
        actions: Option<Vec<EventId>>,
    },
    SetConfirmationPolicy(ConfirmationPolicy),
    SetSecurityAnalyzer(Option<SecurityAnalyzer>),
    SetTags(BTreeMap<String, String>),
    /// From the next model call on.
    SwitchLlm {
        llm: LlmConfig,
        vision: bool,
    },
    /// Shortens the history now.
    Condense,
    /// Works towards a goal from now on: a run, and others behind it as long as it is not reached.
    StartGoal {
        objective: String,
        max_iterations: u32,
        /// Of the message that tells it, where that is not for the agent to choose.
        id: Option<EventId>,
    },
    /// Works towards no goal any more; a run under way goes on.
    StopGoal,
    /// Goes on with the goal that was interrupted.
    ResumeGoal,
    /// Goes on from another event, or from before the first one.
    Navigate {
        to: Option<EventId>,
        /// What the events on its branch mean.
        past: Past,
    },
    ModelAnswered {
        call: u64,
        result: Result<Completion, ModelFailure>,
    },
    ToolFinished {
        action_id: EventId,
        outcome: ToolOutcome,
    },
    /// A model call made beside the loop (title): counted in the stats.
    SideUsage(Usage),
    /// The same of a question, of which no event is to tell.
    QuestionUsage(Usage),
    /// A failure beside the loop that the user should see (title).
    SideError(ConversationError),
}

#[derive(Clone, Debug, PartialEq)]
pub enum ToolOutcome {
    /// The observation object with its `kind`.
    Observed(Value),
    /// The executor's error text.
    Failed(String),
    /// Cancelled before it was done.
    Interrupted,
}

/// What the caller has to do, in the given order.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a handful per step, never stored")]
pub enum Effect {
    /// One atomic append, durable before the effects after it are performed.
    Append(Vec<LogItem>),
    CallModel {
        call: u64,
        /// The id the answer's event will have, for streaming.
        item_id: EventId,
        usage_id: String,
        llm: LlmConfig,
        request: ModelRequest,
    },
    /// The model call under way is not wanted any more.
    CancelModel,
    RunTool {
        action_id: EventId,
        tool: String,
        action: ToolAction,
    },
    /// No running tool's outcome is wanted any more.
    CancelTools,
}

#[derive(Clone, Debug, PartialEq)]
pub enum LogItem {
    Event(Event),
    /// `RunEnded` is the last item of the append that ends a run.
    Control(Control),
}

/// Why an input was not taken; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A run is active.
    AlreadyRunning,
    /// Actions wait for the user, who alone confirms them.
    AwaitsConfirmation,
    /// Other actions wait than those that are named, or none.
    OthersWait,
    /// The text is for the client.
    Invalid(String),
}
