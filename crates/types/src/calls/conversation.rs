//! What a worker is told to do with a conversation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::content::Message;
use crate::ids::{ConversationId, EventId, Seq};
use crate::policy::{ConfirmationPolicy, SecurityAnalyzer};
use crate::secrets::SecretSource;
use crate::service::{AnswerTo, OfWorker, Service};

/// Gateway to worker, `mh.cmd.<sandbox>.conversation`; answered with [`CommandDone`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConversationCall {
    pub conversation: ConversationId,
    /// Which one, where several have the id one after the other: see [`crate::calls::WorkingCopy::created_at`]. To another
    /// nothing is done. Empty: whichever there is.
    #[serde(default)]
    pub created_at: String,
    pub command: Command,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Command {
    /// Stores a user message; with `run` also starts a run, or lets the running one take it.
    /// Busy: the message was stored, but no run slot is free.
    Message {
        message: Message,
        sender: Option<String>,
        run: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        once: Option<Once>,
        /// With `run`: nothing is stored either where no run slot is free.
        #[serde(default)]
        only_with_slot: bool,
    },
    /// Starts a run. Conflict: one is active. Busy: no run slot is free.
    Run {
        /// Only if there was none, and nobody has wished for another state since: else nothing is done.
        #[serde(default)]
        first: bool,
    },
    Pause {},
    Interrupt {},
    /// Accepting is running; refusing answers every pending action with `reason`. With `actions` only if it is these that
    /// wait, and no others. Conflict, with a text: it is not.
    Respond {
        accept: bool,
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        actions: Option<Vec<EventId>>,
    },
    SetConfirmationPolicy {
        policy: ConfirmationPolicy,
    },
    SetSecurityAnalyzer {
        analyzer: Option<SecurityAnalyzer>,
    },
    SetTags {
        tags: BTreeMap<String, String>,
    },
    /// Adds secrets to those the worker already has; values in plain text.
    AddSecrets {
        secrets: BTreeMap<String, SecretSource>,
    },
    /// Replaces `agent.llm`; secret fields in plain text.
    SwitchLlm {
        llm: Value,
    },
    /// One model call with the history, nothing stored; the answer is in `text`.
    Ask {
        question: String,
    },
    /// Asks the condenser now. Invalid: there is none.
    Condense {},
    /// Starts to work towards a goal. Conflict: a run is active, a goal is worked on, or, with a text, actions wait for the user.
    /// Busy: no run slot is free.
    StartGoal {
        objective: String,
        max_iterations: u32,
        /// Of the message that tells it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        once: Option<Once>,
    },
    /// Nobody works towards a goal any more; a run under way goes on.
    StopGoal {},
    /// Goes on with the goal that was interrupted. Invalid: there is none. Else as [`Command::StartGoal`].
    ResumeGoal {},
    /// Moves HEAD to an event, or before the first one: the agent goes on from there, and what it leaves stays in the log.
    /// Conflict: a run is active. NotFound, with a text: the log has no such event.
    Navigate {
        event: Option<EventId>,
    },
    /// Opens the conversation, so that a run a crash cut off is closed.
    Wake {},
    /// The conversation is deleted: stop everything of it, forget it, write nothing more, and set aside what its tools
    /// have kept in its folder.
    Forget {
        #[serde(default)]
        persistence_dir: String,
        /// Which deletion it is: several may be under way.
        #[serde(default)]
        deletion: Uuid,
    },
    /// What has become of a deletion for which it was forgotten. If the conversation `is_gone`, what was set aside is removed; else it
    /// is put back, and the conversation goes on. A run that was cut off is closed.
    Forgotten {
        #[serde(default)]
        persistence_dir: String,
        deletion: Uuid,
        is_gone: bool,
    },
}

/// An event whose id its asker chose, so that asking again does not store it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Once {
    pub id: EventId,
    /// It may have been asked for before: the log is searched for it first. If it is there nothing is done,
    /// and the answer is as if it had been.
    pub again: bool,
}

/// The command has acted; its records end at `seq`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CommandDone {
    pub seq: Seq,
    #[serde(default)]
    pub text: Option<String>,
}

impl Service for ConversationCall {
    const NAME: &'static str = "conversation";
}

impl OfWorker for ConversationCall {}
impl AnswerTo<ConversationCall> for CommandDone {}
