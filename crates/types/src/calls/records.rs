//! What a worker asks of the record of a conversation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{ConversationId, Life};
use crate::known_values::KnownValues;
use crate::policy::{ConfirmationPolicy, SecurityAnalyzer};
use crate::secrets::SecretSource;
use crate::service::{AnswerTo, OfControlPlane, Service};

/// Worker to gateway, `mh.rec.<sandbox>`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum RecordCall {
    /// Answered with a [`WorkingCopy`].
    Open { conversation: ConversationId },
    /// Sets the title if there is none yet; answered with `null`.
    SetTitle { conversation: ConversationId, title: String },
    /// Keeps values that were looked up for secrets of the conversation, in plain text, so that they stay hidden;
    /// answered with `null`.
    KeepHidden { conversation: ConversationId, values: KnownValues },
    /// The value of a secret of the conversation that this server itself keeps; answered with [`LookedUp`].
    LookUp { conversation: ConversationId, name: String },
    /// Which of these conversations there are in the sandbox, and where they have their folders; answered with
    /// [`Survivors`].
    Survivors { conversations: Vec<ConversationId> },
}

/// The value of a secret that the server keeps.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct LookedUp {
    /// `None`: there is none, or the conversation may not have it.
    pub value: Option<String>,
}

/// Conversations of a sandbox that were not deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Survivors {
    /// In which each conversation has a folder of its own, named by its id in hex.
    pub folder: String,
    pub conversations: Vec<ConversationId>,
}

/// What a worker needs to run a conversation. Secret fields are in plain text in embedded mode; in the
/// cluster model keys are left out and the broker adds them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkingCopy {
    pub conversation: ConversationId,
    /// Tells a conversation from another that was made under the same id after the first was deleted.
    #[serde(default)]
    pub created_at: String,
    pub working_dir: String,
    /// A folder of the worker's own for this conversation: full tool outputs, `TASKS.json`.
    pub persistence_dir: String,
    /// The full agent object, see [`crate::agent::AgentConfig`].
    pub agent: Value,
    pub max_iterations: u64,
    pub stuck_detection: bool,
    pub confirmation_policy: ConfirmationPolicy,
    pub security_analyzer: Option<SecurityAnalyzer>,
    pub secrets: BTreeMap<String, SecretSource>,
    /// What else is to be hidden: values that secrets had before, or that were looked up.
    #[serde(default)]
    pub past_secrets: KnownValues,
    pub autotitle: bool,
    pub title: Option<String>,
    /// The model that is asked for a title; `None`: the agent's own.
    #[serde(default)]
    pub title_llm: Option<Value>,
    /// What asks for it, in the place of our own words.
    #[serde(default)]
    pub title_prompt: Option<String>,
    /// Why a stored secret cannot be had, for the user: runs end with it instead of going on without.
    #[serde(default)]
    pub broken_secret: Option<String>,
}

impl WorkingCopy {
    #[must_use]
    pub fn life(&self) -> Life {
        Life { id: self.conversation, created_at: self.created_at.clone() }
    }
}

impl Service for RecordCall {
    const NAME: &'static str = "rec";

    fn only_reads(&self) -> bool {
        match self {
            Self::Open { .. } | Self::LookUp { .. } | Self::Survivors { .. } => true,
            Self::SetTitle { .. } | Self::KeepHidden { .. } => false,
        }
    }
}

impl OfControlPlane for RecordCall {}
impl AnswerTo<RecordCall> for LookedUp {}
impl AnswerTo<RecordCall> for WorkingCopy {}
impl AnswerTo<RecordCall> for Survivors {}
impl AnswerTo<RecordCall> for () {}
